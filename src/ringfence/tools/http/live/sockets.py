"""WebSockets as a feature sees them: `WebSocket`, a parameter of the method under `@websocket`.

    @websocket("/orders/live")
    async def live(self, socket: WebSocket) -> None:
        await socket.accept()
        async for order in socket.messages(NewOrder):
            await socket.send(await self.place(order))

What a socket needs of the connection behind it is `Line`; `conversation.py` has it.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar, overload

from ringfence.errors import RingfenceError
from ringfence.tools.http.binding.json_text import read_json

T = TypeVar("T")
MAX_REASON_BYTES = 123  # RFC 6455: what a close frame has room for
_NEVER_SENT = (1004, 1005, 1006)  # RFC 6455, 7.4.1


class WebSocketClosed(RingfenceError, code="websocket_closed"):
    """The connection is closed; one that leaves the handler is no failure.

    Args:
        close_code: As in RFC 6455: 1000 where the peer was done, 1006 where it was lost.
        reason: What the peer says of it.
    """

    status = 499

    def __init__(self, close_code: int, reason: str = "") -> None:
        super().__init__(f"the connection is closed: {close_code} {reason}".rstrip())
        self.close_code = close_code
        self.reason = reason


class Line(Protocol):
    """The connection behind a socket."""

    @property
    def subprotocols(self) -> Sequence[str]: ...

    @property
    def closed(self) -> int | None: ...

    async def accept(self, subprotocol: str | None, headers: Mapping[str, str]) -> None: ...

    async def next(self) -> str | bytes: ...

    async def send(self, value: object) -> None: ...

    async def close(self, code: int, reason: str) -> None: ...


class WebSocket:
    """One WebSocket, in the hands of the handler that serves it.

    A received message has the deadline and the budget of a request, until the handler answers
    it with a first `send` or waits for the next message; it is finished even if the peer goes
    away or the application stops meanwhile. What the handler sends by itself, after `accept` or
    beyond that answer, has a budget for each message and no deadline; it is cancelled when the
    peer goes away, so that what it has to tidy up stands in `finally`. What it raises closes
    the connection: an expected error with 1008 and its code as the reason, anything else with
    1011. In a `def` handler: `wait(socket.accept())`, `for message in wait(socket)`.

    To send to many, keep a bounded queue for each connection; whoever is too slow for the feed
    loses its oldest messages, and nobody waits for anybody:

        class Prices(Plugin):
            def __init__(self) -> None:
                self.queues: set[Queue[Price]] = set()

            @websocket("/prices")
            async def watch(self, socket: WebSocket) -> None:
                await socket.accept()
                queue = Queue[Price](maxsize=100)
                self.queues.add(queue)
                try:
                    while True:
                        await socket.send(await queue.get())
                finally:
                    self.queues.discard(queue)

            @service("prices.changed")
            async def changed(self, price: Price) -> None:
                for queue in self.queues:
                    if queue.full():
                        queue.get_nowait()  # or end the connection, where nothing may be missed
                    queue.put_nowait(price)

    Guarantees:
        Messages come in the order in which they were sent, and none is read before it is asked
        for. `send` may be called from several tasks; it waits while the peer reads slowly. It
        returns when the message is on its way, which says nothing of its arrival.
    """

    __ringfence_http__: ClassVar[str] = "socket"
    __slots__ = ("_line",)

    def __init__(self, line: Line) -> None:
        self._line = line

    @property
    def subprotocols(self) -> Sequence[str]:
        """The subprotocols that the client offers, in its order of preference."""
        return self._line.subprotocols

    @property
    def closed(self) -> int | None:
        """The code that the connection was closed with, by either side; None while it is not, as
        far as is known: what the peer does shows at the next `receive` or `send`."""
        return self._line.closed

    async def accept(
        self, subprotocol: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Complete the handshake. An error that is raised before answers it, as any request.

        Args:
            subprotocol: One of `subprotocols`.
            headers: Of the answer, beside those of the handshake.

        Raises:
            WebSocketClosed: The client has gone.
        """
        await self._line.accept(subprotocol, headers or {})

    @overload
    async def receive(self) -> str | bytes: ...

    @overload
    async def receive(self, into: type[T]) -> T: ...

    async def receive(self, into: type[T] | None = None) -> T | str | bytes:
        """Wait for the next message.

        Args:
            into: The type to read it as, from JSON; without it, it is given as it came.

        Raises:
            Invalid: The message does not fit; `faults` lists every fault, the connection stays.
            WebSocketClosed: There are no more, or the message was longer than
                `max_message_bytes`.
        """
        message = await self._line.next()
        return message if into is None else read_json(message, into, subject="message")

    async def send(self, value: object) -> None:
        """Send a message: `str` as text, `bytes` as they are, anything else as JSON text.

        Raises:
            WebSocketClosed: The connection is closed.
        """
        await self._line.send(value)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, or refuse it if it is not accepted; once is enough.

        Args:
            code: 1000, or from 4000 to 4999 for what the application has to say; those of the
                protocol, 1001 to 1014, and of libraries, 3000 to 3999, where they are meant.
            reason: For the peer's log; what is over 123 bytes is cut off.

        Raises:
            ValueError: The code is none that can be sent.
        """
        if not (3000 <= code <= 4999 or (1000 <= code <= 1014 and code not in _NEVER_SENT)):
            raise ValueError(f"a WebSocket is closed with 1000 or 4000 to 4999, not {code}.")
        await self._line.close(code, reason)

    def messages(self, into: type[T]) -> "Messages[T]":
        """Return an iterator over the messages, each as `receive(into)` returns it; it ends when
        the connection is closed. One that does not fit raises, and the iteration may go on."""
        return Messages(self, into)

    def __aiter__(self) -> "WebSocket":
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except WebSocketClosed:
            raise StopAsyncIteration from None


class Messages(Generic[T]):
    """The messages of a connection, read as one type."""

    def __init__(self, socket: WebSocket, into: type[T]) -> None:
        self._socket = socket
        self._into = into

    def __aiter__(self) -> "Messages[T]":
        return self

    async def __anext__(self) -> T:
        try:
            return await self._socket.receive(self._into)
        except WebSocketClosed:
            raise StopAsyncIteration from None

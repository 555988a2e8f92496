"""WebSockets as a feature sees them: `WebSocket`, a parameter of the method under `@websocket`.

    @websocket("/orders/live")
    async def live(self, socket: WebSocket) -> None:
        await socket.accept()
        async for order in socket.messages(Order):
            await socket.send(await self.place(order))

Each message is worked on in a fork of the connection's context. Served by `conversation.py`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import ClassVar, TypeVar, overload

from ringfence.errors import RingfenceError
from ringfence.tools.http.wire import Receive, Scope, Send

T = TypeVar("T")


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


class WebSocket:
    """One WebSocket, in the hands of the handler that serves it."""

    __ringfence_http__: ClassVar[str] = "socket"

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, *, max_message_bytes: int = 1 << 20
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._max_message_bytes = max_message_bytes

    @property
    def subprotocols(self) -> Sequence[str]:
        """The subprotocols that the client offers, in its order of preference."""
        raise NotImplementedError

    @property
    def closed(self) -> int | None:
        """The code that the connection was closed with, by either side; None while it is open."""
        raise NotImplementedError

    async def accept(
        self, subprotocol: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Complete the handshake."""
        raise NotImplementedError

    @overload
    async def receive(self) -> str | bytes: ...

    @overload
    async def receive(self, into: type[T]) -> T: ...

    async def receive(self, into: type[T] | None = None) -> T | str | bytes:
        """Wait for the next message."""
        raise NotImplementedError

    async def send(self, value: object) -> None:
        """Send a message."""
        raise NotImplementedError

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection."""
        raise NotImplementedError

    def messages(self, into: type[T]) -> AsyncIterator[T]:
        """Yield every message, read as `into`, until the connection is closed."""
        raise NotImplementedError

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        raise NotImplementedError

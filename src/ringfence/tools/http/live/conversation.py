"""Serving a WebSocket: `Conversation` is the connection behind the handler's `WebSocket`.

    conversation = Conversation(scope, receive, send, hang_ups=hang_ups, max_message_bytes=limit)
    await endpoint.live(conversation.serve)((conversation.socket,))
    await conversation.conclude(None)   # or with what was raised

Each message that comes in is a turn of its own; a handler that sends by itself, and looks at no
message, is ended when its peer goes away. Invariant: whichever way the handler ends, the peer is
told once, by an answer to the handshake or by a close code.
"""

import asyncio
from asyncio import CancelledError, shield
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from contextvars import Context as Variables
from urllib.parse import urlsplit

from msgspec import json

from ringfence.errors import AppError, Overloaded, RingfenceError
from ringfence.kernel.ports import Live
from ringfence.tools.http.answers.headers import header
from ringfence.tools.http.live.leaving import ClientGone, HangUps, Stopping
from ringfence.tools.http.live.sockets import MAX_REASON_BYTES, WebSocket, WebSocketClosed
from ringfence.tools.http.live.streams import Encode
from ringfence.tools.http.problem import Refused, answer_to, stopping
from ringfence.tools.http.wire import REFUSED, Answer, Message, Receive, Scope, Send, answer

LOST = 1006
TOO_LONG = 1009
FAILED = 1011
RESTARTING = 1012
TRY_LATER = 1013
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class Conversation:
    """One WebSocket connection.

    Args:
        scope: The request to open it.
        receive: Gives what the peer sends.
        send: Waits while the peer is slow.
        hang_ups: Where it says how it is ended, once, by an application that stops.
        max_message_bytes: Of one message that comes in.
        encode: Writes what is sent and is no text.
        redact: Masks the application's secrets in what a refusal says.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        hang_ups: HangUps,
        max_message_bytes: int = 1 << 20,
        encode: Encode = json.encode,
        redact: Callable[[str], str] = str,
    ) -> None:
        self.socket = WebSocket(self)
        self.closed: int | None = None
        self._scope = scope
        self._receive = receive
        self._send = send
        self._hang_ups = hang_ups
        self._max_message_bytes = max_message_bytes
        self._encode = encode
        self._redact = redact
        self._sending = asyncio.Lock()  # several tasks may send: one at a time
        self._live: Live | None = None
        self._accepted = False
        self._receiving = False
        self._busy = True  # with the handshake, or with a message that is not answered
        self._pushing = False  # it sends by itself: it may not look at its peer for long
        self._hand: asyncio.Task[object] | None = None  # the task that is
        self._hung_up = False
        self._ahead: asyncio.Task[Message] | None = None  # reads while the handler does not

    # ---- as the tool sees it

    async def serve(self, live: Live, work: Coroutine[object, None, object]) -> None:
        """Run the handler, inside the connection's context.

        Raises:
            ClientGone: The peer went away while the handler was sending by itself.
            Stopping: The application stops.
            Exception: What the handler raised.
        """
        self._live = live
        if (await self._receive())["type"] != "websocket.connect":
            self.closed = LOST
            return
        live.turn()
        self._hand = asyncio.current_task()
        self._hang_ups.add(self._hang_up)
        try:
            await work
        except* WebSocketClosed:
            pass  # nobody is there any more: no failure, from whichever task it comes
        finally:
            self._hang_ups.discard(self._hang_up)
            if self._ahead is not None:
                self._ahead.cancel()
                await asyncio.gather(self._ahead, return_exceptions=True)

    async def conclude(self, error: BaseException | None, operation: str = "") -> None:
        """Tell the peer how the handler has ended, if it does not know.

        Args:
            error: What came out of the kernel, or was raised before; None: the handler returned.
            operation: What was being served, for the log.
        """
        if self.closed is not None:
            return
        with suppress(OSError, WebSocketClosed):  # nobody is there to be told
            if self._accepted:
                await self.close(*_ending(error))
            else:
                self.closed = LOST
                await answer(_refusal(error, operation, self._redact), self._scope, self._send)

    def _hang_up(self) -> None:
        self._hung_up = True
        if not self._busy:
            self._leave()

    def _leave(self) -> None:
        assert self._live is not None
        self._live.end(Stopping("the application stops; connect again."))

    # ---- as the socket sees it

    @property
    def subprotocols(self) -> Sequence[str]:
        return tuple(self._scope.get("subprotocols", ()))

    async def accept(self, subprotocol: str | None, headers: Mapping[str, str]) -> None:
        if self._accepted:
            raise _misused("it has been accepted already; expected one accept.")
        if subprotocol is not None and subprotocol not in self.subprotocols:
            raise _misused(f"subprotocol {subprotocol!r:.80} is none that the client offers.")
        named = [header(name, value) for name, value in headers.items()]
        self._accepted = True
        self._hand = asyncio.current_task()  # of a `def` handler, the one that waits for it
        self._busy = False
        await self._pass({"type": "websocket.accept", "subprotocol": subprotocol, "headers": named})
        self._answered()

    async def next(self) -> str | bytes:
        self._expect_open()
        if self._receiving:
            raise _misused("two tasks receive at once; expected one.")
        assert self._live is not None
        self._hand = asyncio.current_task()
        self._busy = self._pushing = False
        self._live.rest()
        if self._hung_up:
            self._leave()
            await asyncio.sleep(0)  # where it ends
        self._receiving = True
        try:
            message = await (self._receive() if self._ahead is None else shield(self._ahead))
        finally:
            self._receiving = False
        self._busy, self._ahead = True, None
        if message["type"] == "websocket.disconnect":
            self.closed = message.get("code", 1005)
            with suppress(Overloaded):  # what the handler has to tidy up is done all the same
                self._live.turn()
            raise WebSocketClosed(self.closed, message.get("reason") or "")
        self._live.turn()
        return await self._content(message)

    async def _content(self, message: Message) -> str | bytes:
        text = message.get("text")
        content = message.get("bytes") or b"" if text is None else text
        limit = self._max_message_bytes
        if len(content) * 4 > limit and _size_bytes(content) > limit:
            await self.close(TOO_LONG, f"the message is longer than {limit} bytes")
            raise WebSocketClosed(TOO_LONG)
        return content

    async def send(self, value: object) -> None:
        self._expect_open()
        if isinstance(value, bytes | bytearray | memoryview):
            await self._pass({"type": "websocket.send", "bytes": bytes(value)})
        else:
            text = value if isinstance(value, str) else self._encode(value).decode()
            await self._pass({"type": "websocket.send", "text": text})
        self._answered()

    async def close(self, code: int, reason: str) -> None:
        if self.closed is not None:
            return
        cut = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
        async with self._sending:  # after what is being sent
            if self.closed is None:
                self.closed = code
                with suppress(OSError):
                    await self._send({"type": "websocket.close", "code": code, "reason": cut})

    def _expect_open(self) -> None:
        if self.closed is not None:
            raise WebSocketClosed(self.closed)
        if not self._accepted:
            raise _misused("it is not accepted yet; expected `await socket.accept()` before.")

    def _answered(self) -> None:
        """The message in hand is done with, as far as the peer can tell; the handler may go on."""
        here = asyncio.current_task()
        if self._hand is None or self._hand.done():  # `asyncio.wait_for` received in one of its own
            self._hand = here
        assert self._live is not None
        if here is not self._hand:
            self._live.aside()
            return
        self._busy, self._pushing = False, not self._busy
        if self._hung_up:
            self._leave()
        self._live.turn(deadline=False)
        if self._pushing:  # by then, many wait for a message and are told by it
            asyncio.get_running_loop().call_soon(self._read_ahead, context=Variables())

    def _read_ahead(self) -> None:
        """Read one message before it is asked for, to notice a peer that goes away."""
        if self._pushing and not self._receiving and self._ahead is None and self.closed is None:
            self._ahead = asyncio.ensure_future(self._receive_ahead())

    async def _receive_ahead(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.disconnect" and self._pushing:
            self.closed = message.get("code", 1005)
            assert self._live is not None
            self._live.end(ClientGone("the peer went away."))
        return message

    async def _pass(self, message: Message) -> None:
        async with self._sending:
            if self.closed is not None:
                raise WebSocketClosed(self.closed)
            try:
                await self._send(message)
            except OSError:  # how servers say that nobody is there
                self.closed = LOST
                raise WebSocketClosed(LOST) from None


def same_origin(scope: Scope, allowed: Collection[str]) -> bool:
    """Say whether a handshake comes from this site, from an origin that is `allowed`, or from no
    page at all. A browser lets any page open a WebSocket, and sends this site's cookies along; `*`
    therefore allows, as it does of requests, what comes without them."""
    named = {name: value.decode("latin-1") for name, value in scope["headers"]}
    origin = named.get(b"origin")
    if origin is None or origin in allowed or ("*" in allowed and b"cookie" not in named):
        return True
    try:
        page = urlsplit(origin)
    except ValueError:
        return False
    port = _DEFAULT_PORTS.get(page.scheme, "")
    here = named.get(b"host", "").lower()
    return bool(page.netloc) and page.netloc.lower().removesuffix(port) == here.removesuffix(port)


def _refusal(error: BaseException | None, operation: str, redact: Callable[[str], str]) -> Answer:
    if error is None:
        return Refused(403, "not_accepted", "the connection was not accepted").answer()
    if isinstance(error, Exception):
        return answer_to(error, operation, redact)
    return stopping()


def _ending(error: BaseException | None) -> tuple[int, str]:
    """Say in a close code why a handler has ended."""
    match error:
        case None:
            return 1000, ""
        case Stopping() | CancelledError():
            return RESTARTING, "the application stops"
        case ClientGone() | WebSocketClosed():
            return LOST, ""
        case AppError() if error.status < 500:
            return REFUSED, error.code
        case RingfenceError() if error.retry_after_s is not None:
            return TRY_LATER, error.code
        case RingfenceError() if error.status != 500:
            return FAILED, error.code
        case _:
            return FAILED, "internal"


def _size_bytes(content: str | bytes) -> int:
    return len(content.encode() if isinstance(content, str) else content)


def _misused(message: str) -> RingfenceError:
    return RingfenceError(message, subject="WebSocket")

"""Answers that stay open, as the test client reads them: streams, events and WebSockets.

The application runs in a task that belongs to the block which reads; leaving the block tells it
that the client has gone, and waits for it. Both sides wait for each other as over a connection
with no room in it.
"""

import asyncio
import re
from asyncio import Queue, Task, create_task
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar, overload

import msgspec
from msgspec import Struct

from ringfence.kernel.ports import carry_in, carry_out
from ringfence.testing.http_message import HttpResponse, header_list, response_of
from ringfence.tools.http.sockets import WebSocketClosed
from ringfence.tools.http.wire import Message, Receive, Scope, Send

T = TypeVar("T")
App = Callable[[Scope, Receive, Send], Awaitable[None]]
_LINE_END = re.compile(rb"\r\n|\r|\n")
_SENT_AHEAD = 16  # messages that a client sends before it waits for the application to take one


class HandshakeRefused(Exception):
    """A WebSocket was not opened; `response` is what was answered instead."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(f"{response.status}: {response.body[:500].decode(errors='replace')}")
        self.response = response


class ReceivedEvent(Struct, frozen=True):
    """One server-sent event. `id` is that of the last event that had one."""

    data: str
    id: str | None = None
    event: str | None = None

    def json(self, into: type[T]) -> T:
        """Return the data, decoded as `into`."""
        return msgspec.json.decode(self.data, type=into, dec_hook=carry_in)


# ---- streams


class _Inlet:
    """The client's end of a request whose answer is read as it comes."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._left = False
        self._over = asyncio.Event()  # the answer is complete, or nobody reads it any more
        self.start: Message | None = None
        self.begun = asyncio.Event()
        self.pieces: Queue[bytes | None] = Queue(maxsize=1)
        self.complete = False

    async def run(self, app: App, scope: Scope) -> None:
        try:
            await app(scope, self.receive, self.send)
        finally:
            self.begun.set()
            if not self._over.is_set():
                await self.pieces.put(None)

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
            self.begun.set()
            return
        if self.complete:
            raise RuntimeError(f"{message['type']} was sent after the end of the answer")
        self.complete = not message.get("more_body", False)
        body = message.get("body", b"")
        if body and not self._left:
            await self.pieces.put(body)
        if self.complete and not self._left:
            await self.pieces.put(None)
            self._over.set()

    def leave(self) -> None:
        """Go away: what is sent from now on goes nowhere."""
        self._left = True
        self._over.set()
        while not self.pieces.empty():
            self.pieces.get_nowait()


class StreamedResponse:
    """An answer that is read as it comes. Names of headers are in lower case."""

    def __init__(self, inlet: _Inlet, start: Message) -> None:
        self._inlet = inlet
        self._start = start
        self.status = start.get("status", 0)
        self.header_list = header_list(start)
        self.headers = dict(self.header_list)
        self.last_event_id: str | None = None
        self._events = self._read_events()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body in the pieces in which it was sent.

        Raises:
            RuntimeError: The answer is incomplete: over a connection, it would have been cut.
        """
        while (piece := await self._inlet.pieces.get()) is not None:
            yield piece
        if not self._inlet.complete:
            raise RuntimeError("the application ended without a whole answer")

    async def read(self) -> HttpResponse:
        """Return the whole answer, or what has not been read of it; raises as `chunks`."""
        return response_of(self._start, b"".join([piece async for piece in self.chunks()]))

    def events(self) -> AsyncIterator[ReceivedEvent]:
        """Return the iterator over server-sent events, always the same; comments, such as
        heartbeats, are left out. Raises as `chunks`."""
        return self._events

    async def _read_events(self) -> AsyncIterator[ReceivedEvent]:
        kind: str | None = None
        data: list[str] = []
        async for line in _lines(self.chunks()):
            name, _, value = line.decode().partition(":")
            value = value.removeprefix(" ")
            if not line:
                if data:
                    yield ReceivedEvent("\n".join(data), self.last_event_id, kind)
                kind, data = None, []
            elif name == "data":
                data.append(value)
            elif name == "event":
                kind = value
            elif name == "id":
                self.last_event_id = value


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    left = b""
    async for chunk in chunks:
        left += chunk
        held = left.endswith(b"\r")  # half of a line's end, perhaps
        *lines, left = _LINE_END.split(left[:-1] if held else left)
        left += b"\r" if held else b""
        for line in lines:
            yield line


@asynccontextmanager
async def streaming(app: App, scope: Scope, body: bytes) -> AsyncIterator[StreamedResponse]:
    """Run a request, and give the block its answer as soon as it begins.

    Raises:
        RuntimeError: The application ended without an answer.
    """
    inlet = _Inlet(body)
    task = create_task(inlet.run(app, scope))
    try:
        await inlet.begun.wait()
        if inlet.start is None:
            await task  # raises what it raised
            raise RuntimeError("the application ended without an answer")
        yield StreamedResponse(inlet, inlet.start)
    finally:
        inlet.leave()
        await _ended(task)


# ---- WebSockets


class ClientSocket:
    """The client's end of a WebSocket."""

    def __init__(self) -> None:
        self._to_app: Queue[Message] = Queue()
        self._room = asyncio.Semaphore(_SENT_AHEAD)  # in that queue, for messages
        self._from_app: Queue[Message | None] = Queue(maxsize=1)
        self._gone = asyncio.Event()
        self._to_app.put_nowait({"type": "websocket.connect"})
        self.subprotocol: str | None = None
        self.headers: dict[str, str] = {}
        self.closed: WebSocketClosed | None = None

    async def send(self, value: object) -> None:
        """Send a message: `str` as text, `bytes` as they are, anything else as JSON text.

        Raises:
            WebSocketClosed: This end is closed.
        """
        await self._room.acquire()
        if self._gone.is_set():
            raise self.closed or WebSocketClosed(1006)
        if isinstance(value, bytes):
            self._to_app.put_nowait({"type": "websocket.receive", "bytes": value})
        else:
            encoded = msgspec.json.encode(value, enc_hook=carry_out).decode()
            text = value if isinstance(value, str) else encoded
            self._to_app.put_nowait({"type": "websocket.receive", "text": text})

    @overload
    async def receive(self) -> str | bytes: ...

    @overload
    async def receive(self, into: type[T]) -> T: ...

    async def receive(self, into: type[T] | None = None) -> T | str | bytes:
        """Wait for the next message.

        Args:
            into: The type to read it as, from JSON; without it, it is given as it came.

        Raises:
            WebSocketClosed: The application has closed the connection; it says how.
        """
        message = None if self.closed else await self._from_app.get()
        if message is None:
            raise self._over({"type": "websocket.close", "code": 1006})
        if message["type"] == "websocket.close":
            raise self._over(message)
        text = message.get("text")
        content = message.get("bytes") or b"" if text is None else text
        if into is None:
            return content
        return msgspec.json.decode(content, type=into, dec_hook=carry_in)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, after what has been sent."""
        if not self._gone.is_set():
            closing: Message = {"type": "websocket.disconnect", "code": code, "reason": reason}
            self._to_app.put_nowait(closing)
            self.leave()

    async def abort(self) -> None:
        """Lose the connection, without a word."""
        await self.close(1006)

    def _over(self, message: Message) -> WebSocketClosed:
        if self.closed is None:
            self.closed = WebSocketClosed(message.get("code", 1000), message.get("reason") or "")
        return self.closed

    def leave(self) -> None:
        """Go away: what is sent from now on is told that nobody is there."""
        self._gone.set()
        while not self._from_app.empty():
            self._from_app.get_nowait()

    # ---- as the application sees it

    async def run(self, app: App, scope: Scope) -> None:
        try:
            await app(scope, self._take, self._deliver)
        finally:
            if not self._gone.is_set():
                await self._from_app.put(None)

    async def _take(self) -> Message:
        message = await self._to_app.get()
        self._room.release()
        return message

    async def _deliver(self, message: Message) -> None:
        if self._gone.is_set():
            raise OSError("the client has gone")
        await self._from_app.put(message)

    async def handshake(self) -> None:
        """Wait until the connection is accepted; raises HandshakeRefused."""
        message = await self._from_app.get()
        if message is None:
            raise RuntimeError("the application ended without an answer to the handshake")
        if message["type"] == "websocket.accept":
            self.subprotocol = message.get("subprotocol")
            self.headers = dict(header_list(message))
            return
        if message["type"] == "websocket.close":
            raise HandshakeRefused(HttpResponse(403, {}, b""))
        body = await self._from_app.get() or message
        raise HandshakeRefused(response_of(message, body.get("body", b"")))


@asynccontextmanager
async def talking(app: App, scope: Scope) -> AsyncIterator[ClientSocket]:
    """Open a WebSocket, give it to the block, and close it.

    Raises:
        HandshakeRefused: It is not opened.
    """
    socket = ClientSocket()
    task = create_task(socket.run(app, scope))
    try:
        await socket.handshake()
        yield socket
    finally:
        await socket.close()
        await _ended(task)


async def _ended(task: Task[None]) -> None:
    """Wait for an application to end, now that its client has gone."""
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()

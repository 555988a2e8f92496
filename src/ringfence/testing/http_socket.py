"""The client's end of a WebSocket.

The application runs in a task that belongs to the block which talks to it; leaving the block
closes the connection, and waits for it. The application waits for whoever does not read, by one
message.
"""

import asyncio
from asyncio import Queue, create_task
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar, overload

import msgspec

from ringfence.contracts.payload import carry_in, carry_out
from ringfence.testing.http_message import HttpResponse, header_list, response_of
from ringfence.testing.http_stream import ended
from ringfence.tools.http.live.sockets import WebSocketClosed
from ringfence.tools.http.wire import Asgi, Message, Scope

T = TypeVar("T")
_SENT_AHEAD = 16  # messages that a client sends before it waits for the application to take one


class HandshakeRefused(Exception):
    """A WebSocket was not opened; `response` is what was answered instead."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(f"{response.status}: {response.body[:500].decode(errors='replace')}")
        self.response = response


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

    async def run(self, app: Asgi, scope: Scope) -> None:
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
async def talking(app: Asgi, scope: Scope) -> AsyncIterator[ClientSocket]:
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
        await ended(task)

"""Answers that are read as they come: streams, and server-sent events.

The application runs in a task that belongs to the block which reads; leaving the block tells it
that the client has gone, and waits for it. Both sides wait for each other as over a connection
with no room in it.
"""

import asyncio
import re
from asyncio import Queue, Task, create_task
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
from msgspec import Struct

from ringfence.contracts.payload import carry_in
from ringfence.testing.http_message import HttpResponse, header_list, response_of
from ringfence.tools.http.wire import Asgi, Message, Scope

T = TypeVar("T")
_LINE_END = re.compile(rb"\r\n|\r|\n")


class ReceivedEvent(Struct, frozen=True):
    """One server-sent event. `id` is that of the last event that had one."""

    data: str
    id: str | None = None
    event: str | None = None

    def json(self, into: type[T]) -> T:
        """Return the data, decoded as `into`."""
        return msgspec.json.decode(self.data, type=into, dec_hook=carry_in)


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

    async def run(self, app: Asgi, scope: Scope) -> None:
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
async def streaming(app: Asgi, scope: Scope, body: bytes) -> AsyncIterator[StreamedResponse]:
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
        await ended(task)


async def ended(task: Task[None]) -> None:
    """Wait for an application to end, now that its client has gone."""
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()

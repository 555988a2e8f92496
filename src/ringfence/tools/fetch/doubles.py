"""The other side of a link, for tests: what it sees and answers, on loopback; and a clock for both.

Used by `conformance.py` and the `memory` driver; `served` is a server of its own, on plain streams,
so that no client is tested against itself.
"""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import msgspec
from msgspec import Struct

from ringfence.kernel.ports import Timer

BASE = "/base/"
_TURNS = 50  # of the loop, that what a timer wakes gets to play out


class Recorded(Struct, frozen=True):
    """A request as the other side would see it.

    Args:
        method: In capitals.
        path: Below the base URL; for an absolute URL the whole, without its query.
        query: Encoded.
        headers: By their names in lower case.
        body: Whole.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> object:
        """Return the body, read as JSON."""
        return msgspec.json.decode(self.body)


class Reply(Struct, frozen=True):
    """An answer; or, with `broken`, none.

    Args:
        status: 200 to 599.
        headers: By their names in lower case.
        body: As it is sent, compressed if a header says so.
        broken: `refused` before anything was sent, or `lost` once all of it was.
        cut: Whether the connection breaks at the end of `body`, in the middle of the answer.
    """

    status: int = 200
    headers: Mapping[str, str] = {}
    body: bytes = b""
    broken: str = ""
    cut: bool = False


Respond = Callable[[Recorded], Awaitable[Reply]]


class StandingClock:
    """A clock that stands still: a sleep is over at once, a timer runs when `elapse` reaches it."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._now = 1000.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _Set]] = []

    def now(self) -> datetime:
        """Return a time in 2030 that has moved on by what has elapsed."""
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=self._now - 1000)

    def monotonic(self) -> float:
        """Return the seconds."""
        return self._now

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Keep a callback until `elapse` reaches its moment."""
        kept = _Set(callback)
        heapq.heappush(self._timers, (when, next(self._order), kept))
        return kept

    async def sleep(self, seconds: float) -> None:
        """Return soon, that much later."""
        self.slept.append(seconds)
        self._now += seconds
        await asyncio.sleep(0)

    async def elapse(self, seconds: float) -> None:
        """Let time pass, and run what is due in it."""
        end = self._now + seconds
        while self._timers and self._timers[0][0] <= end:
            when, _, kept = heapq.heappop(self._timers)
            self._now = max(self._now, when)
            if kept.callback is not None:
                kept.callback()
            for _ in range(_TURNS):
                await asyncio.sleep(0)
        self._now = max(self._now, end)


class _Set:
    """A timer that was set."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


@asynccontextmanager
async def served(respond: Respond) -> AsyncIterator[str]:
    """Serve on loopback; the value is the base URL to configure a link with."""
    connections: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            while await _exchange(reader, writer, respond):
                pass
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass  # the client has gone, as clients do; or the server has, which ends this task
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}{BASE}"
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, respond: Respond
) -> bool:
    """Answer one request; return whether the connection stays."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    path, _, query = target.partition("?")
    fields = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in fields}
    body = await _body(reader, headers)
    reply = await respond(Recorded(method, path.removeprefix(BASE), query, headers, body))
    if reply.broken:
        return False
    length = len(reply.body) + (1000 if reply.cut else 0)
    framed = {"content-length": str(length), **reply.headers} if reply.status != 204 else {}
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in framed.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    if method != "HEAD":
        writer.write(reply.body)
    await writer.drain()
    return not reply.cut


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    pieces: list[bytes] = []
    while size := int((await reader.readline()).strip(), 16):
        pieces.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(pieces)

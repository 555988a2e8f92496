"""An HTTP driver on a port, with a clock that a test moves, and raw connections to it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct, convert

from ringfence.kernel.ports import Endpoint
from ringfence.tools.clock.drivers.fake import Config as ClockConfig
from ringfence.tools.clock.drivers.fake import Driver as FakeClock
from ringfence.tools.http.conformance import endpoint, environment
from ringfence.tools.http.drivers.uvicorn import Config, Driver
from ringfence.tools.http.server.exchange import Serve
from ringfence.tools.http.wire import Receive, Scope, Send

HELLO = b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
PATIENCE_S = 10.0  # for whatever is waited for; only a fault comes near it


class Item(Struct):
    """A body."""

    sku: str


async def take(item: Item) -> str:
    return item.sku


async def hello() -> str:
    return "hello"


class Wire:
    """A driver in the hands of a test."""

    def __init__(self, driver: Driver, clock: FakeClock) -> None:
        self.driver = driver
        self.clock = clock
        self.port = int(driver.addresses[0].rpartition(":")[2])

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await self.connect()
        try:
            yield reader, writer
        finally:
            writer.close()

    async def say(self, raw: bytes) -> bytes:
        """Send bytes, and return all that comes back until the connection is closed."""
        async with self.connected() as (reader, writer):
            writer.write(raw)
            async with asyncio.timeout(PATIENCE_S):
                return await reader.read()

    async def ask_bystander(self) -> None:
        """Send a request on a connection of its own; anything but its answer fails."""
        received = await self.say(HELLO)
        assert received.startswith(b"HTTP/1.1 200 ")
        assert received.endswith(b'"hello"')


@asynccontextmanager
async def wired(
    *endpoints: Endpoint, serve: Serve | None = None, **config: object
) -> AsyncIterator[Wire]:
    """Serve `GET /hello` and `POST /items`.

    Args:
        endpoints: Further ones.
        serve: An ASGI application that takes the place of all of them, but for `/hello`.
        config: Keys of the driver.
    """
    clock = FakeClock(ClockConfig(), environment())
    make = Driver if serve is None else _around(serve)
    driver = make(convert({"port": 0, **config}, Config), environment(clock))
    await driver.start()
    try:
        driver.bind(
            [endpoint("GET", "/hello", hello), endpoint("POST", "/items", take), *endpoints], ()
        )
        await driver.open()
        yield Wire(driver, clock)
    finally:
        closing = asyncio.ensure_future(driver.stop())
        while not closing.done():
            await clock.elapse(1)
            await asyncio.sleep(0)
        await closing


def _around(serve: Serve) -> type[Driver]:
    class Around(Driver):
        @property
        def serve(self) -> Serve:
            inner = super().serve

            async def choose(scope: Scope, receive: Receive, send: Send) -> None:
                await (inner if scope["path"] == "/hello" else serve)(scope, receive, send)

            return choose

    return Around


class Answer(Struct, frozen=True):
    """An answer as it was received."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> object:
        """Of a problem."""
        assert self.headers["content-type"] == "application/problem+json"
        return json.loads(self.body)["code"]


def answers(received: bytes) -> list[Answer]:
    """Parse what came back; every answer announces its length."""
    found: list[Answer] = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        matched = re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Za-z -]+", first)
        assert matched, first
        headers = dict(line.split(": ", 1) for line in lines)
        length = int(headers.get("content-length", "0"))
        found.append(Answer(int(matched[1]), headers, rest[:length]))
        received = rest[length:]
    return found

"""WebSockets on a port: the handshake, what is refused, and how they end."""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec import convert

from ringfence.tools.clock.drivers.fake import Config as ClockConfig
from ringfence.tools.clock.drivers.fake import Driver as FakeClock
from ringfence.tools.http.conformance import endpoint, environment
from ringfence.tools.http.drivers.uvicorn import Config, Driver
from ringfence.tools.http.server.exchange import Serve
from ringfence.tools.http.wire import Receive, Scope, Send

pytestmark = pytest.mark.anyio
KEY = base64.b64encode(b"sixteen bytes !!")
HANDSHAKE = (
    b"GET /talk?a=1 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n"
)
TRACE = b"traceparent: 00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01\r\n"


async def unused() -> None:
    raise AssertionError("the mounted application answers")


class Talker:
    """An ASGI application that echoes, and remembers what it was told."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.told: list[object] = []
        self.ended = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    self.told.append(message.get("code"))
                    return
                await send({"type": "websocket.send", "text": message.get("text")})
        finally:
            self.ended.set()


@asynccontextmanager
async def talking(
    talker: Serve, **config: object
) -> AsyncIterator[tuple[FakeClock, asyncio.StreamReader, asyncio.StreamWriter, Driver]]:
    class Talking(Driver):
        @property
        def serve(self) -> Serve:
            return talker

    clock = FakeClock(ClockConfig(), environment())
    driver = Talking(convert({"port": 0, **config}, Config), environment(clock))
    driver.bind([endpoint("WEBSOCKET", "/unused", unused)], ())
    await driver.start()
    await driver.open()
    port = int(driver.addresses[0].rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield clock, reader, writer, driver
    finally:
        writer.close()
        stopping = asyncio.ensure_future(driver.stop())
        while not stopping.done():
            await clock.elapse(1)
        await stopping


def frame(text: bytes, opcode: int = 1) -> bytes:
    assert len(text) < 126
    return bytes((0x80 | opcode, 0x80 | len(text))) + bytes(4) + text


async def test_a_handshake_is_answered_and_messages_go_both_ways() -> None:
    """Also what came in one piece with the handshake."""
    talker = Talker()
    async with talking(talker) as (_, reader, writer, _driver):
        writer.write(HANDSHAKE + TRACE + b"\r\n" + frame(b"early"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert await reader.readexactly(7) == b"\x81\x05early"
        writer.write(frame(b"hello"))
        assert await reader.readexactly(7) == b"\x81\x05hello"
    (scope,) = talker.scopes
    assert (scope["path"], scope["query_string"], scope.get("scheme")) == ("/talk", b"a=1", "ws")
    inbound = scope.get("inbound")
    assert inbound is not None
    assert (inbound.link, inbound.trace) == ("1" * 32 + "-" + "2" * 16, None)


async def test_a_trusted_proxy_says_who_connects() -> None:
    """Address, scheme and trace are those of the client."""
    talker = Talker()
    async with talking(talker, trusted_proxies=["127.0.0.1"]) as (_, reader, writer, _driver):
        forwarded = b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n"
        writer.write(HANDSHAKE + TRACE + forwarded + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
    (scope,) = talker.scopes
    inbound = scope.get("inbound")
    assert inbound is not None
    assert (scope.get("scheme"), inbound.trace) == ("wss", int("1" * 32, 16))
    assert dict(scope)["client"] == ("203.0.113.9", 0)


@pytest.mark.parametrize(
    "sent, status",
    [
        (HANDSHAKE.replace(b"Version: 13", b"Version: 9") + b"\r\n", 400),
        (HANDSHAKE.replace(b"Sec-WebSocket-Key", b"X-Key") + b"\r\n", 400),
        (HANDSHAKE + b"Content-Length: 2\r\n\r\n{}", 400),
        (HANDSHAKE.replace(b"localhost", b"evil.example") + b"\r\n", 421),
    ],
    ids=["another version", "no key", "a body", "another host"],
)
async def test_what_is_no_handshake_is_refused(
    sent: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A problem, the connection is closed, one record; the application hears nothing of it."""
    talker = Talker()
    async with talking(talker) as (_, reader, writer, _driver):
        writer.write(sent)
        head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(body)["status"] == status
    assert talker.scopes == []
    assert len(caplog.records) == 1


async def test_closing_tells_client_and_handler() -> None:
    """1012: the service restarts."""
    talker = Talker()
    async with talking(talker) as (_, reader, writer, driver):
        writer.write(HANDSHAKE + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.wait_for(driver.close(5), 10)
        assert await reader.read() == b"\x88\x02" + (1012).to_bytes(2, "big")
    assert talker.told == [1012]


async def test_a_message_that_is_too_long_ends_the_connection() -> None:
    """1009, before it is complete."""
    talker = Talker()
    async with talking(talker, max_message_bytes=100) as (_, reader, writer, _driver):
        writer.write(HANDSHAKE + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(b"x" * 101))
        ended = await asyncio.wait_for(reader.read(), 10)
        await talker.ended.wait()
    assert ended[0] == 0x88
    assert ended[2:4] == (1009).to_bytes(2, "big")


async def test_what_is_no_frame_ends_the_connection() -> None:
    """1002, and the handler is told."""
    talker = Talker()
    async with talking(talker) as (_, reader, writer, _driver):
        writer.write(HANDSHAKE + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\xff\xff\xff\xff")
        ended = await asyncio.wait_for(reader.read(), 10)
        await asyncio.wait_for(talker.ended.wait(), 10)
    assert ended[2:4] == (1002).to_bytes(2, "big")


async def test_a_silent_client_is_asked_and_then_cut_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A ping after 20 seconds; without any answer, the connection ends after 20 more."""
    talker = Talker()
    async with talking(talker) as (clock, reader, writer, _driver):
        writer.write(HANDSHAKE + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await clock.elapse(23)
        assert await asyncio.wait_for(reader.readexactly(2), 10) == b"\x89\x00"
        writer.write(frame(b"", opcode=0xA) + frame(b"here"))
        assert await asyncio.wait_for(reader.readexactly(6), 10) == b"\x81\x04here"
        await clock.elapse(43)
        await clock.elapse(43)
        await asyncio.wait_for(talker.ended.wait(), 10)
    assert caplog.messages == ["http: ping_timeout: 127.0.0.1 was cut off"]


def test_an_application_without_websockets_does_not_load_their_library() -> None:
    """wsproto costs memory and time at the start."""
    code = "import sys, ringfence.tools.http.drivers.uvicorn; print('wsproto' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

"""Random bytes in random pieces: nothing escapes the protocol, and what it keeps is bounded."""

import asyncio
import re
import sys
from collections.abc import Coroutine
from typing import Any, cast

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from ringfence.tools.http.conformance import endpoint, environment
from ringfence.tools.http.drivers.uvicorn import Config, Driver
from ringfence.tools.http.server.protocol import Connection

H = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
TRACED = b"traceparent: 00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01\r\n"
SEEDS = [
    b"GET /hello HTTP/1.1\r\n" + H + b"\r\n",
    b"GET /hello?a=%00&b[]=1 HTTP/1.1\r\n" + H + b"Cookie: a=b; c\r\nAccept: */*\r\n\r\n",
    b"HEAD /hello HTTP/1.1\r\n"
    + H
    + b"traceparent: 00-"
    + b"1" * 32
    + b"-"
    + b"2" * 16
    + b"-01\r\n\r\n",
    b"GET http://localhost/hello HTTP/1.0\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n",
    b"POST /items HTTP/1.1\r\n"
    + H
    + b'Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{"sku":"tea"}',
    b"POST /items HTTP/1.1\r\n" + H + b"Content-Type: application/json\r\n"
    b'Transfer-Encoding: chunked\r\n\r\n6;x=y\r\n{"sku"\r\n7\r\n:"tea"}\r\n0\r\nX-Late: 1\r\n\r\n',
    b"POST /items HTTP/1.1\r\n" + H + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    b"OPTIONS * HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n",
    b"GET /hello HTTP/1.1\r\n" + H + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"GET /talk HTTP/1.1\r\n" + H + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    b"\x81\x80\0\0\0\0",
    b"CONNECT localhost:1 HTTP/1.1\r\n" + H + b"\r\n",
]
TOKENS = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b":",
    b"\t",
    b"\xff",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: a\r\n",
    b"HTTP/1.1",
    b"Upgrade: websocket\r\n",
    b"Connection: upgrade, close\r\n",
    b"Expect: 100-continue\r\n",
    b"\x1b[31m",
    b"%",
    b"../",
    b"#",
    b"[" * 300,
]
LARGEST = 64 << 10


class Item(Struct):
    """A body."""

    sku: str


async def hello() -> str:
    return "hello"


async def take(item: Item) -> str:
    return item.sku


class Transport(asyncio.Transport):
    """What a connection writes to, in memory."""

    def __init__(self) -> None:
        super().__init__({"peername": ["127.0.0.1", 1], "sockname": ["127.0.0.1", 2]})
        self.written = bytearray()
        self.closed = False
        self.reading = True
        self.protocol: asyncio.BaseProtocol | None = None

    def write(self, data: Any) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        assert not self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """One request or several, with whatever is put in, taken out, doubled or overwritten."""
    raw = b"".join(draw(st.lists(st.sampled_from(SEEDS), min_size=1, max_size=4)))
    for _ in range(draw(st.integers(0, 5))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.integers(0, 20)))
        put = draw(st.sampled_from(TOKENS) | st.binary(max_size=8) | st.just(raw[start:end] * 2))
        raw = raw[:start] + put + raw[end:]
    return raw


def pieces(raw: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({cut % (len(raw) + 1) for cut in cuts} | {len(raw)})
    return [raw[a:b] for a, b in zip([0, *ends], ends, strict=False) if a < b]


async def converse(raw: bytes, cuts: list[int]) -> Transport:
    """Feed a connection, let its requests be answered, let time pass, and lose it."""
    loop = asyncio.get_running_loop()
    escaped: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: escaped.append(context))
    driver = Driver(Config(port=0), environment())
    driver.bind([endpoint("GET", "/hello", hello), endpoint("POST", "/items", take)], ())
    connection = Connection(driver.shared())
    transport = Transport()
    transport.protocol = connection
    connection.connection_made(transport)
    for piece in pieces(raw, cuts):
        if transport.closed:
            break
        cast("asyncio.Protocol", transport.protocol).data_received(piece)
        await asyncio.sleep(0)
        assert kept(connection) < LARGEST
    for _ in range(20):
        await asyncio.sleep(0)
    connection.check(connection.open.now + 3600)
    cast("asyncio.Protocol", transport.protocol).connection_lost(None)
    for _ in range(20):
        await asyncio.sleep(0)
    assert escaped == []
    assert connection.open.waiting == 0
    assert not connection.open.tasks
    return transport


def kept(connection: Connection) -> int:
    """Return the bytes that a connection holds itself."""
    held = [value for value in vars(connection).values() if isinstance(value, bytes | bytearray)]
    return sum(map(sys.getsizeof, held)) + sum(
        map(len, (b"".join(h) for h in connection.headers or ()))
    )


def run(main: Coroutine[Any, Any, Transport]) -> Transport:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


STATUS = re.compile(rb"HTTP/1\.1 (\d)(\d\d) [A-Za-z -]+\r\ndate: ")


@settings(max_examples=300, deadline=None)
@given(streams(), st.lists(st.integers(0, 4000), max_size=6))
def test_mutated_requests_are_answered_or_refused(raw: bytes, cuts: list[int]) -> None:
    """Nothing is answered 5xx, nothing escapes, nothing stays."""
    written = bytes(run(converse(raw, cuts)).written)
    assert not written or STATUS.match(written) or written.startswith(b"HTTP/1.1 100 Continue\r\n")
    assert b"5" not in {found[1] for found in STATUS.finditer(written)}


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=6))
def test_random_bytes_are_refused(raw: bytes, cuts: list[int]) -> None:
    """Whatever they are."""
    found = {match[1] for match in STATUS.finditer(bytes(run(converse(raw, cuts)).written))}
    assert found <= {b"2", b"4"}


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(SEEDS[:6]), st.lists(st.integers(0, 400), max_size=8))
def test_it_does_not_matter_how_a_request_is_cut(raw: bytes, cuts: list[int]) -> None:
    """The answer is the same, but for its date."""

    def answered(at: list[int]) -> bytes:
        return re.sub(rb"date: [^\r]*\r\n", b"", bytes(run(converse(raw, at)).written))

    assert answered(cuts) == answered([])


@pytest.mark.parametrize("raw", SEEDS[:4])
def test_the_seeds_are_requests(raw: bytes) -> None:
    """What is mutated is answered 200 as it stands."""
    assert bytes(run(converse(raw, [])).written).startswith(b"HTTP/1.1 200 ")

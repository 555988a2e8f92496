"""Clients that send or read too slowly: given up in time, and in nobody else's way."""

import asyncio
import socket
from contextlib import AsyncExitStack

import pytest

from ringfence.tools.http.conformance import endpoint
from ringfence.tools.http.wire import Receive, Scope, Send

from .wire import PATIENCE_S, Wire, answers, wired

pytestmark = pytest.mark.anyio
H = b"Host: localhost\r\n"
POST = b"POST /items HTTP/1.1\r\n" + H + b"Content-Type: application/json\r\n"


async def _drip(wire: Wire, writers: list[asyncio.StreamWriter], seconds: int, drop: bytes) -> None:
    """Let time pass, each second with a drop on every connection, and the bystander served."""
    for _ in range(seconds):
        for writer in writers:
            writer.write(drop)
        await wire.ask_bystander()
        await wire.clock.elapse(1)


async def test_five_hundred_dripping_connections_are_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each drips a byte a second; each is told 408, the bystander is served throughout, and two
    records say it: the first, and how many more."""
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(wired(max_connections_per_address=1000))
        both = [await stack.enter_async_context(wire.connected()) for _ in range(500)]
        for _, writer in both:
            writer.write(b"GET /hello HTTP/1.1\r\n" + H + b"X: ")
        await _drip(wire, [writer for _, writer in both], 24, b"a")
        async with asyncio.timeout(PATIENCE_S):
            received = [await reader.read() for reader, _ in both]
        assert {(a.status, a.code) for each in received for a in answers(each)} == {
            (408, "too_slow")
        }
        await wire.ask_bystander()
        assert caplog.messages == [
            "http: too_slow: 127.0.0.1 was answered 408",
            "http: too_slow: 499 more in the same second",
        ]


async def test_a_connection_that_says_nothing_is_closed_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Browsers open some in advance; nobody has asked for anything."""
    async with wired() as wire, wire.connected() as (reader, _):
        await wire.ask_bystander()
        await wire.clock.elapse(19)
        await wire.ask_bystander()
        assert not reader.at_eof()
        await wire.clock.elapse(4)
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
    assert caplog.records == []


async def test_a_body_that_drips_is_given_up() -> None:
    """Below 500 bytes a second the deadline holds; the operation never starts."""
    async with wired() as wire, wire.connected() as (reader, writer):
        writer.write(POST + b"Content-Length: 1000\r\n\r\n")
        await _drip(wire, [writer], 24, b" ")
        async with asyncio.timeout(PATIENCE_S):
            (answer,) = answers(await reader.read())
    assert (answer.status, answer.code) == (408, "too_slow")


async def test_a_body_that_keeps_the_least_rate_is_waited_for() -> None:
    """500 bytes a second buy the next second."""
    async with wired() as wire, wire.connected() as (reader, writer):
        writer.write(POST + b"Content-Length: 60015\r\n\r\n")
        await _drip(wire, [writer], 60, b" " * 1000)
        writer.write(b'{"sku": "tea"} ')
        received = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        assert received.startswith(b"HTTP/1.1 200 ")


async def test_time_in_which_the_application_does_not_read_is_not_the_clients() -> None:
    """A client that was made to wait is not called slow."""
    reading = asyncio.Event()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await reading.wait()
        size = 0
        while True:
            message = await receive()
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        body = str(size).encode()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async with wired(serve=serve) as wire, wire.connected() as (reader, writer):
        size = 8 << 20
        writer.write(b"POST / HTTP/1.1\r\n" + H + b"Content-Length: %d\r\n\r\n" % size)
        writer.write(b" " * size)
        for _ in range(40):
            await wire.ask_bystander()
            await wire.clock.elapse(5)
        reading.set()
        received = await asyncio.wait_for(reader.readuntil(str(size).encode()), PATIENCE_S)
        assert received.startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_does_not_read_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of its answer has gone for so long; a record says so."""

    async def big() -> str:
        return "x" * 50_000_000

    async with wired(endpoint("GET", "/big", big)) as wire, wire.connected() as (reader, writer):
        # Some systems would take all of it into the buffer of who does not read.
        line = writer.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        writer.write(b"GET /big HTTP/1.1\r\n" + H + b"\r\n")
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        for _ in range(25):
            await wire.ask_bystander()
            await wire.clock.elapse(1)
        received = await asyncio.wait_for(reader.read(), PATIENCE_S)
        assert len(received) < 50_000_000
    assert caplog.messages == ["http: write_timeout: 127.0.0.1 was cut off"]


async def test_a_client_that_reads_slowly_gets_its_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As long as anything goes, nothing is cut off."""

    async def big() -> str:
        return "x" * 20_000_000

    async with wired(endpoint("GET", "/big", big)) as wire, wire.connected() as (reader, writer):
        writer.write(b"GET /big HTTP/1.1\r\n" + H + b"\r\n")
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        left = 20_000_002
        while left:
            left -= len(await asyncio.wait_for(reader.readexactly(min(left, 500_000)), PATIENCE_S))
            await wire.clock.elapse(5)
    assert caplog.messages == []


async def test_an_idle_connection_is_closed_after_its_time() -> None:
    """And not before."""
    async with wired(keep_alive_s=5) as wire, wire.connected() as (reader, writer):
        writer.write(b"GET /hello HTTP/1.1\r\n" + H + b"\r\n")
        await asyncio.wait_for(reader.readuntil(b'"hello"'), PATIENCE_S)
        await wire.clock.elapse(5)
        await wire.ask_bystander()
        assert not reader.at_eof()
        await wire.clock.elapse(2)
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""


async def test_an_operation_takes_as_long_as_it_takes(caplog: pytest.LogCaptureFixture) -> None:
    """No deadline of the connection is one of the answer."""
    entered, released = asyncio.Event(), asyncio.Event()

    async def hang() -> str:
        entered.set()
        await released.wait()
        return "done"

    async with wired(endpoint("GET", "/hang", hang)) as wire, wire.connected() as (reader, writer):
        writer.write(b"GET /hang HTTP/1.1\r\n" + H + b"\r\n")
        await entered.wait()
        await wire.clock.elapse(1000)
        await wire.ask_bystander()
        released.set()
        answered = await asyncio.wait_for(reader.readuntil(b'"done"'), PATIENCE_S)
    assert answered.startswith(b"HTTP/1.1 200 ")
    assert caplog.messages == []

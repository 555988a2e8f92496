"""More than a request may be: refused while it comes in, in bounded memory."""

import asyncio
import gc
import tracemalloc
from contextlib import AsyncExitStack

import pytest

from ringfence.tools.http.conformance import endpoint

from .wire import answers, wired

pytestmark = pytest.mark.anyio
H = b"Host: localhost\r\n"
GET = b"GET /hello HTTP/1.1\r\n" + H + b"\r\n"
JSON = b"Content-Type: application/json\r\n"


async def _pour(sent: bytes, more: bytes) -> tuple[int, int]:
    """Send `sent`, then `more` up to a gigabyte; return the answer's status, and what was sent."""
    async with wired() as wire, wire.connected() as (reader, writer):
        answering = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
        writer.write(sent)
        count = 0
        try:
            while count < 1 << 30:
                writer.write(more)
                await writer.drain()
                count += len(more)
        except ConnectionError:
            pass
        received = await answering
        await wire.ask_bystander()
        return int(received[9:12]), count


async def test_a_gigabyte_is_refused_without_being_kept() -> None:
    """Announced by nothing, in chunks: 413 at the limit, and memory stays where it was."""
    gc.collect()
    tracemalloc.start()
    try:
        head = b"POST /items HTTP/1.1\r\n" + H + JSON + b"Transfer-Encoding: chunked\r\n\r\n"
        status, sent = await _pour(head, b"10000\r\n" + b"[" * 65536 + b"\r\n")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert status == 413
    assert sent < 64 << 20
    assert peak < 16 << 20


async def test_a_hundred_thousand_brackets_are_no_answer_but_400() -> None:
    """Depth costs nothing but the refusal."""
    body = b"[" * 100_000
    head = b"POST /items HTTP/1.1\r\n" + H + JSON + b"Content-Length: 100000\r\n\r\n"
    async with wired() as wire:
        async with wire.connected() as (reader, writer):
            writer.write(head + body)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        await wire.ask_bystander()


@pytest.mark.parametrize(
    "sent, more, status",
    [
        pytest.param(b"GET /", b"a" * 4096, 414, id="a path without end"),
        pytest.param(b"GET /hello?", b"a=b&" * 1024, 414, id="a query without end"),
        pytest.param(b"GET /hello HTTP/1.1\r\nX-", b"a" * 4096, 431, id="a name without end"),
        pytest.param(b"GET /hello HTTP/1.1\r\nX: ", b"a" * 4096, 431, id="a value without end"),
        pytest.param(b"GET /hello HTTP/1.1\r\n", b"X: a\r\n" * 512, 431, id="endless headers"),
        pytest.param(
            b"POST /items HTTP/1.1\r\n" + H + JSON + b"Transfer-Encoding: chunked\r\n\r\n1;",
            b"a" * 4096,
            400,
            id="a chunk extension without end",
        ),
        pytest.param(
            b"POST /items HTTP/1.1\r\n" + H + JSON + b"Transfer-Encoding: chunked\r\n\r\n",
            b"0" * 4096,
            400,
            id="a chunk size of zeros without end",
        ),
        pytest.param(
            b"POST /items HTTP/1.1\r\n" + H + JSON + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ",
            b"a" * 4096,
            400,
            id="a trailer without end",
        ),
        pytest.param(
            b"POST /items HTTP/1.1\r\n" + H + JSON + b"Transfer-Encoding: chunked\r\n\r\n",
            b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n[\r\n" * 128,
            400,
            id="extensions of tiny chunks",
        ),
    ],
)
async def test_what_has_no_end_is_refused_while_it_comes_in(
    sent: bytes, more: bytes, status: int
) -> None:
    """Nothing waits for its end."""
    answered, count = await _pour(sent, more)
    assert answered == status
    assert count < 64 << 20


@pytest.mark.parametrize(
    "request_, status",
    [
        (b"GET /hello?" + b"a" * 8186 + b" HTTP/1.1\r\n" + H, 200),
        (b"GET /hello?" + b"a" * 8187 + b" HTTP/1.1\r\n" + H, 414),
        (b"GET /hello HTTP/1.1\r\n" + H + b"X-A: b\r\n" * 99, 200),
        (b"GET /hello HTTP/1.1\r\n" + H + b"X-A: b\r\n" * 100, 431),
        (b"GET /hello HTTP/1.1\r\n" + H + b"X-A: " + b"b" * (32768 - 24) + b"\r\n", 200),
        (b"GET /hello HTTP/1.1\r\n" + H + b"X-A: " + b"b" * (32768 - 23) + b"\r\n", 431),
    ],
    ids=["target at", "target over", "count at", "count over", "bytes at", "bytes over"],
)
async def test_a_limit_is_kept_to_the_byte(request_: bytes, status: int) -> None:
    """What is as large as the limit is served, in one piece or in two; one more is not."""
    async with wired() as wire:
        for pieces in (1, 2):
            async with wire.connected() as (reader, writer):
                middle = len(request_) // pieces
                writer.write(request_[:middle])
                await wire.ask_bystander()
                writer.write(request_[middle:] + b"\r\n")
                received = await reader.readuntil(b"\r\n\r\n")
                assert received.startswith(b"HTTP/1.1 %d " % status)


async def test_an_answer_that_is_refused_early_is_read_by_a_client_that_sends_on() -> None:
    """The answer to a body that is too long is not lost because the body was still coming."""
    head = b"POST /items HTTP/1.1\r\n" + H + JSON + b"Content-Length: 4000000\r\n\r\n"
    async with wired() as wire, wire.connected() as (reader, writer):
        writer.write(head)
        writer.write(b"x" * 4_000_000)
        await writer.drain()
        (answer,) = answers(await reader.read())
    assert answer.status == 413


async def test_requests_in_number_wait_for_their_turn_in_bounded_memory() -> None:
    """Of thousands sent at once some are answered, the last of them saying so."""
    async with wired() as wire, wire.connected() as (reader, writer):
        writer.write((b"GET /hello HTTP/1.1\r\n" + H + b"\r\n") * 5000)
        async with asyncio.timeout(10):
            received = answers(await reader.read())
        assert 64 <= len(received) < 5000
        assert received[-1].headers["connection"] == "close"
        await wire.ask_bystander()


async def test_more_requests_at_a_time_than_allowed_are_told_to_come_back() -> None:
    """503 with Retry-After; those in progress end well."""
    entered, released = asyncio.Event(), asyncio.Event()

    async def hang() -> str:
        entered.set()
        await released.wait()
        return "done"

    request = b"GET /hang HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n"
    async with wired(endpoint("GET", "/hang", hang), max_concurrency=1) as wire:
        first = asyncio.create_task(wire.say(request))
        await entered.wait()
        (refused,) = answers(await wire.say(request))
        released.set()
        (served,) = answers(await first)
        await wire.ask_bystander()
    assert (refused.status, refused.code) == (503, "overloaded")
    assert refused.headers["retry-after"] == "1"
    assert (served.status, served.body) == (200, b'"done"')


@pytest.mark.parametrize(
    "limits, code",
    [
        ({"max_connections": 2}, "too_many_connections"),
        ({"max_connections_per_address": 2}, "too_many_connections_from_address"),
    ],
)
async def test_more_connections_than_allowed_are_told_so(
    limits: dict[str, int], code: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Altogether or from one address; whoever leaves makes room."""
    async with wired(serve=None, **limits) as wire, AsyncExitStack() as stack:
        for _ in range(2):
            reader, writer = await stack.enter_async_context(wire.connected())
            writer.write(GET)
            await reader.readuntil(b'"hello"')
        (refused,) = answers(await wire.say(GET))
        assert (refused.status, refused.code) == (503, code)
        assert refused.headers["retry-after"] == "1"
        await stack.aclose()
        await wire.clock.elapse(2)
        await wire.ask_bystander()
    assert caplog.messages == [f"http: {code}: 127.0.0.1 was answered 503"]


async def test_a_trusted_proxy_may_have_as_many_connections_as_it_needs() -> None:
    """It speaks for many."""
    limits: dict[str, object] = {"max_connections_per_address": 1}
    async with (
        wired(serve=None, trusted_proxies=["127.0.0.1"], **limits) as wire,
        wire.connected() as (reader, writer),
    ):
        writer.write(GET)
        await reader.readuntil(b'"hello"')
        await wire.ask_bystander()

"""What an application may answer, and what becomes of it on the wire."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from ringfence.tools.http.conformance import environment
from ringfence.tools.http.drivers.uvicorn import Config, Driver
from ringfence.tools.http.server.exchange import Serve
from ringfence.tools.http.wire import Receive, Scope, Send

pytestmark = pytest.mark.anyio
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = GET.removesuffix(b"\r\n") + b"Connection: close\r\n\r\n"


@asynccontextmanager
async def serving(
    serve_: Serve,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    class Serving(Driver):
        @property
        def serve(self) -> Serve:
            return serve_

    driver = Serving(Config(port=0), environment())
    await driver.start()
    await driver.open()
    port = int(driver.addresses[0].rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await driver.stop()


def answering(
    *pieces: bytes, headers: Iterable[tuple[bytes, bytes]] = (), status: int = 200
) -> Serve:
    """Return an application that answers with these pieces of a body."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": status, "headers": list(headers)}
        await send(start)  # type: ignore[arg-type]
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return serve


async def said(serve: Serve, sent: bytes = LAST) -> tuple[bytes, bytes]:
    """Return head and body of what comes back until the connection is closed."""
    async with serving(serve) as (reader, writer):
        writer.write(sent)
        head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
        return head, body


@pytest.mark.parametrize(
    "header",
    [
        (b"x-a", b"b\r\nset-cookie: stolen"),
        (b"x-a", b"b\nset-cookie: stolen"),
        (b"x-a\r\nset-cookie", b"stolen"),
        (b"x-a: b", b"c"),
        (b"", b"b"),
        (b"x-a", b"\x00"),
        (b"content-length", b"-1"),
        (b"content-length", b"1, 1"),
    ],
)
async def test_a_header_that_would_split_the_answer_is_not_sent(
    header: tuple[bytes, bytes],
) -> None:
    """The request is answered 500, without it."""
    head, _ = await said(answering(b"x", headers=[header]))
    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"stolen" not in head


async def test_a_body_without_length_is_sent_in_chunks() -> None:
    """To HTTP/1.0 as it is, ended by the connection's end."""
    head, body = await said(answering(b"ab", b"", b"c"))
    assert b"transfer-encoding: chunked" in head
    assert body == b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    head, body = await said(answering(b"ab", b"c"), b"GET / HTTP/1.0\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert body == b"abc"


@pytest.mark.parametrize("status", [204, 304])
async def test_what_has_no_body_is_sent_without(status: int) -> None:
    """Nothing of a body is sent that no client would read."""
    head, body = await said(answering(b"ab", status=status))
    assert b"transfer-encoding" not in head
    assert body == b""


async def test_head_is_answered_without_a_body() -> None:
    """The length is that of the answer to GET."""
    serve = answering(b"abc", headers=[(b"content-length", b"3")])
    head, body = await said(serve, LAST.replace(b"GET", b"HEAD"))
    assert b"content-length: 3" in head
    assert body == b""


@pytest.mark.parametrize("length", [b"2", b"4"])
async def test_an_answer_that_does_not_keep_its_length_ends_with_its_connection(
    length: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The next answer is never taken for a part of it."""
    serve = answering(b"abc", headers=[(b"content-length", length)])
    async with serving(serve) as (reader, writer):
        writer.write(GET * 2)
        received = await asyncio.wait_for(reader.read(), 10)
    assert received.count(b"HTTP/1.1") <= 1
    assert len(caplog.records) == 1


async def test_a_body_that_was_never_asked_for_is_not_waited_for() -> None:
    """Whoever expects to be told may send it or not: the connection is closed."""
    post = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    )
    head, _ = await said(answering(b"no"), post)
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in head


async def test_an_application_that_raises_is_answered_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """500 with no detail; the record has the place, and nothing of the message."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("hunter2")

    head, body = await said(serve)
    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"application/problem+json" in head
    assert b"hunter2" not in body
    assert "hunter2" not in caplog.text
    assert "ValueError" in caplog.text


async def test_whoever_leaves_is_noticed() -> None:
    """The application is told, and its answer goes nowhere."""
    told = asyncio.Event()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        told.set()

    async with serving(serve) as (_, writer):
        writer.write(GET)
        await writer.drain()
        writer.close()
        await asyncio.wait_for(told.wait(), 10)

"""Answers as gzip."""

import asyncio
import gzip
import random
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.testing.http import HttpClient, HttpResponse
from ringfence.tools.http.answers.files import File, send_file
from ringfence.tools.http.beside.compress import PIECE_BYTES, compressing, takes_gzip
from ringfence.tools.http.wire import Answer, Asgi, Message, Receive, Scope, Send, bodiless

pytestmark = pytest.mark.anyio

TEXT = b'{"some": "text"}' * 100
GZIP = {"accept-encoding": "gzip, deflate, br"}


def answering(
    body: bytes = TEXT, headers: Mapping[str, str] | None = None, status: int = 200
) -> Asgi:
    given = {"content-type": "application/json", **(headers or {})}
    raw = tuple((name.encode(), value.encode()) for name, value in given.items())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        send = bodiless(send) if scope["method"] == "HEAD" else send
        await Answer(status, body, raw).send_to(send)

    return app


async def fetch(
    app: Asgi, headers: Mapping[str, str] = GZIP, min_bytes: int = 500, method: str = "GET"
) -> HttpResponse:
    return await HttpClient(compressing(app, min_bytes)).request(method, "/", headers=headers)


async def test_an_answer_is_compressed() -> None:
    """It says so, says its length, and that it depends on what the client takes."""
    answer = await fetch(answering())
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert int(answer.headers["content-length"]) == len(answer.body) < len(TEXT)
    assert gzip.decompress(answer.body) == TEXT


async def test_a_client_that_takes_no_gzip_gets_it_as_it_is() -> None:
    """A cache between is told all the same."""
    answer = await fetch(answering(headers={"etag": '"1"'}), {})
    assert (answer.body, answer.headers["vary"]) == (TEXT, "Accept-Encoding")
    assert answer.headers["etag"] == '"1"'
    assert "content-encoding" not in answer.headers


async def test_a_small_answer_stays_as_it_is() -> None:
    """From the size on that is configured, and no byte below."""
    below = await fetch(answering(TEXT[:499]))
    assert below.body == TEXT[:499]
    assert not {"content-encoding", "vary"} & below.headers.keys()
    assert "content-encoding" in (await fetch(answering(TEXT[:500]))).headers


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "application/problem+json", "text/html; charset=utf-8", "text/csv",
     "application/xml", "application/atom+xml", "text/javascript", "application/javascript",
     "image/svg+xml", "application/x-ndjson", "Application/JSON", "application/openapi+json"],
)  # fmt: skip
async def test_text_is_compressed(media_type: str) -> None:
    """Of every kind."""
    answer = await fetch(answering(headers={"content-type": media_type}))
    assert gzip.decompress(answer.body) == TEXT


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/event-stream"},
        {"content-type": "text/event-stream; charset=utf-8"},
        {"content-type": "image/png"},
        {"content-type": "application/octet-stream"},
        {"content-type": "application/zip"},
        {"content-type": "multipart/byteranges; boundary=x"},
        {"content-type": ""},
        {"content-encoding": "br"},
        {"content-encoding": "identity"},
        {"content-range": "bytes 0-9/10"},
        {"cache-control": "public, No-Transform"},
    ],
)
async def test_what_must_not_be_changed_is_not(headers: dict[str, str]) -> None:
    """Events, what is compressed already, parts of a file, and what forbids it."""
    answer = await fetch(answering(headers=headers))
    assert answer.body == TEXT
    assert answer.headers.get("content-encoding") == headers.get("content-encoding")


@pytest.mark.parametrize("status", [204, 206, 304])
async def test_an_answer_without_a_whole_body_is_not_changed(status: int) -> None:
    """There is nothing to compress."""
    answer = await fetch(answering(TEXT, {"etag": '"1"'}, status))
    assert (answer.body, answer.headers["etag"]) == (TEXT, '"1"')


async def test_an_etag_becomes_weak() -> None:
    """It does not name these bytes; one that is weak stays."""
    assert (await fetch(answering(headers={"etag": '"1"'}))).headers["etag"] == 'W/"1"'
    assert (await fetch(answering(headers={"etag": 'W/"1"'}))).headers["etag"] == 'W/"1"'


@pytest.mark.parametrize("vary, told", [("Origin", 2), ("accept-encoding, Origin", 1), ("*", 1)])
async def test_vary_is_said_once(vary: str, told: int) -> None:
    """What the application says stays."""
    seen: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def noting(message: Message) -> None:
            seen.append(message)
            await send(message)

        await compressing(answering(headers={"vary": vary}), 1)(scope, receive, noting)

    await HttpClient(app).get("/", headers=GZIP)
    values = [value for name, value in seen[0]["headers"] if name == b"vary"]
    assert len(values) == told
    assert values[0] == vary.encode()


@pytest.mark.parametrize(
    "accepted, wanted",
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("*", True),
        ("br, gzip;q=0.5", True),
        ("gzip ; q = 0.001", True),
        ("gzip;q=1.000, identity;q=1", True),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("*;q=0", False),
        ("*, gzip;q=0", False),
        ("identity, gzip;q=0.5", False),
        ("identity;q=0.6, *;q=0.5", False),
        ("gzip;q=x", False),
        ("gzip;q=1.5.2", False),
        ("notgzip", False),
    ],
)
def test_what_the_client_prefers_counts(accepted: str, wanted: bool) -> None:
    """By weight, not by whether the word stands there."""
    assert takes_gzip([(b"accept-encoding", accepted.encode())]) is wanted


@given(st.binary(max_size=50))
def test_no_header_breaks_it(accepted: bytes) -> None:
    """Whatever a client sends."""
    assert takes_gzip([(b"accept-encoding", accepted)]) in (True, False)


async def test_head_is_answered_as_get_would_be() -> None:
    """Without a body there is nothing to encode."""
    answer = await fetch(answering(), method="HEAD")
    assert (answer.status, answer.body, answer.headers["vary"]) == (200, b"", "Accept-Encoding")
    assert "content-encoding" not in answer.headers


async def test_a_big_body_leaves_the_loop_to_others() -> None:
    """It is compressed a piece at a time."""
    text = random.Random(1).randbytes(1 << 20).hex().encode()
    turns = 0
    done = False

    async def count() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    answer = await fetch(answering(text))
    done = True
    await counting
    assert turns >= len(text) // PIECE_BYTES - 1
    assert gzip.decompress(answer.body) == text
    assert "content-length" not in answer.headers


def streaming(pieces: Sequence[bytes], headers: Mapping[str, str] | None = None) -> Asgi:
    given = {"content-type": "text/csv", **(headers or {})}
    raw = [(name.encode(), value.encode()) for name, value in given.items()]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    return app


async def test_a_stream_arrives_piece_by_piece() -> None:
    """The client can read each piece as it is sent, and the headers before the first."""
    sent: list[Message] = []
    read: list[bytes] = []
    decompressor = zlib.decompressobj(16 + zlib.MAX_WBITS)
    pieces = [b"a,b\n", b"1,2\n", b"3,4\n"]

    async def send(message: Message) -> None:
        sent.append(message)
        read.append(decompressor.decompress(message.get("body", b"")))

    async def app(scope: Scope, receive: Receive, _: Send) -> None:
        await compressing(streaming(pieces), 500)(scope, receive, send)

    with pytest.raises(RuntimeError):
        await HttpClient(app).get("/", headers=GZIP)
    assert read == [b"", *pieces, b""]
    assert decompressor.eof
    assert dict(sent[0]["headers"])[b"content-encoding"] == b"gzip"


@given(st.lists(st.binary(max_size=300), max_size=8), st.booleans(), st.integers(0, 400))
async def test_whatever_is_sent_comes_back(
    pieces: list[bytes], with_length: bool, min_bytes: int
) -> None:
    """In pieces of any size, with its length told or not."""
    length = {"content-length": str(sum(map(len, pieces)))} if with_length else {}
    answer = await fetch(streaming(pieces, length), min_bytes=min_bytes)
    whole = b"".join(pieces)
    if "content-encoding" in answer.headers:
        assert gzip.decompress(answer.body) == whole
    else:
        assert answer.body == whole
    assert int(answer.headers.get("content-length", len(answer.body))) == len(answer.body)


async def test_a_file_of_text_is_compressed_and_its_parts_are_not(tmp_path: Path) -> None:
    """A range is of the file, so the compressed answer offers none."""
    path = tmp_path / "data.csv"
    path.write_bytes(b"1,2,3\n" * 50_000)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send_file(File(path), scope, receive, send)

    whole = await fetch(app)
    assert gzip.decompress(whole.body) == path.read_bytes()
    assert whole.headers["etag"].startswith('W/"')
    assert "accept-ranges" not in whole.headers
    part = await fetch(app, {**GZIP, "range": "bytes=0-4"})
    assert (part.status, part.body) == (206, b"1,2,3")
    known = await fetch(app, {**GZIP, "if-none-match": whole.headers["etag"]})
    assert known.status == 304


async def test_a_websocket_passes() -> None:
    """There is nothing to compress here."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing() -> Message:
        raise AssertionError

    async def ignore(message: Message) -> None:
        raise AssertionError

    scope: Scope = {
        "type": "websocket", "method": "", "path": "/", "query_string": b"", "headers": [],
    }  # fmt: skip
    await compressing(app, 1)(scope, nothing, ignore)
    assert seen == ["websocket"]

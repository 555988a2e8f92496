"""Sending a file from disk."""

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.testing.http import HttpClient, HttpResponse
from ringfence.tools.http.answers.files import File, send_file
from ringfence.tools.http.answers.headers import content_disposition
from ringfence.tools.http.wire import Message, Receive, Scope, Send

pytestmark = pytest.mark.anyio

TEXT = bytes(range(256)) * 4


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of 1024 bytes."""
    path = tmp_path / "report.txt"
    path.write_bytes(TEXT)
    return path


async def fetch(
    file: File, headers: Mapping[str, str] | None = None, method: str = "GET"
) -> HttpResponse:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send_file(file, scope, receive, send)

    return await HttpClient(app).request(method, "/", headers=headers)


async def test_a_file_is_sent_whole(path: Path) -> None:
    """With what a browser needs to keep it and to ask for parts."""
    answer = await fetch(File(path))
    assert (answer.status, answer.body) == (200, TEXT)
    assert answer.headers["content-length"] == "1024"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="report.txt"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert {"etag", "last-modified"} <= answer.headers.keys()


async def test_an_author_says_how_it_is_sent(path: Path) -> None:
    """Type, name and further headers are those given."""
    headers = {"Cache-Control": "private"}
    answer = await fetch(File(str(path), "text/csv", "year.csv", headers, inline=True))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'inline; filename="year.csv"'
    assert answer.headers["cache-control"] == "private"


async def test_head_has_the_headers_alone(path: Path) -> None:
    """Those of GET."""
    whole, head = await fetch(File(path)), await fetch(File(path), method="HEAD")
    assert (head.status, head.body, head.headers) == (200, b"", whole.headers)


@pytest.mark.parametrize(
    "asked, sent, shown",
    [
        ("bytes=0-0", TEXT[:1], "bytes 0-0/1024"),
        ("bytes=1000-", TEXT[1000:], "bytes 1000-1023/1024"),
        ("bytes=-24", TEXT[1000:], "bytes 1000-1023/1024"),
        ("bytes=-9999", TEXT, "bytes 0-1023/1024"),
        ("bytes=10-9999", TEXT[10:], "bytes 10-1023/1024"),
        ("bytes = 3-4".replace(" ", ""), TEXT[3:5], "bytes 3-4/1024"),
        ("bytes=0-5,3-9", TEXT[:10], None),
    ],
)
async def test_a_range_is_sent_alone(
    path: Path, asked: str, sent: bytes, shown: str | None
) -> None:
    """As many bytes as were asked for and are there."""
    answer = await fetch(File(path), {"range": asked})
    assert answer.status == 206
    if shown is not None:
        assert (answer.body, answer.headers["content-range"]) == (sent, shown)
    else:
        assert sent in answer.body
    assert answer.headers["content-length"] == str(len(answer.body))


async def test_several_ranges_are_parts_of_one_answer(path: Path) -> None:
    """Each with its place."""
    answer = await fetch(File(path), {"range": "bytes=0-1,100-101"})
    assert answer.status == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges; boundary=")
    boundary = answer.headers["content-type"].partition("boundary=")[2].encode()
    first, second = answer.body.split(b"--" + boundary)[1:3]
    assert b"bytes 0-1/1024\r\n\r\n\x00\x01\r\n" in first
    assert b"bytes 100-101/1024\r\n\r\nde\r\n" in second
    assert answer.headers["content-length"] == str(len(answer.body))


@pytest.mark.parametrize("asked", ["bytes=1024-", "bytes=5000-6000", "bytes=-0", "bytes=0-1,2000-"])
async def test_a_range_beyond_the_end_is_refused(path: Path, asked: str) -> None:
    """The answer is a problem like any, and says how long the file is."""
    answer = await fetch(File(path), {"range": asked})
    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */1024")
    assert answer.headers["content-type"] == "application/problem+json"
    assert b"range_not_satisfiable" in answer.body


@pytest.mark.parametrize(
    "asked",
    ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-3", "lines=0-1", "bytes=0-1,x",
     "bytes=0-" + "9" * 5000, "bytes=" + "1" * 5000 + "-", "bytes=٣-٤"],
)  # fmt: skip
async def test_a_range_that_means_nothing_is_ignored(path: Path, asked: str) -> None:
    """Then the file is sent whole."""
    raw = [(b"range", asked.encode())]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send_file(File(path), {**scope, "headers": raw}, receive, send)

    answer = await HttpClient(app).get("/")
    assert (answer.status, answer.body) == (200, TEXT)


@given(st.binary(max_size=40))
async def test_no_range_breaks_anything(asked: bytes) -> None:
    """Every text is answered with the file, a part of it, or 416."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"range", b"bytes=" + asked)]
        await send_file(File(__file__), {**scope, "headers": headers}, receive, send)

    assert (await HttpClient(app).get("/")).status in (200, 206, 416)


async def test_if_range_sends_the_whole_of_another_version(path: Path) -> None:
    """Two halves of two files are no file."""
    etag = (await fetch(File(path))).headers["etag"]
    same = await fetch(File(path), {"range": "bytes=0-0", "if-range": etag})
    other = await fetch(File(path), {"range": "bytes=0-0", "if-range": '"other"'})
    assert (same.status, other.status, other.body) == (206, 200, TEXT)


async def test_a_file_that_the_client_has_is_not_sent(path: Path) -> None:
    """By its tag or by its date; a file that was changed is sent."""
    whole = await fetch(File(path))
    for conditions in (
        {"if-none-match": whole.headers["etag"]},
        {"if-none-match": f'"x", W/{whole.headers["etag"]}'},
        {"if-none-match": "*"},
        {"if-modified-since": whole.headers["last-modified"]},
    ):
        answer = await fetch(File(path), conditions)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["etag"] == whole.headers["etag"]
        assert "content-length" not in answer.headers
    path.write_bytes(TEXT + b"more")
    changed = await fetch(File(path), {"if-none-match": whole.headers["etag"]})
    assert (changed.status, changed.body) == (200, TEXT + b"more")


@pytest.mark.parametrize("size", [0, 64 << 10, 128 << 10, (64 << 10) + 1])
async def test_a_file_of_any_length_has_one_end(tmp_path: Path, size: int) -> None:
    """Nothing is sent after the end of the answer."""
    path = tmp_path / "data.bin"
    path.write_bytes(b"x" * size)
    answer = await fetch(File(path))
    assert (answer.status, len(answer.body)) == (200, size)


async def test_what_is_no_file_is_an_error_before_the_answer(tmp_path: Path) -> None:
    """The author's mistake, told before anything is sent; a pipe is never waited for."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", ".", "pipe", "a\0b"):
        sent: list[Message] = []

        async def send(message: Message, sent: list[Message] = sent) -> None:
            sent.append(message)

        async def app(scope: Scope, receive: Receive, _: Send, name: str = name) -> None:
            await send_file(File(f"{tmp_path}/{name}"), scope, receive, send)

        with pytest.raises((OSError, ValueError)):
            await HttpClient(app).get("/")
        assert sent == []


async def test_a_header_with_a_line_break_is_refused(path: Path) -> None:
    """It would be two."""
    with pytest.raises(ValueError, match="on one line"):
        await fetch(File(path, headers={"x-a": "1\r\nset-cookie: a=b"}))


async def sent_while(path: Path, change: Callable[[], object]) -> list[Message]:
    """Send a file of four pieces, and change it after the first; return what was sent."""
    path.write_bytes(b"x" * (200 << 10))
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, out: Send) -> None:
        async def send(message: Message) -> None:
            sent.append(message)
            if len(sent) == 2:
                change()
            await out(message)

        await send_file(File(path), scope, receive, send)

    await HttpClient(app).get("/")
    return sent


async def test_a_file_that_grows_meanwhile_is_sent_as_it_was(tmp_path: Path) -> None:
    """A log that is written to can be downloaded."""
    path = tmp_path / "log.txt"

    def grow() -> None:
        with path.open("ab") as file:
            file.write(b"y" * (64 << 10))

    sent = await sent_while(path, grow)
    assert b"".join(m.get("body", b"") for m in sent) == b"x" * (200 << 10)


async def test_a_file_that_shrinks_meanwhile_is_an_incomplete_answer(tmp_path: Path) -> None:
    """It does not look as if it had been the whole."""
    path = tmp_path / "log.txt"
    with pytest.raises(OSError, match="shorter"):
        await sent_while(path, lambda: path.write_bytes(b""))


async def test_a_client_that_reads_slowly_holds_one_piece(tmp_path: Path) -> None:
    """Nothing is read ahead of it, and the loop goes on."""
    path = tmp_path / "big.bin"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    reading = asyncio.Event()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) == 3:
            reading.set()
            await asyncio.Event().wait()

    async def app(scope: Scope, receive: Receive, _: Send) -> None:
        await send_file(File(path), scope, receive, send)

    fetching = asyncio.create_task(HttpClient(app).get("/"))
    await reading.wait()
    for _ in range(100):
        await asyncio.sleep(0)
    assert [len(message.get("body", b"")) for message in sent] == [0, 64 << 10, 64 << 10]
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching


async def test_a_client_that_goes_away_ends_the_sending(tmp_path: Path) -> None:
    """It is no error, and the file is not read to its end."""
    path = tmp_path / "big.bin"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    gone = asyncio.Event()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        gone.set()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [],
    }
    await send_file(File(path), scope, receive, send)
    assert len(sent) < 100


@given(st.text(max_size=60))
def test_any_text_is_safe_as_a_name(name: str) -> None:
    """It is one header of ASCII, of which nothing can break out, and the name survives."""
    header = content_disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert "/" not in header.partition("filename*")[0]
    start, _, rest = header.partition('filename="')
    assert start == "attachment; "
    plain, _, encoded = rest.partition('"')
    assert not set(plain) & set('"\\/')
    if encoded:
        told = unquote(encoded.removeprefix("; filename*=UTF-8''"))
        assert len(told) == len(name)
        assert not set(told) & set("/\\\r\n\0")
    else:
        assert plain == re.sub(r"[\x00-\x1f\x7f/\\]", "_", name)


def test_a_name_that_is_no_unicode_is_safe() -> None:
    """As the system gives it for a name of other bytes."""
    assert content_disposition("a\udcff.txt") == (
        "attachment; filename=\"a_.txt\"; filename*=UTF-8''a%3F.txt"
    )
    assert content_disposition("../../etc/passwd").startswith(
        'attachment; filename=".._.._etc_passwd"'
    )

"""Sending what a store has handed out."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime

import pytest

from ringfence.testing.http import HttpClient, HttpResponse
from ringfence.tools.http.answers.files import File, send_file
from ringfence.tools.http.problem import Refused
from ringfence.tools.http.wire import Message, Receive, Scope, Send

pytestmark = pytest.mark.anyio

TEXT = bytes(range(256)) * 4


class Kept:
    """A content as any store could have it."""

    name = "reports/2026.txt"
    content_type = "text/plain"
    etag = "7-400"
    modified_at = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)

    def __init__(self, size_bytes: int = len(TEXT), there: bytes = TEXT) -> None:
        self.size_bytes = size_bytes
        self.there = there
        self.asked: list[tuple[int, int | None]] = []
        self.open = 0

    async def stream(self, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        self.asked.append((start, length))
        self.open += 1
        try:
            for at in range(start, len(self.there), 100):
                yield self.there[at : at + 100]
        finally:
            self.open -= 1


GET: Scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}


class Unheard(Exception):
    """What a store raises."""


async def fetch(
    content: Kept, headers: Mapping[str, str] | None = None, method: str = "GET"
) -> HttpResponse:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send_file(File(content), scope, receive, send)
        except Refused as refused:
            await refused.answer().send_to(send)

    answer = await HttpClient(app).request(method, "/", headers=headers)
    assert content.open == 0
    return answer


async def test_it_is_sent_whole() -> None:
    """With what a browser needs to keep it and to ask for parts, in the place of a file's."""
    answer = await fetch(Kept())
    assert (answer.status, answer.body) == (200, TEXT)
    assert answer.headers["content-length"] == "1024"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="2026.txt"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"] == '"7-400"'
    assert answer.headers["last-modified"] == "Tue, 03 Feb 2026 04:05:06 GMT"


async def test_nothing_is_sent_as_well() -> None:
    """An empty content is whole at once."""
    answer = await fetch(Kept(0, b""))
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")


async def test_head_opens_nothing() -> None:
    """It has the headers of GET."""
    content = Kept()
    whole, head = await fetch(content), await fetch(content, method="HEAD")
    assert (head.status, head.body, head.headers) == (200, b"", whole.headers)
    assert len(content.asked) == 1


@pytest.mark.parametrize(
    "asked, first, last",
    [
        ("bytes=0-0", 0, 0),
        ("bytes=1000-", 1000, 1023),
        ("bytes=-24", 1000, 1023),
        ("bytes=-9999", 0, 1023),
        ("bytes=10-9999", 10, 1023),
        ("BYTES = 3-350", 3, 350),
        ("bytes=1023-1023", 1023, 1023),
    ],
)
async def test_a_range_is_sent_alone(asked: str, first: int, last: int) -> None:
    """The store is asked for no more than that."""
    content = Kept()
    answer = await fetch(content, {"range": asked})
    assert (answer.status, answer.body) == (206, TEXT[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/1024"
    assert answer.headers["content-length"] == str(last + 1 - first)
    assert content.asked == [(first, last + 1 - first)]


@pytest.mark.parametrize("asked", ["bytes=1024-", "bytes=-0", "bytes=9999-10000"])
async def test_a_range_beyond_the_end_is_refused(asked: str) -> None:
    """The answer says how long the content is."""
    answer = await fetch(Kept(), {"range": asked})
    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */1024")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "asked",
    ["bytes=5-3", "bytes=-", "bytes=", "bytes=a-b", "lines=0-1", "0-1", "bytes=0-1,3-4",
     "bytes=--1", "bytes=" + "9" * 30 + "-", "bytes=1-2 3"],
)  # fmt: skip
async def test_a_range_that_means_nothing_here_is_ignored(asked: str) -> None:
    """Several at once as well: all of it is an answer to them."""
    answer = await fetch(Kept(), {"range": asked})
    assert (answer.status, answer.body) == (200, TEXT)


@pytest.mark.parametrize(
    "condition, status",
    [
        ('"7-400"', 206),
        ("Tue, 03 Feb 2026 04:05:06 GMT", 206),
        ('"other"', 200),
        ('W/"7-400"', 200),
        ("Tue, 03 Feb 2026 04:05:07 GMT", 200),
    ],
)
async def test_a_part_is_of_what_the_client_has(condition: str, status: int) -> None:
    """Of another version it is sent all."""
    answer = await fetch(Kept(), {"range": "bytes=0-9", "if-range": condition})
    assert answer.status == status


@pytest.mark.parametrize(
    "condition, status",
    [
        ({"if-none-match": '"7-400"'}, 304),
        ({"if-none-match": 'W/"7-400"'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": '"other"'}, 200),
        ({"if-modified-since": "Tue, 03 Feb 2026 04:05:06 GMT"}, 304),
        ({"if-modified-since": "Tue, 03 Feb 2026 04:05:05 GMT"}, 200),
    ],
)
async def test_what_the_client_has_is_not_sent(condition: dict[str, str], status: int) -> None:
    """It is not opened either."""
    content = Kept()
    answer = await fetch(content, condition)
    assert answer.status == status
    assert (answer.body, len(content.asked)) == ((b"", 0) if status == 304 else (TEXT, 1))


async def test_what_fails_before_its_first_piece_has_sent_nothing() -> None:
    """So that the failure can be answered."""

    class Failing(Kept):
        async def stream(
            self, *, start: int = 0, length: int | None = None
        ) -> AsyncIterator[bytes]:
            if start == 0:
                raise Unheard
            yield b""

    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, _: Send) -> None:
        async def send(message: Message) -> None:
            sent.append(message)

        with pytest.raises(Unheard):
            await send_file(File(Failing()), scope, receive, send)
        await _({"type": "http.response.start", "status": 204, "headers": []})
        await _({"type": "http.response.body", "body": b""})

    await HttpClient(app).get("/")
    assert sent == []


@pytest.mark.parametrize("there", [TEXT[:500], TEXT + TEXT])
async def test_what_is_sent_is_as_long_as_was_said(there: bytes) -> None:
    """A longer content is cut, a shorter one is an error and not completed."""
    content = Kept(len(TEXT), there)
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    if len(there) < len(TEXT):
        with pytest.raises(OSError, match="524 bytes lack"):
            await send_file(File(content), GET, receive, send)
        assert all(message["more_body"] for message in sent[1:])
    else:
        await send_file(File(content), GET, receive, send)
        assert [message["more_body"] for message in sent[1:]] == [*[True] * 10, False]
    assert b"".join(message["body"] for message in sent[1:]) == there[: len(TEXT)]
    assert content.open == 0


async def test_a_client_that_goes_away_ends_the_sending() -> None:
    """It is no error, and what was open is closed."""
    content = Kept()
    gone = asyncio.Event()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            gone.set()
            await asyncio.Event().wait()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    await send_file(File(content), GET, receive, send)
    assert content.open == 0


async def test_sending_that_is_cancelled_lets_go() -> None:
    """Also in the middle of a piece."""
    content = Kept()
    reading = asyncio.Event()

    async def send(message: Message) -> None:
        reading.set()
        await asyncio.Event().wait()

    async def app(scope: Scope, receive: Receive, _: Send) -> None:
        await send_file(File(content), scope, receive, send)

    fetching = asyncio.create_task(HttpClient(app).get("/"))
    await reading.wait()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert content.open == 0

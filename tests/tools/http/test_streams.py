"""Answers that are sent piece by piece."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from ringfence.errors import NotFound
from ringfence.testing.http_message import http_scope
from ringfence.tools.http.live.leaving import ClientGone
from ringfence.tools.http.live.streams import Stream, start_headers
from ringfence.tools.http.wire import Message
from tests.tools.http.sites import Streaming

pytestmark = pytest.mark.anyio


class Numbers:
    """An endless source that knows how far it was read, and whether it was closed."""

    def __init__(self, fails_at: int = -1) -> None:
        self.made = 0
        self.closed = False
        self._fails_at = fails_at

    async def pieces(self) -> AsyncIterator[str]:
        try:
            while True:
                if self.made == self._fails_at:
                    raise NotFound("no such number")
                self.made += 1
                yield f"{self.made}\n"
        finally:
            self.closed = True


async def test_pieces_are_sent_as_they_are_made() -> None:
    """Text as UTF-8, of the type that the stream says."""

    async def pieces() -> AsyncIterator[str | bytes]:
        yield "é,"
        yield b"1"

    site = Streaming(lambda _: Stream(pieces(), "text/csv"))
    async with site.client.stream("GET", "/") as answer:
        received = [piece async for piece in answer.chunks()]
    assert received == ["é,".encode(), b"1"]
    assert answer.status == 200
    assert answer.headers == {"content-type": "text/csv; charset=utf-8"}
    assert site.ended is None


async def test_an_empty_stream_is_a_whole_answer() -> None:
    """Its headers are sent, and its end."""
    site = Streaming(lambda _: Stream([]))
    response = await site.client.get("/")
    assert (response.status, response.body) == (200, b"")


async def test_each_piece_is_a_turn_without_a_deadline() -> None:
    """The handler alone is held to that of a request."""
    site = Streaming(lambda _: Stream(["a", "b"]))
    await site.client.get("/")
    assert site.turns == [True, None, False, False, False]


async def test_an_error_before_the_first_piece_leaves_the_answer_open() -> None:
    """So that it can be answered as any error."""
    numbers = Numbers(fails_at=0)
    site = Streaming(lambda _: Stream(numbers.pieces()))
    with pytest.raises(RuntimeError, match="without a whole answer"):
        await site.client.get("/")
    assert isinstance(site.ended, NotFound)
    assert not site.started


async def test_an_error_in_the_middle_leaves_the_answer_incomplete() -> None:
    """A client can tell it from one that is whole."""
    numbers = Numbers(fails_at=1)
    site = Streaming(lambda _: Stream(numbers.pieces()))
    async with site.client.stream("GET", "/") as answer:
        chunks = answer.chunks()
        assert await anext(chunks) == b"1\n"
        with pytest.raises(RuntimeError, match="without a whole answer"):
            await anext(chunks)
    assert isinstance(site.ended, NotFound)
    assert site.started
    assert numbers.closed


async def test_a_client_that_goes_away_closes_the_source() -> None:
    """What it holds is given back, and nothing has failed."""
    numbers = Numbers()
    site = Streaming(lambda _: Stream(numbers.pieces()))
    async with site.client.stream("GET", "/") as answer:
        assert await anext(answer.chunks()) == b"1\n"
    assert numbers.closed
    assert isinstance(site.ended, ClientGone)


async def test_a_source_that_waits_is_closed_as_well() -> None:
    """It is told at whatever it waits for."""
    closed: list[bool] = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            yield b"a"
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    site = Streaming(lambda _: Stream(pieces()))
    async with site.client.stream("GET", "/") as answer:
        assert await anext(answer.chunks()) == b"a"
        await site.clock.settle()
    assert closed == [True]


async def test_a_server_that_breaks_beside_the_answer_is_heard() -> None:
    """What the tasks beside a source raise is not lost."""

    async def broken() -> Message:
        raise LookupError("of the server")

    async def taken(message: Message) -> None:
        await asyncio.sleep(0)

    site = Streaming(lambda _: Stream(["a", "b"]))
    scope, _ = http_scope("GET", "/", {}, {})
    await site.serve(scope, broken, taken)
    assert isinstance(site.ended, LookupError)


async def test_a_slow_client_holds_the_source_up() -> None:
    """However long it takes, only what is on its way is in memory."""
    numbers = Numbers()
    site = Streaming(lambda _: Stream(numbers.pieces()))
    async with site.client.stream("GET", "/") as answer:
        chunks = answer.chunks()
        for read in range(1, 6):
            await anext(chunks)
            await site.clock.settle()
            assert numbers.made <= read + 2


async def test_a_source_that_is_not_async_runs_on_threads() -> None:
    """It may block; it is closed like any other."""
    seen: list[threading.Thread] = []
    closed = threading.Event()

    def pieces() -> Iterator[str]:
        try:
            while True:
                seen.append(threading.current_thread())
                yield "x"
        finally:
            seen.append(threading.current_thread())
            closed.set()

    site = Streaming(lambda _: Stream(pieces()))
    async with site.client.stream("GET", "/") as answer:
        chunks = answer.chunks()
        assert [await anext(chunks), await anext(chunks)] == [b"x", b"x"]
    assert await asyncio.to_thread(closed.wait, 10)
    assert len(seen) >= 3
    assert threading.main_thread() not in seen


async def test_a_step_that_blocks_a_thread_does_not_hold_up_the_end() -> None:
    """The thread closes the source once it is through."""
    blocked, release, closed = threading.Event(), threading.Event(), threading.Event()

    def pieces() -> Iterator[str]:
        try:
            yield "a"
            blocked.set()
            release.wait(10)
            yield "b"
        finally:
            closed.set()

    site = Streaming(lambda _: Stream(pieces()))
    async with site.client.stream("GET", "/") as answer:
        assert await anext(answer.chunks()) == b"a"
        await asyncio.to_thread(blocked.wait, 10)
    assert isinstance(site.ended, ClientGone)
    assert not closed.is_set()
    release.set()
    assert await asyncio.to_thread(closed.wait, 10)


async def test_any_iterable_is_a_source() -> None:
    """A tuple is as good as a generator."""
    site = Streaming(lambda _: Stream((b"a", "b", b"c")))
    assert (await site.client.get("/")).body == b"abc"


async def test_head_is_answered_without_the_source_being_read() -> None:
    """It is closed all the same."""
    numbers = Numbers()
    source = numbers.pieces()
    site = Streaming(lambda _: Stream(source, "text/csv"))
    response = await site.client.head("/")
    assert (response.body, numbers.made) == (b"", 0)
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    with pytest.raises(StopAsyncIteration):
        await anext(source)


async def test_a_piece_that_is_no_bytes_is_a_bug() -> None:
    """It is found before anything is sent."""
    site = Streaming(lambda _: Stream([1]))  # type: ignore[list-item]
    with pytest.raises(RuntimeError):
        await site.client.get("/")
    assert isinstance(site.ended, TypeError)
    assert str(site.ended) == "Stream: a piece is int; expected bytes or str."


def test_text_is_no_stream_of_its_letters() -> None:
    """A whole answer is refused as a source."""
    with pytest.raises(TypeError, match="its source is the whole answer"):
        Stream("text")


@pytest.mark.parametrize(
    "filename, written",
    [
        ("report.csv", b'attachment; filename="report.csv"'),
        ('a"b.csv', b"attachment; filename=\"a_b.csv\"; filename*=UTF-8''a%22b.csv"),
        ("a\udcff.csv", b"attachment; filename=\"a_.csv\"; filename*=UTF-8''a%3F.csv"),
        ("../a\r\nb", b'attachment; filename=".._a__b"'),
    ],
)
def test_a_browser_saves_it_under_its_name(filename: str, written: bytes) -> None:
    """Whatever the name holds."""
    assert dict(start_headers(Stream([], filename=filename)))[b"content-disposition"] == written


def test_headers_are_single_lines() -> None:
    """A value from outside cannot add a header."""
    with pytest.raises(ValueError, match="on one line"):
        start_headers(Stream([], headers={"X-Name": "a\r\nset-cookie: b"}))

"""Server-sent events."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct, json

from ringfence.tools.http.live.leaving import ClientGone, Stopping
from ringfence.tools.http.live.streams import EventStream, ServerEvent, write_event
from tests.tools.http.sites import Streaming

pytestmark = pytest.mark.anyio


class Price(Struct, frozen=True):
    sku: str
    cents: int


class Feed:
    """A feed that says what a test gives it, until `None`."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[object] = asyncio.Queue()
        self.closed = False

    async def events(self) -> AsyncIterator[object]:
        try:
            while (event := await self.queue.get()) is not None:
                yield event
        finally:
            self.closed = True


def feeding(feed: Feed, heartbeat_s: float = 15) -> Streaming:
    return Streaming(lambda _: EventStream(feed.events(), heartbeat_s))


@pytest.mark.parametrize(
    "item, written",
    [
        (Price("tea", 250), b'data: {"sku":"tea","cents":250}\n\n'),
        ("plain", b"data: plain\n\n"),
        ("", b"data: \n\n"),
        ("a\nb\r\nc\rd", b"data: a\ndata: b\ndata: c\ndata: d\n\n"),
        ("a\u2028b", "data: a\u2028b\n\n".encode()),
        (ServerEvent(1, id="7", event="tick"), b"id: 7\nevent: tick\ndata: 1\n\n"),
        (ServerEvent("x", id=""), b"id: \ndata: x\n\n"),
    ],
)
def test_an_event_is_written_as_the_standard_says(item: object, written: bytes) -> None:
    """Text as it is, line by line, anything else as JSON."""
    assert write_event(item, json.encode) == written


@given(st.text())
async def test_any_text_comes_out_as_it_went_in(text: str) -> None:
    """But for the ends of its lines, of which an event stream has one kind."""
    site = Streaming(lambda _: EventStream([text, "end"]))
    async with site.client.stream("GET", "/") as answer:
        event = await anext(answer.events())
        assert event.data == text.replace("\r\n", "\n").replace("\r", "\n")
        assert (await anext(answer.events())).data == "end"


@pytest.mark.parametrize(
    "make",
    [
        lambda: ServerEvent("x", id="1\n2"),
        lambda: ServerEvent("x", event="a\rb"),
        lambda: ServerEvent("x", id="a\0b"),
    ],
)
def test_ids_and_types_are_single_lines(make: Callable[[], object]) -> None:
    """What comes from outside cannot add a field."""
    with pytest.raises(ValueError, match="expected a single line"):
        make()


async def test_a_feed_says_that_nobody_may_keep_it() -> None:
    """Neither a cache nor a proxy that collects answers before it passes them on."""
    feed = Feed()
    async with feeding(feed).client.stream("GET", "/") as answer:
        assert answer.headers == {
            "content-type": "text/event-stream",
            "cache-control": "no-store",
            "x-accel-buffering": "no",
        }


async def test_events_arrive_as_they_happen() -> None:
    """The answer has begun before there is one."""
    feed = Feed()
    async with feeding(feed).client.stream("GET", "/") as answer:
        feed.queue.put_nowait(Price("tea", 250))
        event = await anext(answer.events())
        assert event.json(Price) == Price("tea", 250)
        feed.queue.put_nowait(ServerEvent("b", event="sold"))
        event = await anext(answer.events())
        assert (event.data, event.event, event.id) == ("b", "sold", None)
        feed.queue.put_nowait(None)
        with pytest.raises(StopAsyncIteration):
            await anext(answer.events())


async def test_a_client_goes_on_where_it_was_cut_off() -> None:
    """It says which event it has seen last."""

    def numbers(after: int) -> list[ServerEvent[int]]:
        return [ServerEvent(n, id=str(n)) for n in range(after + 1, after + 4)]

    def answer_to(headers: dict[bytes, bytes]) -> EventStream[object]:
        return EventStream(numbers(int(headers.get(b"last-event-id", b"0"))))

    site = Streaming(lambda scope: answer_to(dict(scope["headers"])))
    async with site.client.stream("GET", "/") as answer:
        await anext(answer.events())
        await anext(answer.events())
    async with site.client.stream("GET", "/", last_event_id=answer.last_event_id) as answer:
        assert [event.data async for event in answer.events()] == ["3", "4", "5"]


async def test_a_heartbeat_is_sent_after_silence() -> None:
    """And only then: an event counts as well."""
    feed = Feed()
    site = feeding(feed, heartbeat_s=10)
    async with site.client.stream("GET", "/") as answer:
        chunks = answer.chunks()
        await site.clock.elapse(6)
        feed.queue.put_nowait("a")
        assert await anext(chunks) == b"data: a\n\n"
        await site.clock.elapse(6)
        feed.queue.put_nowait("b")
        assert await anext(chunks) == b"data: b\n\n"
        await site.clock.elapse(10)
        assert await anext(chunks) == b": \n\n"
        await site.clock.elapse(10)
        assert await anext(chunks) == b": \n\n"
    assert site.clock.waiting == 0


async def test_heartbeats_can_be_left_out() -> None:
    """Then nothing ticks."""
    feed = Feed()
    site = feeding(feed, heartbeat_s=0)
    async with site.client.stream("GET", "/"):
        await site.clock.settle()
        assert site.clock.waiting == 0


async def test_a_client_is_told_when_to_come_back() -> None:
    """In milliseconds, before the first event."""
    site = Streaming(lambda _: EventStream(["a"], retry_s=2.5))
    assert (await site.client.get("/")).text == "retry: 2500\n\ndata: a\n\n"


async def test_a_client_that_goes_away_closes_the_feed() -> None:
    """Also while it waits for something to happen."""
    feed = Feed()
    site = feeding(feed)
    async with site.client.stream("GET", "/"):
        await site.clock.settle()
    assert feed.closed
    assert isinstance(site.ended, ClientGone)
    assert site.hang_ups == set()
    assert site.clock.waiting == 0


async def test_an_application_that_stops_ends_a_feed_whole() -> None:
    """Its clients see the end of it, and connect again."""
    feed = Feed()
    site = feeding(feed)
    async with site.client.stream("GET", "/") as answer:
        feed.queue.put_nowait("a")
        await anext(answer.events())
        site.stop()
        assert [event async for event in answer.events()] == []
        assert feed.closed
    assert isinstance(site.ended, Stopping)
    assert site.hang_ups == set()


async def test_an_error_in_a_feed_leaves_it_incomplete() -> None:
    """Its client sees that it was cut off."""

    async def events() -> AsyncIterator[str]:
        yield "a"
        raise RuntimeError("of the feed")

    site = Streaming(lambda _: EventStream(events()))
    async with site.client.stream("GET", "/") as answer:
        await anext(answer.events())
        with pytest.raises(RuntimeError, match="without a whole answer"):
            await anext(answer.events())
    assert str(site.ended) == "of the feed"
    assert site.hang_ups == set()


async def test_head_of_a_feed_is_answered_at_once() -> None:
    """There is nothing to wait for."""
    feed = Feed()
    response = await feeding(feed).client.head("/")
    assert response.headers["content-type"] == "text/event-stream"
    assert response.body == b""


async def test_a_feed_that_begins_while_the_application_stops_ends_at_once() -> None:
    """Its request came in before; the stop does not wait for it until its deadline."""
    feed = Feed()
    site = feeding(feed)
    site.stop()
    async with site.client.stream("GET", "/") as answer:
        assert [event async for event in answer.events()] == []
    assert isinstance(site.ended, Stopping)
    assert site.hang_ups == set()

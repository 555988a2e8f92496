"""A live feed over server-sent events and WebSocket."""

import gc
from asyncio import Event

import pytest
from msgspec import Struct

from ringfence.testing import TestApplication
from ringfence.testing.http import HandshakeRefused
from tests.examples.applications import SECRET

pytestmark = pytest.mark.anyio
READER = {"news_token": SECRET}


class Item(Struct):
    id: int
    text: str


async def publish(app: TestApplication, *texts: str) -> None:
    for text in texts:
        assert (await app.http.post("/news", json={"text": text})).status == 201


async def test_an_event_comes_as_it_is_published(app: TestApplication) -> None:
    """With its id, and nothing of what was before."""
    await publish(app, "old")
    async with app.http.stream("GET", "/news/live") as answer:
        events = answer.events()
        await publish(app, "one", "two\nlines")
        first, second = await anext(events), await anext(events)
    assert (first.id, first.json(Item)) == ("2", Item(2, "one"))
    assert second.json(Item) == Item(3, "two\nlines")


async def test_a_reader_goes_on_where_it_was_cut_off(app: TestApplication) -> None:
    """What was published meanwhile comes first, then what is new, each once."""
    await publish(app, "one", "two", "three")
    async with app.http.stream("GET", "/news/live", last_event_id="1") as answer:
        events = answer.events()
        before = [(await anext(events)).id, (await anext(events)).id]
        await publish(app, "four")
        assert [*before, (await anext(events)).id] == ["2", "3", "4"]


async def test_a_backlog_longer_than_one_read_comes_whole(app: TestApplication) -> None:
    """A reader who was away for long misses nothing."""
    await publish(app, *map(str, range(150)))
    async with app.http.stream("GET", "/news/live", last_event_id="0") as answer:
        events = answer.events()
        assert [int((await anext(events)).id or 0) for _ in range(150)] == list(range(1, 151))


async def test_silence_is_broken_by_a_heartbeat(app: TestApplication) -> None:
    """Proxies keep a connection on which something comes."""
    async with app.http.stream("GET", "/news/live") as answer:
        pieces = answer.chunks()
        await app.clock.elapse(15)
        assert (await anext(pieces)).startswith(b":")


async def test_a_reader_that_takes_nothing_holds_up_nobody(app: TestApplication) -> None:
    """Publishing does not wait for it, and another one gets everything."""
    async with (
        app.http.stream("GET", "/news/live"),
        app.http.stream("GET", "/news/live") as quick,
    ):
        await publish(app, *map(str, range(50)))
        events = quick.events()
        assert [(await anext(events)).json(Item).text for _ in range(50)] == [
            str(n) for n in range(50)
        ]


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 30, ""])
async def test_an_id_that_no_event_had_is_refused(app: TestApplication, last: str) -> None:
    """The client is told, and does not wait for what never comes."""
    answer = await app.http.get("/news/live", headers={"Last-Event-ID": last})
    assert answer.status == 422


async def test_a_socket_gets_what_is_published(app: TestApplication) -> None:
    """From now on, or all after an item."""
    await publish(app, "one", "two")
    async with (
        app.http.websocket("/news/socket", cookies=READER) as live,
        app.http.websocket("/news/socket?after=1", cookies=READER) as resumed,
    ):
        assert await resumed.receive(Item) == Item(2, "two")
        await publish(app, "three")
        assert await live.receive(Item) == Item(3, "three")
        assert await resumed.receive(Item) == Item(3, "three")


@pytest.mark.parametrize("cookies", [{}, {"news_token": "a guess"}, {"news_token": ""}])
async def test_a_stranger_is_refused_before_the_handshake(
    app: TestApplication, cookies: dict[str, str]
) -> None:
    """As any request would be: with 401 and a code."""
    with pytest.raises(HandshakeRefused) as refused:
        async with app.http.websocket("/news/socket", cookies=cookies):
            pass
    assert refused.value.response.status == 401
    problem = refused.value.response.json(into=dict[str, object])
    assert problem["code"] == "news.not_a_reader"
    assert SECRET not in refused.value.response.text


async def test_a_page_of_another_origin_is_refused(app: TestApplication) -> None:
    """Though the browser sends the cookie along."""
    with pytest.raises(HandshakeRefused) as refused:
        async with app.http.websocket(
            "/news/socket", cookies=READER, headers={"Origin": "https://evil.example"}
        ):
            pass
    assert refused.value.response.status == 403


async def test_readers_who_leave_leave_nothing(app: TestApplication) -> None:
    """Neither work that goes on for them, nor what they were woken by."""
    held = []
    for _ in range(3):
        for _ in range(5):
            async with app.http.stream("GET", "/news/live"):
                pass
            async with app.http.websocket("/news/socket", cookies=READER):
                pass
        gc.collect()
        held.append(sum(isinstance(found, Event) for found in gc.get_objects()))
    ended = [span.origin for span in app.spans].count
    assert ended("GET /news/live") == ended("WEBSOCKET /news/socket") == 15
    assert held[0] == held[1] == held[2]


async def test_a_reader_looks_again_only_when_there_is_something(app: TestApplication) -> None:
    """Silence costs no queries, also after an item."""
    async with app.http.stream("GET", "/news/live") as answer:
        await publish(app, "one")
        await anext(answer.events())
        for _ in range(20):
            await app.http.get("/books")
    spans = [span for span in app.spans if span.operation == "news.follow_news.stream"]
    assert sum(span.queries for span in spans) <= 6


@pytest.mark.parametrize("text", ["", "x" * 501, None, 1])
async def test_news_without_text_are_refused(app: TestApplication, text: object) -> None:
    """Nothing is published."""
    assert (await app.http.post("/news", json={"text": text})).status == 422

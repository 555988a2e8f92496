"""Streams, events and WebSockets of an application: contexts, deadlines, budgets, transactions."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ringfence.testing import TestApplication
from ringfence.testing.http import HandshakeRefused
from ringfence.tools.http import WebSocketClosed
from ringfence.tools.http.problem import Problem
from tests.kernel.apps import feature, running

pytestmark = pytest.mark.anyio

FEED = feature('''
    import asyncio
    from collections.abc import AsyncIterator, Iterator

    from ringfence.tools.http import (
        EventStream, Header, ServerEvent, Stream, WebSocket, get, websocket,
    )


    class NoSuchFeed(NotFound, code="feeds.no_such_feed"):
        """No feed has that name."""


    class Feeds(Plugin):
        db: Database
        clock: Clock

        @get("/report.csv")
        async def report(self) -> Stream:
            return Stream(self._rows(), "text/csv", filename="report.csv")

        async def _rows(self) -> AsyncIterator[str]:
            for n in range(3):
                yield f"{await self._number(n)}\\n"

        @get("/threads")
        def threads(self) -> Stream:
            return Stream(self._steps(), "text/plain")

        def _steps(self) -> Iterator[str]:
            for n in range(3):
                yield str(wait(self._number(n)))

        @get("/feeds/{name}")
        async def feed(
            self, name: str, last_event_id: Header[int] = 0
        ) -> EventStream[int]:
            if name == "none":
                raise NoSuchFeed("there is none")
            return EventStream(getattr(self, f"_{name}")(last_event_id))

        async def _numbers(self, after: int) -> AsyncIterator[ServerEvent[int]]:
            while True:
                after += 1
                yield ServerEvent(await self._number(after), id=str(after))

        async def _slow(self, after: int) -> AsyncIterator[int]:
            while True:
                await self.clock.sleep(100)
                yield await self._number(1)

        async def _held(self, after: int) -> AsyncIterator[int]:
            async with self.db.transaction() as tx:
                for n in range(3):
                    yield await tx.fetch_value("SELECT $1 + 0", n, into=int)

        async def _broken(self, after: int) -> AsyncIterator[int]:
            yield 1
            raise ValueError("of the source")

        @websocket("/talk/{name}")
        async def talk(self, name: str, socket: WebSocket) -> None:
            if name == "none":
                raise NoSuchFeed("there is none")
            await socket.accept()
            async for message in socket:
                if message == "bug":
                    raise ValueError("of the handler")
                if message == "sleep":
                    await self.clock.sleep(1000)
                for _ in range(300 if message == "spend" else 1):
                    await self._number(1)
                await socket.send(message)

        @websocket("/threads")
        def talk_on_a_thread(self, socket: WebSocket) -> None:
            wait(socket.accept())
            for _ in wait(socket):
                for n in range(50):
                    wait(self._number(n))
                wait(socket.send("done"))

        @websocket("/ticks")
        async def ticks(self, socket: WebSocket) -> None:
            await socket.accept()
            while True:
                await self.clock.sleep(100)
                for n in range(50):
                    await self._number(n)
                await socket.send("tick")

        @websocket("/patient")
        async def patient(self, socket: WebSocket) -> None:
            await socket.accept()
            while True:
                await socket.send(await asyncio.wait_for(asyncio.shield(
                    asyncio.create_task(socket.receive())), 1000))

        @websocket("/beside")
        async def beside(self, socket: WebSocket) -> None:
            await socket.accept()
            ticking = asyncio.create_task(self._tick(socket), name="ticking")
            async for message in socket:
                await socket.send(message)

        async def _tick(self, socket: WebSocket) -> None:
            while True:
                await self.clock.sleep(100)
                await self._number(1)
                await socket.send("tick")

        async def _number(self, n: int) -> int:
            return await self.db.fetch_value("SELECT $1 + 0", n, into=int)
''')


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[TestApplication]:
    """An application with feeds."""
    async with running(tmp_path, {"domains/feeds/feeds.py": FEED}) as app:
        assert not app.findings
        yield app


def failures(app: TestApplication) -> list[str]:
    """The kinds of failure of what came in, in the order in which it ended."""
    return [s.failure.kind if s.failure else "" for s in app.spans if "." not in s.path]


async def test_a_report_is_streamed_from_the_database(app: TestApplication) -> None:
    """Each row when it is asked for."""
    response = await app.http.get("/report.csv")
    assert response.text == "0\n1\n2\n"
    assert response.headers["content-disposition"] == 'attachment; filename="report.csv"'
    assert failures(app) == [""]


async def test_a_def_handler_streams_as_well(app: TestApplication) -> None:
    """Its source waits for what is async, step by step."""
    assert (await app.http.get("/threads")).text == "012"


async def test_a_feed_goes_on_after_the_last_event(app: TestApplication) -> None:
    """The author reads the header as any other."""
    async with app.http.stream("GET", "/feeds/numbers") as answer:
        assert [(await anext(answer.events())).data for _ in range(2)] == ["1", "2"]
    seen = answer.last_event_id
    async with app.http.stream("GET", "/feeds/numbers", last_event_id=seen) as answer:
        assert (await anext(answer.events())).json(int) == 3


async def test_what_a_handler_of_a_feed_raises_is_answered(app: TestApplication) -> None:
    """As that of any other: before the first byte there is time for it."""
    response = await app.http.get("/feeds/none")
    assert response.status == 404
    assert response.json(Problem).code == "feeds.no_such_feed"


async def test_a_source_that_breaks_cuts_the_answer_and_is_recorded(
    app: TestApplication, caplog: pytest.LogCaptureFixture
) -> None:
    """The client sees an incomplete answer, the log why."""
    async with app.http.stream("GET", "/feeds/broken") as answer:
        assert (await anext(answer.events())).data == "1"
        with pytest.raises(RuntimeError, match="without a whole answer"):
            await anext(answer.events())
    assert failures(app) == ["ValueError"]
    assert "of the source" in caplog.text


async def test_a_feed_outlives_the_deadline_of_a_request(app: TestApplication) -> None:
    """Nothing is wrong with having nothing to say; what it spends is counted for each event."""
    async with app.http.stream("GET", "/feeds/slow") as answer:
        for _ in range(250):
            await app.clock.elapse(100)
            chunk = b""
            while b"data" not in chunk:
                chunk = await anext(answer.chunks())


async def test_a_transaction_stays_open_from_event_to_event(app: TestApplication) -> None:
    """It ends with the feed, or with the client."""
    async with app.http.stream("GET", "/feeds/held") as answer:
        assert [event.data async for event in answer.events()] == ["0", "1", "2"]
    async with app.http.stream("GET", "/feeds/held") as answer:
        await anext(answer.events())
    kinds = [s.failure.kind if s.failure else "" for s in app.spans if s.operation != "db.fetch"]
    transactions = [s for s in app.spans if s.operation == "db.transaction"]
    assert [bool(s.failure) for s in transactions] == [False, True], kinds


async def test_a_client_that_goes_away_is_no_error(
    app: TestApplication, caplog: pytest.LogCaptureFixture
) -> None:
    """The trace says it, the log does not."""
    async with app.http.stream("GET", "/feeds/slow"):
        pass
    assert failures(app) == ["ClientGone"]
    assert caplog.text == ""


async def test_a_message_has_the_deadline_and_the_budget_of_a_request(
    app: TestApplication,
) -> None:
    """A conversation has neither."""
    async with app.http.websocket("/talk/all") as socket:
        for _ in range(300):
            await socket.send("x")
            assert await socket.receive() == "x"
        await app.clock.elapse(100)
        await socket.send("x")
        assert await socket.receive() == "x"
        await socket.send("sleep")
        await app.clock.elapse(29)
        await app.clock.elapse(2)
        with pytest.raises(WebSocketClosed) as closed:
            await socket.receive()
    assert (closed.value.close_code, closed.value.reason) == (1011, "deadline_exceeded")
    async with app.http.websocket("/talk/all") as socket:
        await socket.send("spend")
        with pytest.raises(WebSocketClosed) as closed:
            await socket.receive()
    assert (closed.value.close_code, closed.value.reason) == (1011, "budget_exceeded")


async def test_a_bug_closes_the_connection_and_is_recorded(
    app: TestApplication, caplog: pytest.LogCaptureFixture
) -> None:
    """The peer is told no more than that."""
    async with app.http.websocket("/talk/all") as socket:
        await socket.send("bug")
        with pytest.raises(WebSocketClosed, match="1011 internal"):
            await socket.receive()
    assert failures(app) == ["ValueError"]
    assert "of the handler" in caplog.text


async def test_a_def_handler_talks_through_wait(app: TestApplication) -> None:
    """Each of its messages is counted by itself, too."""
    async with app.http.websocket("/threads") as socket:
        for _ in range(6):
            await socket.send("go")
            assert await socket.receive() == "done"
    assert failures(app) == [""]


async def test_a_handler_that_only_sends_may_send_for_ever(app: TestApplication) -> None:
    """And ends with its peer."""
    async with app.http.websocket("/ticks") as socket:
        for _ in range(10):
            await app.clock.elapse(100)
            assert await socket.receive() == "tick"
    assert failures(app) == ["ClientGone"]


async def test_a_refused_handshake_is_a_problem(app: TestApplication) -> None:
    """With the trace of the handler that refused it."""
    with pytest.raises(HandshakeRefused) as refused:
        async with app.http.websocket("/talk/none"):
            pass
    problem = refused.value.response.json(Problem)
    assert (problem.status, problem.code) == (404, "feeds.no_such_feed")
    assert problem.trace_id == app.spans[-1].trace_id


async def test_a_page_of_another_site_may_not_connect(app: TestApplication) -> None:
    """The handler does not run."""
    foreign = {"origin": "https://evil.example.com"}
    with pytest.raises(HandshakeRefused) as refused:
        async with app.http.websocket("/talk/all", headers=foreign):
            pass
    assert refused.value.response.status == 403
    async with app.http.websocket("/talk/all", headers={"origin": "http://testserver"}):
        pass


async def test_an_application_that_stops_ends_what_stays(tmp_path: Path) -> None:
    """Feeds are complete, WebSockets are closed with 1012, and nothing waits for the grace."""
    async with running(tmp_path, {"domains/feeds/feeds.py": FEED}) as app:
        http = app.http
        feed = http.stream("GET", "/feeds/slow")
        talk = http.websocket("/talk/all")
        answer, socket = await feed.__aenter__(), await talk.__aenter__()
        await app.clock.settle()
    assert [event async for event in answer.events()] == []
    with pytest.raises(WebSocketClosed, match="1012"):
        await socket.receive()
    await feed.__aexit__(None, None, None)
    await talk.__aexit__(None, None, None)


async def test_a_message_that_a_task_of_its_own_received_ends_with_its_answer(
    app: TestApplication,
) -> None:
    """Its deadline ends with it, and not the conversation with its deadline."""
    async with app.http.websocket("/patient") as socket:
        for _ in range(5):
            await socket.send("a")
            assert await socket.receive() == "a"
            await app.clock.elapse(20)


async def test_a_task_beside_a_conversation_has_a_budget_for_each_message(
    app: TestApplication, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends with the connection, and is named in the log if nobody awaited it."""
    async with app.http.websocket("/beside") as socket:
        for _ in range(250):
            await app.clock.elapse(100)
            assert await socket.receive() == "tick"
    assert "1 task(s) were not awaited and have been cancelled: ticking" in caplog.text

"""Streams in a running application: whose they are, what they cost, and what ends them."""

import asyncio
import sqlite3
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import aclosing, closing, nullcontext
from pathlib import Path

import pytest

from ringfence.errors import BudgetExceeded, DeadlineExceeded, NotFound, ToolUnavailable
from ringfence.testing import TestApplication
from ringfence.tools.db import Busy, Database, TransactionEnded
from ringfence.tools.db.drivers.sqlite import Config
from tests.faults.bystander import logged
from tests.kernel.apps import feature, on_both_paths, running

from .support import handle, make, migrations
from .support import running as started

pytestmark = pytest.mark.anyio

MIGRATION = """
CREATE TABLE note (id BIGINT PRIMARY KEY, text TEXT);
INSERT INTO note
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
SELECT i, 'note ' || i FROM n;
"""
FILES = {
    "domains/notes/migrations/20260101000000_note.sql": MIGRATION,
    "domains/notes/read.py": feature('''
        from collections.abc import AsyncIterator

        from ringfence.tools.http import EventStream, Stream, get

        SELECT = "SELECT id, text FROM note ORDER BY id"
        ENDLESS = (
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
            "SELECT i AS id, 'x' AS text FROM n"
        )
        KEPT = []


        class Note(Struct):
            id: int
            text: str


        class Gone(NotFound, code="notes.gone"):
            """It is not there."""


        class Read(Plugin):
            db: Database

            @service("notes.sum")
            async def sum(self) -> int:
                """Read all of them."""
                return sum([note.id async for note in self.db.stream(SELECT, into=Note)])

            @service("notes.sum_on_a_thread")
            def sum_on_a_thread(self) -> int:
                """Read all of them, where nothing is async."""
                return sum(note.id for note in wait(self.db.stream(SELECT, into=Note)))

            @service("notes.first")
            async def first(self, how: str, times: int) -> int:
                """Read one, again and again."""
                for _ in range(times):
                    rows = self.db.stream(ENDLESS, into=Note)
                    async for note in rows:
                        if how == "keep":
                            KEPT.append(rows)
                        if how == "raise":
                            raise Gone(f"note {note.id} is gone")
                        break
                return 1

            @service("notes.first_on_a_thread")
            def first_on_a_thread(self, how: str, times: int) -> int:
                """Read one, again and again, where nothing is async."""
                for _ in range(times):
                    for note in wait(self.db.stream(ENDLESS, into=Note)):
                        if how == "raise":
                            raise Gone(f"note {note.id} is gone")
                        break
                return 1

            @service("notes.go_on")
            async def go_on(self) -> int:
                """Use what another call has left."""
                return len([note async for note in KEPT.pop()])

            @service("notes.endless", timeout_s=1)
            async def endless(self) -> int:
                """Read until somebody ends it."""
                return len([note async for note in self.db.stream(ENDLESS)])

            @service("notes.twice", budget=Budget(queries=1))
            async def twice(self) -> int:
                """Spend more than there is."""
                found = len([note async for note in self.db.stream(SELECT)])
                return found + len([note async for note in self.db.stream(SELECT)])

            @get("/notes")
            async def feed(self) -> EventStream[Note]:
                """Send them as events."""
                return EventStream(self.db.stream(SELECT, into=Note))

            @get("/notes/endless")
            async def endless_feed(self) -> EventStream[Note]:
                """Send events without end."""
                return EventStream(self.db.stream(ENDLESS, into=Note))

            @get("/notes.csv")
            async def report(self) -> Stream:
                """Send them as text."""
                return Stream(self.lines(SELECT), "text/csv")

            @get("/notes/endless.csv")
            async def endless_report(self) -> Stream:
                """Send text without end."""
                return Stream(self.lines(ENDLESS), "text/csv")

            async def lines(self, sql: str) -> AsyncIterator[str]:
                async for note in self.db.stream(sql, into=Note):
                    yield f"{note.id},{note.text}\\n"
    '''),
}
SUM = 3000 * 3001 // 2
FEW = {"tools": {"db": {"streams": 2, "busy_timeout_s": 5}}}


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[TestApplication]:
    async with running(tmp_path, FILES, overrides=FEW) as booted:
        yield booted


@on_both_paths
@pytest.mark.parametrize("where", ["", "_on_a_thread"])
@pytest.mark.parametrize("how", ["break", "raise", "keep"])
async def test_one_that_is_left_gives_its_connection_back(
    tmp_path: Path, call_path: str, where: str, how: str
) -> None:
    """At once, or with its context where somebody keeps it; and it is no fault of anybody's."""
    times = 10 if how == "break" else 1
    async with running(tmp_path, FILES, call_path, overrides=FEW) as app:
        for _ in range(6):
            ends = pytest.raises(NotFound, match="note 1") if how == "raise" else nullcontext()
            with ends:
                assert await app.call(f"notes.first{where}", how=how, times=times) == 1
        assert await app.call("notes.sum") == SUM
        assert not logged(app, "error")
        assert not logged(app, "warning")


async def test_one_that_is_kept_is_over_with_its_context(app: TestApplication) -> None:
    """Whoever goes on with it is told so, instead of missing rows without a word."""
    await app.call("notes.first", how="keep", times=1)
    with pytest.raises(TransactionEnded, match="context"):
        await app.call("notes.go_on")


@pytest.mark.parametrize("name", ["notes.sum", "notes.sum_on_a_thread"])
async def test_it_is_one_query(app: TestApplication, name: str) -> None:
    """However many rows it has, on the event loop and on a thread."""
    assert await app.call(name) == SUM
    [span] = [span for span in app.spans if span.operation == name]
    assert span.queries == 1


async def test_it_spends_from_the_budget(app: TestApplication) -> None:
    """One more than there is ends the call."""
    with pytest.raises(BudgetExceeded, match="queries"):
        await app.call("notes.twice")
    assert await app.call("notes.sum") == SUM


async def test_a_deadline_ends_it(app: TestApplication) -> None:
    """While rows come, which is never for long without a turn of the loop."""
    for _ in range(3):
        call = asyncio.create_task(app.call("notes.endless"))
        await asyncio.sleep(0.05)
        app.clock.advance(2)
        with pytest.raises(DeadlineExceeded):
            await call
    assert await app.call("notes.sum") == SUM


async def test_it_is_what_events_are_made_of(app: TestApplication) -> None:
    """A stream of rows is the source of an EventStream as it is."""
    async with app.http.stream("GET", "/notes") as answer:
        events = [event async for event in answer.events()]
    assert [event.data for event in (events[0], events[-1])] == [
        '{"id":1,"text":"note 1"}',
        '{"id":3000,"text":"note 3000"}',
    ]
    whole = await app.http.get("/notes.csv")
    assert whole.body.decode().splitlines()[-1] == "3000,note 3000"


@pytest.mark.parametrize("path", ["/notes/endless", "/notes/endless.csv"])
async def test_a_client_that_goes_away_ends_it(app: TestApplication, path: str) -> None:
    """However many come and go, others have their turn."""
    for _ in range(6):
        async with asyncio.timeout(10), app.http.stream("GET", path) as answer:
            async for _ in answer.chunks():
                break
    assert await app.call("notes.sum") == SUM
    assert not logged(app, "error")


async def test_it_is_refused_while_the_database_is_down(tmp_path: Path) -> None:
    """As any other operation."""
    file = tmp_path / "held.db"
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        held = {"tools": {"db": {"path": str(file), "busy_timeout_s": 0}}}
        async with running(tmp_path, FILES, overrides=held) as app:
            for name in ("notes.sum", "notes.sum_on_a_thread"):
                with pytest.raises(ToolUnavailable):
                    await app.call(name)


# ---- the driver's own bound


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    migrations(tmp_path, {"orders": MIGRATION})
    config = Config(streams=2, busy_timeout_s=0.1)
    async with started(make(tmp_path, config=config)) as driver:
        yield handle(driver)


ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"


async def test_one_too_many_waits_and_is_told(db: Database) -> None:
    """It goes ahead when another one ends; if none does, it is told what to do."""
    async with aclosing(db.stream(ENDLESS)) as one, aclosing(db.stream(ENDLESS)) as other:
        await anext(one)
        await anext(other)
        with pytest.raises(Busy, match=r"2 streams are open.*`streams`"):
            await anext(db.stream(ENDLESS))
        third = db.stream(ENDLESS)
        waiting = asyncio.ensure_future(anext(third))
        await asyncio.sleep(0)
        await one.aclose()
        assert await waiting == {"i": 1}
        await third.aclose()
        assert await anext(other) == {"i": 2}
        assert await db.fetch_value("SELECT count(*) FROM note", into=int) == 3000


async def test_one_that_waits_in_vain_leaves_nothing_behind(db: Database) -> None:
    """Cancelled while it waits for a place, it takes none."""
    async with aclosing(db.stream(ENDLESS)) as one, aclosing(db.stream(ENDLESS)) as other:
        await anext(one)
        await anext(other)
        waiting = asyncio.ensure_future(anext(db.stream(ENDLESS)))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    for _ in range(3):
        assert len([row async for row in db.stream("SELECT id FROM note")]) == 3000


async def test_memory_is_bounded_by_bytes(db: Database) -> None:
    """Rows of a megabyte each come one by one, not five hundred at once."""
    sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20) "
    tracemalloc.start()
    try:
        async for row in db.stream(sql + "SELECT i, zeroblob(1000000) AS data FROM n"):
            last = row["i"]
        assert tracemalloc.get_traced_memory()[1] < 6_000_000
    finally:
        tracemalloc.stop()
    assert last == 20


async def test_rows_that_are_found_slowly_are_not_waited_for(db: Database) -> None:
    """Five hundred of them would take half a minute; the first one is there before."""
    count = "WITH RECURSIVE m (j) AS (SELECT i UNION ALL SELECT j + 1 FROM m WHERE j < 200000)"
    found = f"SELECT i, ({count} SELECT max(j) FROM m) AS n FROM n"
    slow = ENDLESS.replace("SELECT i FROM n", found)
    async with asyncio.timeout(8), aclosing(db.stream(slow)) as rows:
        assert (await anext(rows))["i"] == 1


async def test_the_databases_stop_ends_it(tmp_path: Path) -> None:
    """One that is open then is told so when it goes on, and holds up nothing."""
    migrations(tmp_path, {"orders": MIGRATION})
    driver = make(tmp_path)
    async with started(driver):
        rows = handle(driver).stream(ENDLESS)
        await anext(rows)
        searching = asyncio.ensure_future(
            anext(handle(driver).stream(ENDLESS.replace("SELECT i FROM n", "SELECT max(i) FROM n")))
        )
        await asyncio.sleep(0.05)
    with pytest.raises(ToolUnavailable):
        await searching

    async def go_on() -> None:
        async for _ in rows:
            pass

    with pytest.raises(ToolUnavailable):
        await go_on()

"""Transactions that share a COMMIT: what they gain by it, and that none loses by another."""

import asyncio
import math
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from ringfence.errors import ToolError, ToolUnavailable
from ringfence.tools.db import (
    Database,
    ForeignKeyViolation,
    HeldTooLong,
    SerializationFailure,
    Transaction,
    UniqueViolation,
)
from ringfence.tools.db.drivers.sqlite import Driver

from .support import handle, make, migrations, running, still

pytestmark = pytest.mark.anyio

SCHEMA = """
CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT);
CREATE TABLE late (x BIGINT);
"""
INSERT = "INSERT INTO note (id, body) VALUES ($1, $2)"
COUNT = "SELECT count(*) FROM note"
LATE = "INSERT INTO late VALUES ($1)"
IDS = "SELECT id FROM note ORDER BY id"
# Minutes of work, unless somebody ends it.
ENDLESS = (
    "INSERT INTO note (body) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
    "WHERE i < 1000000000) SELECT count(*) FROM n"
)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a statement that has run once be short, however busy the machine is."""
    monkeypatch.setattr("ringfence.tools.db.drivers._sqlite_line.SHORT_S", math.inf)


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[Driver]:
    migrations(tmp_path, {"orders": SCHEMA})
    async with running(make(tmp_path, clock=still(tmp_path))) as started:
        yield started


@pytest.fixture
async def db(driver: Driver) -> Database:
    """A database whose statement has proved short, so that it can share a COMMIT."""
    await proved(driver)
    return handle(driver)


PLUGINS = [
    "orders.place_order",
    *(f"orders.{name}" for name in ("first", "b", "c", "look", "hang")),
]


async def proved(driver: Driver) -> None:
    """Run the statements of these tests until they stay on the event loop, for each plugin."""
    for plugin in PLUGINS:
        database = handle(driver, plugin)
        for number in range(-5, 0):
            async with database.transaction() as tx:
                await tx.execute(INSERT, number, None)
                await tx.execute(LATE, None)
                await tx.fetch_value(COUNT, into=int)
        await database.execute("DELETE FROM note")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "shop.db"


def commits(file: Path) -> int:
    """Count the COMMITs in the write-ahead log: their last frame carries the file's size."""
    log = file.with_name(file.name + "-wal").read_bytes()
    page_bytes = int.from_bytes(log[8:12], "big")
    frames = range(32, len(log), 24 + page_bytes)
    return sum(log[at + 4 : at + 8] != b"\0\0\0\0" for at in frames)


class Crowd:
    """Transactions of several plugins that queue behind one that is held open, one COMMIT."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.go = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def first(self, id: int) -> None:
        """Open a transaction and hold it; `end` lets it go."""
        inside = asyncio.Event()

        async def hold() -> None:
            async with handle(self.driver, "orders.first").transaction() as tx:
                await tx.execute(INSERT, id, None)
                inside.set()
                await self.go.wait()

        self.tasks.append(asyncio.create_task(hold()))
        await inside.wait()

    def queue(self, plugin: str, *statements: tuple[str, *tuple[object, ...]]) -> None:
        """Let another plugin's transaction wait behind it."""

        async def write() -> None:
            async with handle(self.driver, plugin).transaction() as tx:
                for sql, *params in statements:
                    await tx.execute(sql, *params)

        self.tasks.append(asyncio.create_task(write()))

    async def end(self) -> list[BaseException | None]:
        """Let the first one go, and return what became of all, in order."""
        await asyncio.sleep(0)
        self.go.set()
        return await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_who_writes_at_once_shares_a_commit(driver: Driver, db: Database, file: Path) -> None:
    """Thirty transactions cost a few syncs, not thirty."""
    before = commits(file)
    await asyncio.gather(*(db.execute(INSERT, number, "x") for number in range(30)))
    assert await db.fetch_value(COUNT, into=int) == 30
    assert 1 <= commits(file) - before <= 3


async def test_nobody_outside_sees_a_group_before_its_commit(driver: Driver, db: Database) -> None:
    """Members see each other's writes, readers and other processes do not."""
    crowd = Crowd(driver)
    await crowd.first(1)
    seen: list[object] = []

    async def look() -> None:
        async with handle(driver, "orders.look").transaction() as tx:
            inside = await tx.fetch_value(COUNT, into=int)
            seen.append((inside, await db.fetch_value(COUNT, into=int)))

    crowd.tasks.append(asyncio.create_task(look()))
    assert await crowd.end() == [None, None]
    assert seen == [(1, 0)]
    assert await db.fetch_value(COUNT, into=int) == 1


async def test_one_that_fails_takes_nobody_along(driver: Driver, db: Database) -> None:
    """Its part is undone, those before and after it are kept."""
    crowd = Crowd(driver)
    await crowd.first(1)
    crowd.queue("orders.b", (INSERT, 2, None), (INSERT, 1, None))
    crowd.queue("orders.c", (INSERT, 3, None))
    first, failed, last = await crowd.end()
    assert first is None
    assert isinstance(failed, UniqueViolation)
    assert last is None
    assert await db.fetch_all(IDS) == [{"id": 1}, {"id": 3}]


async def test_a_failure_is_told_only_when_its_cause_is_certain(
    driver: Driver, db: Database, file: Path
) -> None:
    """It clashed with a row of its group, and that row was never kept: there was no clash."""
    late(file)
    crowd = Crowd(driver)
    await crowd.first(1)
    crowd.queue("orders.b", (INSERT, 1, None))
    crowd.queue("orders.c", (LATE, 99))
    outcomes = await crowd.end()
    assert all(isinstance(one, SerializationFailure) for one in outcomes), outcomes
    assert await db.fetch_value(COUNT, into=int) == 0


def late(file: Path) -> None:
    """Put a constraint into the file from outside that fails at COMMIT."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("DROP TABLE late")
        other.execute("CREATE TABLE late (x REFERENCES note (id) DEFERRABLE INITIALLY DEFERRED)")


async def test_a_commit_that_fails_fails_its_group_and_no_other(
    driver: Driver, db: Database, file: Path
) -> None:
    """All members are told to try again; and then only the one at fault fails, by itself."""
    late(file)
    crowd = Crowd(driver)
    await crowd.first(1)
    crowd.queue("orders.b", (LATE, 99))
    crowd.queue("orders.c", (INSERT, 3, None))
    outcomes = await crowd.end()
    assert [type(one) for one in outcomes] == [SerializationFailure] * 3
    assert all(isinstance(one, ToolUnavailable) for one in outcomes)
    assert await db.fetch_value(COUNT, into=int) == 0

    again = Crowd(driver)
    await again.first(1)
    again.queue("orders.b", (LATE, 99))
    again.queue("orders.c", (INSERT, 3, None))
    assert [type(one) for one in await again.end()] == [type(None), ForeignKeyViolation, type(None)]
    assert await db.fetch_all(IDS) == [{"id": 1}, {"id": 3}]


async def test_a_rollback_from_inside_the_file_fails_its_group(
    driver: Driver, db: Database, file: Path
) -> None:
    """A trigger put there from outside rolls back everything; nobody is told that it was kept."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute(
            "CREATE TRIGGER all_of_it BEFORE INSERT ON note WHEN NEW.id = 13 "
            "BEGIN SELECT RAISE (ROLLBACK, 'thirteen'); END"
        )
    crowd = Crowd(driver)
    await crowd.first(1)
    crowd.queue("orders.b", (INSERT, 13, None))
    crowd.queue("orders.c", (INSERT, 3, None))
    first, guilty, last = await crowd.end()
    assert isinstance(first, SerializationFailure)
    assert isinstance(guilty, ToolError)
    assert last is None
    assert await db.fetch_all(IDS) == [{"id": 3}]


async def test_a_slow_write_is_stopped_without_loss_to_others(driver: Driver, db: Database) -> None:
    """To interrupt it ends its whole transaction: those before it are committed first."""
    crowd = Crowd(driver)
    await crowd.first(1)
    crowd.queue("orders.slow", (ENDLESS,))
    crowd.queue("orders.c", (INSERT, 3, None))
    await asyncio.sleep(0)
    crowd.go.set()
    await crowd.tasks[0]
    assert await db.fetch_all(IDS) == [{"id": 1}]
    crowd.tasks[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await crowd.tasks[1]
    await crowd.tasks[2]
    assert await db.fetch_all(IDS) == [{"id": 1}, {"id": 3}]


async def test_a_savepoint_survives_the_commit_of_others(driver: Driver, db: Database) -> None:
    """A first write that may be slow has the others committed; savepoints around it still undo."""
    crowd = Crowd(driver)
    await crowd.first(1)
    mine = handle(driver, "orders.b")

    async def refused(tx: Transaction) -> None:
        async with mine.transaction():
            await tx.execute(INSERT, 3, None)
            raise LookupError

    async def nested() -> None:
        async with mine.transaction() as tx, mine.transaction():
            async with mine.transaction() as inner:
                await inner.execute(f"{INSERT} -- new", 2, None)
            with pytest.raises(LookupError):
                await refused(tx)

    crowd.tasks.append(asyncio.create_task(nested()))
    assert await crowd.end() == [None, None]
    assert await db.fetch_all(IDS) == [{"id": 1}, {"id": 2}]


async def test_a_lock_that_comes_with_the_cancellation_is_given_back(
    driver: Driver, db: Database, file: Path
) -> None:
    """A slow write waits for another process, and is cancelled as it gets what it waits for."""
    inside, go, locked = asyncio.Event(), asyncio.Event(), asyncio.Event()
    with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as other:

        async def first() -> None:
            async with handle(driver, "orders.first").transaction() as tx:
                await tx.execute(INSERT, 1, None)
                inside.set()
                await go.wait()
            other.execute("BEGIN IMMEDIATE")  # before the one behind has begun anew
            locked.set()

        ahead = asyncio.create_task(first())
        await inside.wait()
        behind = asyncio.create_task(handle(driver, "orders.b").execute(f"{INSERT} -- new", 2, ""))
        await asyncio.sleep(0)
        go.set()
        await locked.wait()
        await asyncio.sleep(0.02)  # in which the thread begins to wait
        behind.cancel()
        await asyncio.sleep(0)
        other.execute("COMMIT")
        with pytest.raises(asyncio.CancelledError):
            await behind
        await ahead
    assert await db.execute(INSERT, 3, None) == 1
    assert await db.fetch_all(IDS) == [{"id": 1}, {"id": 3}]


@pytest.mark.parametrize("turns", range(8))
async def test_time_that_others_take_to_commit_is_not_the_holders(
    tmp_path: Path, turns: int
) -> None:
    """Nobody writes meanwhile, even when the clock says that the holder's time is up."""
    migrations(tmp_path, {"orders": SCHEMA})
    clock = still(tmp_path)
    async with running(make(tmp_path, clock=clock)) as driver:
        await proved(driver)
        crowd = Crowd(driver)
        await crowd.first(1)
        crowd.queue("orders.b", (f"{INSERT} -- new", 2, None))
        crowd.queue("orders.c", (INSERT, 3, None))
        ending = asyncio.create_task(crowd.end())
        for _ in range(turns):
            await asyncio.sleep(0)
        clock.advance(0.3)
        told = await ending
        assert all(error is None or isinstance(error, HeldTooLong) for error in told)
        kept = [{"id": row} for row, error in enumerate(told, start=1) if error is None]
        assert await handle(driver).fetch_all(IDS) == kept


async def test_one_that_waits_its_turn_can_be_cancelled(driver: Driver, db: Database) -> None:
    """Also in the moment in which it is granted."""
    for turns in range(8):
        crowd = Crowd(driver)
        await crowd.first(3 * turns)
        crowd.queue("orders.b", (INSERT, 3 * turns + 1, None))
        crowd.queue("orders.c", (INSERT, 3 * turns + 2, None))
        await asyncio.sleep(0)
        crowd.go.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        crowd.tasks[1].cancel()
        notes: list[str] = []
        try:
            await crowd.tasks[1]
            notes = ["committed"]
        except asyncio.CancelledError as cancelled:
            notes = getattr(cancelled, "__notes__", [])
        await crowd.tasks[0]
        await crowd.tasks[2]
        there = await db.fetch_value(
            "SELECT count(*) FROM note WHERE id = $1", 3 * turns + 1, into=int
        )
        assert there == any(note.startswith("committed") for note in notes)


async def test_what_has_ended_is_kept_when_the_driver_stops(tmp_path: Path) -> None:
    """A holder that hangs loses its own part and nobody else's."""
    migrations(tmp_path, {"orders": SCHEMA})
    driver = make(tmp_path, clock=still(tmp_path))
    await driver.start()
    await proved(driver)
    inside = asyncio.Event()

    async def hang() -> None:
        async with handle(driver, "orders.hang").transaction() as tx:
            await tx.execute(INSERT, 2, None)
            inside.set()
            await asyncio.Event().wait()

    crowd = Crowd(driver)
    await crowd.first(1)
    hanging = asyncio.create_task(hang())
    await asyncio.sleep(0)
    crowd.go.set()
    await inside.wait()
    assert not crowd.tasks[0].done()
    await driver.stop()
    await crowd.tasks[0]
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    with closing(sqlite3.connect(tmp_path / "data" / "shop.db")) as line:
        assert line.execute(IDS).fetchall() == [(1,)]


async def test_a_rollback_spoils_nothing_that_comes_later(driver: Driver, db: Database) -> None:
    """After it, others commit for real, in the same group and in the next."""

    class Deliberate(Exception):
        pass

    async def fail(tx: Transaction) -> None:
        await tx.execute(INSERT, 0, None)
        raise Deliberate

    async def roll_back() -> None:
        async with db.transaction() as tx:
            await fail(tx)

    for number in range(1, 11):
        outcomes = await asyncio.gather(
            roll_back(), db.execute(INSERT, number, None), roll_back(), return_exceptions=True
        )
        assert [type(one) for one in outcomes] == [Deliberate, int, Deliberate]
    assert await db.fetch_value(COUNT, into=int) == 10


CHILD = """
import asyncio, sys
from pathlib import Path
from tests.tools.db.support import handle, make, running

INSERT = "INSERT INTO note (id, body) VALUES ($1, $2)"

async def customer(db, number):
    for step in range(100_000):
        id = number * 1_000_000 + step
        try:
            async with db.transaction() as tx:
                await tx.execute(INSERT, id, "x")
                if step % 3 == 0:
                    await tx.execute(INSERT, -id - 1, "rolled back")
                    raise KeyError
        except KeyError:
            continue
        print(id, flush=True)

async def main():
    async with running(make(Path(sys.argv[1]))) as driver:
        await asyncio.gather(*(customer(handle(driver), n) for n in range(16)))

asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [40, 400, 1500])
async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, lines: int) -> None:
    """Nothing of it is missing, and nothing that was rolled back is there."""
    migrations(tmp_path, {"orders": SCHEMA})
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    acknowledged = {int(child.stdout.readline()) for _ in range(lines)}
    child.kill()
    rest = child.stdout.read().split("\n")[:-1]  # but for a line that the kill cut off
    acknowledged |= {int(line) for line in rest}
    child.wait()
    child.stdout.close()
    async with running(make(tmp_path)) as driver:
        rows = await handle(driver).fetch_all(IDS)
    stored = {row["id"] for row in rows}
    assert acknowledged <= stored
    assert all(isinstance(each, int) and each >= 0 and each % 1_000_000 % 3 for each in stored)

"""How long a transaction may keep others from writing, and what whoever holds on too long gets."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest

from ringfence import wait
from ringfence.errors import RingfenceError, ToolUnavailable
from ringfence.testing import boot
from ringfence.tools.clock.drivers.fake import Driver as FakeClock
from ringfence.tools.db import Database, HeldTooLong, UniqueViolation, UnitOfWork, WrongTask
from ringfence.tools.db.drivers.sqlite import Driver
from tests.kernel.apps import feature
from tests.kernel.apps import running as booted

from .support import handle, make, migrations, running, still

pytestmark = pytest.mark.anyio

SCHEMA = "CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT)"
INSERT = "INSERT INTO note (body) VALUES ($1)"
COUNT = "SELECT count(*) FROM note"
ENDLESS = (
    "INSERT INTO note (body) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
    "WHERE i < 1000000000) SELECT count(*) FROM n"
)


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    return still(tmp_path)


@pytest.fixture
async def driver(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Driver]:
    migrations(tmp_path, {"orders": SCHEMA})
    async with running(make(tmp_path, clock=clock)) as started:
        yield started


@pytest.fixture
def db(driver: Driver) -> Database:
    return handle(driver)


async def hold(database: Database, inside: asyncio.Event, go: asyncio.Event) -> None:
    async with database.transaction() as tx:
        await tx.execute(INSERT, "a")
        inside.set()
        await go.wait()


async def held(database: Database) -> tuple[asyncio.Task[None], asyncio.Event]:
    """Return a task that holds a transaction, and what lets it go on."""
    inside, go = asyncio.Event(), asyncio.Event()
    holder = asyncio.create_task(hold(database, inside, go))
    await inside.wait()
    return holder, go


async def test_who_holds_it_for_too_long_loses_it(
    driver: Driver, db: Database, clock: FakeClock
) -> None:
    """Others go on at once; the holder is told when it comes back, and nothing was kept."""
    holder, go = await held(db)
    other = asyncio.create_task(handle(driver, "orders.charge").execute(INSERT, "b"))
    clock.advance(0.2)
    await asyncio.sleep(0)
    assert not other.done()
    clock.advance(0.1)
    assert await other == 1
    assert not holder.done()
    go.set()
    with pytest.raises(HeldTooLong, match=r"0\.25 s.*nothing of it was kept.*hold_s"):
        await holder
    assert await db.fetch_all("SELECT body FROM note") == [{"body": "b"}]


async def test_the_stack_that_held_it_is_told(
    driver: Driver, db: Database, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Plugin, file, line and function, down to where it waits."""
    holder, go = await held(db)
    with caplog.at_level(logging.WARNING, "ringfence.db"):
        clock.advance(0.3)
    (told,) = [record.getMessage() for record in caplog.records]
    assert "transaction of orders.place_order" in told
    assert f"{__file__}:" in told
    assert " in hold" in told
    assert " in wait" in told  # of asyncio's event, which is what it waits for
    go.set()
    with pytest.raises(HeldTooLong, match="in wait"):
        await holder


async def test_a_statement_after_it_is_refused(db: Database, clock: FakeClock) -> None:
    """Also in a savepoint, and whatever is done with the error, the block cannot end well."""

    async def go_on() -> None:
        async with db.transaction() as tx:
            await tx.execute(INSERT, "a")
            async with db.transaction() as inner:
                clock.advance(0.3)
                with pytest.raises(HeldTooLong):
                    await inner.execute(INSERT, "b")
            pytest.fail("a savepoint of a lost transaction ended well")

    with pytest.raises(HeldTooLong):
        await go_on()

    async def swallow() -> None:
        async with db.transaction() as tx:
            clock.advance(0.3)
            with pytest.raises(HeldTooLong):
                await tx.execute(INSERT, "a")

    with pytest.raises(HeldTooLong):
        await swallow()
    assert await db.execute(INSERT, "c") == 1
    assert await db.fetch_value(COUNT, into=int) == 1


async def test_it_may_be_allowed_longer(db: Database, clock: FakeClock) -> None:
    """By the one transaction that needs it, and no longer than that."""
    async with db.transaction(hold_s=5) as tx:
        clock.advance(4)
        await tx.execute(INSERT, "a")

    async def too_long() -> None:
        async with db.transaction(hold_s=5) as tx:
            clock.advance(6)
            await tx.execute(INSERT, "b")

    with pytest.raises(HeldTooLong, match="5 s"):
        await too_long()

    async def short() -> None:
        async with db.transaction() as tx:
            clock.advance(0.3)
            await tx.execute(INSERT, "c")

    with pytest.raises(HeldTooLong, match=r"0\.25"):
        await short()
    assert await db.fetch_value(COUNT, into=int) == 1


async def test_those_who_shared_its_group_lose_nothing(
    driver: Driver, db: Database, clock: FakeClock
) -> None:
    """What had ended before it is committed, once it is out of the way."""
    for _ in range(4):
        await db.execute(INSERT, "x")
        async with db.transaction() as tx:
            await tx.execute(INSERT, "y")
    first, go = await held(db)
    slow = asyncio.create_task(
        hold(handle(driver, "orders.slow"), asyncio.Event(), asyncio.Event())
    )
    await asyncio.sleep(0)
    go.set()
    for _ in range(5):
        await asyncio.sleep(0)
    clock.advance(0.3)
    await first
    assert await db.fetch_value(COUNT, into=int) == 9
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow


async def test_the_error_names_the_holders_own_line(tmp_path: Path) -> None:
    """Not that of what it called: the line in the feature is the one to change."""
    place = feature(
        """
        class Place(Plugin):
            db: Database

            def __init__(self, db: Database) -> None:
                self.db = db
                self.paid = asyncio.Event()

            @service("orders.pay")
            async def pay(self) -> None:
                self.paid.set()

            @service("orders.place")
            async def place(self) -> None:
                async with self.db.transaction():
                    await self.paid.wait()
        """
    )
    async with booted(tmp_path, {"domains/orders/place.py": place}) as app:
        placing = asyncio.create_task(app.call("orders.place"))
        for _ in range(20):
            await asyncio.sleep(0)
        await app.clock.elapse(1)
        await app.call("orders.pay")
        with pytest.raises(HeldTooLong, match=r"orders/place\.py:\d+ in place;"):
            await placing


async def test_a_statement_on_a_thread_is_ended(db: Database, clock: FakeClock) -> None:
    """It is interrupted, and its holder told why."""

    async def write() -> None:
        async with db.transaction() as tx:
            await tx.execute(ENDLESS)

    writing = asyncio.create_task(write())
    assert await db.fetch_value(COUNT, into=int) == 0
    clock.advance(0.3)
    with pytest.raises(HeldTooLong):
        await writing
    assert await db.execute(INSERT, "b") == 1


async def test_a_statement_of_its_own_has_no_such_limit(db: Database, clock: FakeClock) -> None:
    """Nobody but its deadline ends it: it holds nothing but for its own work."""
    writing = asyncio.create_task(db.execute(ENDLESS))
    assert await db.fetch_value(COUNT, into=int) == 0
    clock.advance(3)
    await asyncio.sleep(0)
    assert not writing.done()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing


async def test_a_unit_of_work_is_ended(db: Database, clock: FakeClock) -> None:
    """Between its statements or in one; what it does then is not kept."""
    started, go = Event(), Event()

    def work(unit: UnitOfWork) -> None:
        unit.execute(INSERT, "a")
        started.set()
        go.wait(10)
        unit.execute(INSERT, "b")

    running = asyncio.create_task(db.run(work))
    await asyncio.to_thread(started.wait, 10)
    clock.advance(0.3)
    go.set()
    with pytest.raises(HeldTooLong):
        await running
    assert await db.fetch_value(COUNT, into=int) == 0
    assert await db.execute(INSERT, "c") == 1


async def test_a_unit_of_work_that_waits_for_the_database_is_told(db: Database) -> None:
    """It has what it would wait for, on the thread or on the loop; the next one goes ahead."""

    def work(unit: UnitOfWork) -> int:
        unit.execute(INSERT, "a")
        return wait(db.execute(INSERT, "b"))

    for _ in range(3):
        with pytest.raises((WrongTask, RingfenceError), match="event loop"):
            await db.run(work)
    assert await db.execute(INSERT, "c") == 1
    assert await db.fetch_value(COUNT, into=int) == 1


async def test_an_idle_driver_sets_no_timer(db: Database, clock: FakeClock) -> None:
    """The one that watches goes when there is nothing to watch."""
    async with db.transaction() as tx:
        await tx.execute(INSERT, "a")
    clock.advance(1)
    assert clock.waiting == 0


HOLDER = '''"""Hold a transaction on a thread."""

import threading

from ringfence import Plugin, service, wait
from ringfence.tools.db import Database

inside, go = threading.Event(), threading.Event()


class Keep(Plugin):
    db: Database

    @service("orders.keep")
    def keep(self) -> None:
        """Hold on."""
        with wait(self.db.transaction()) as tx:
            wait(tx.execute("INSERT INTO note (body) VALUES ($1)", "a"))
            inside.set()
            go.wait(10)

    @service("orders.release")
    def release(self, wanted: str) -> None:
        """Wait until it holds, or let it go on."""
        go.set() if wanted == "go" else inside.wait(10)
'''


async def test_a_def_handler_that_holds_it_is_found_on_its_thread(tmp_path: Path) -> None:
    """The log and the error name the line that it stands at."""
    folder = tmp_path / "domains" / "orders"
    (folder / "migrations").mkdir(parents=True)
    (folder / "keep.py").write_text(HOLDER)
    (folder / "migrations" / "20260101000000_note.sql").write_text(SCHEMA)
    async with boot(tmp_path, strict=True) as app:
        holding = asyncio.create_task(app.call("orders.keep"))
        await app.call("orders.release", wanted="inside")
        app.clock.advance(0.3)
        await app.call("orders.release", wanted="go")
        with pytest.raises(HeldTooLong, match=r"held the database"):
            await holding
        records = app.tool("log").records  # type: ignore[attr-defined]
        (told,) = [record for record in records if "rolled back; it held" in record.message]
        assert "domains/orders/keep.py:20 in keep" in told.message


async def test_what_a_stop_interrupts_leaves_no_lock(tmp_path: Path, clock: FakeClock) -> None:
    """Another process may write at once, though somebody keeps the error of a statement."""
    migrations(tmp_path, {"orders": SCHEMA})
    async with running(make(tmp_path, clock=clock)) as driver:
        db, inside, kept = handle(driver), asyncio.Event(), list[UniqueViolation]()

        async def hold_on() -> None:
            async with db.transaction() as tx:
                await tx.execute(INSERT, "a")
                try:
                    async with db.transaction() as inner:
                        await inner.execute("INSERT INTO note (id) SELECT id FROM note")
                except UniqueViolation as error:
                    kept.append(error)
                inside.set()
                await tx.fetch_value(ENDLESS.removeprefix("INSERT INTO note (body) "))

        holder = asyncio.create_task(hold_on())
        await inside.wait()
        await asyncio.sleep(0)
        await driver.stop()
        with closing(sqlite3.connect(tmp_path / "data" / "shop.db", timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ToolUnavailable):
            await holder
        assert kept

"""What is sqlite's own about keeping events: threads, groups, limits, other databases, and whose
the tables are.
"""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from msgspec import structs

from ringfence.errors import ToolError, ToolUnavailable, TransactionHeld
from ringfence.kernel.ports import Context, Envelope, current
from ringfence.testing import context
from ringfence.tools.clock.drivers.fake import Driver as FakeClock
from ringfence.tools.db import (
    Database,
    ForeignTable,
    HeldTooLong,
    NoEvents,
    StorageFailure,
    TransactionEnded,
    UnitOfWork,
)
from ringfence.tools.db.drivers.sqlite import Config, Driver
from ringfence.tools.db.suite.events import (
    NOON,
    READER,
    Kernel,
    Noted,
    Process,
    done,
    envelope,
    seal,
)
from ringfence.tools.db.suite.subject import INSERT, SCHEMA

from .support import environment, handle, make, migrations, running, still
from .test_sqlite_events import publishing

pytestmark = pytest.mark.anyio

LATE = "INSERT INTO part (x) VALUES ($1)"
TABLES = ["events", "deliveries", "subscriptions", "delayed"]
# Some milliseconds: it stays on the thread.
SLOW = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
    "SELECT count(*) FROM n"
)


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    return still(tmp_path)


@pytest.fixture
async def driver(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Driver]:
    migrations(tmp_path, {"orders": SCHEMA})
    async with running(publishing(tmp_path, clock)) as started:
        yield started


@pytest.fixture
def db(driver: Driver) -> Database:
    return handle(driver)


@pytest.fixture
async def process(driver: Driver, db: Database) -> Process:
    return Process(driver.events(), db)


async def publish(db: Database, n: int) -> None:
    async with db.transaction() as tx:
        tx.publish(Noted(n))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "sql",
    ["SELECT * FROM ringfence_{}", "DELETE FROM ringfence_{}", "SELECT 1 FROM Ringfence_{}"],
)
async def test_the_tables_of_events_are_no_features(db: Database, table: str, sql: str) -> None:
    """To read them would be to read every other domain's events."""
    with pytest.raises(ForeignTable, match="Ringfence itself"):
        await db.fetch_all(sql.format(table))


async def test_a_database_that_keeps_no_events_says_so(tmp_path: Path, process: Process) -> None:
    """In a transaction and in a unit of work; the one that keeps them is the other."""
    await process.begin(Kernel(), READER)
    env = structs.replace(environment(tmp_path, "archive"), seal=seal)
    async with running(Driver(Config(), env)) as other:
        archive = handle(other, instance="archive")
        with pytest.raises(NoEvents, match=r"^archive: orders.place_order published Noted"):
            await publish(archive, 1)
        with pytest.raises(NoEvents):
            await archive.run(lambda unit: unit.publish(Noted(1)))
    assert not await process.store.events(0, 9)


async def test_nothing_is_published_without_an_application(tmp_path: Path) -> None:
    """A driver that was given no seal makes no envelopes."""
    (tmp_path / "domains").mkdir()
    async with running(make(tmp_path)) as driver:
        await Process(driver.events(), handle(driver)).begin(Kernel(), READER)
        with pytest.raises(NoEvents):
            await publish(handle(driver), 1)


async def test_before_the_subscriptions_are_known_nothing_is_published(process: Process) -> None:
    """Nobody would get it; once the application stops, it is kept for the next start."""
    with pytest.raises(ToolUnavailable, match="not known yet"):
        await publish(process.db, 1)
    with pytest.raises(ToolUnavailable, match="not known yet"):
        await process.store.publish([envelope(1)])
    await process.begin(Kernel(), READER)
    await process.store.close()
    await publish(process.db, 2)
    assert [n for n, _, _ in await process.states()] == [2]


async def test_a_unit_of_work_on_a_thread_publishes_as_its_caller(
    tmp_path: Path, process: Process, driver: Driver
) -> None:
    """Its context pays for the event, and the kernel is asked on the event loop."""
    seen: list[Context | None] = []
    loops: list[asyncio.AbstractEventLoop] = []

    class Asked(Kernel):
        def route(self, envelope: Envelope) -> object:  # type: ignore[override]
            loops.append(asyncio.get_running_loop())
            return super().route(envelope)

    def noting(event: object, plugin: str, domain: str, delay_s: float | None = None) -> Envelope:
        seen.append(current.get())
        return seal(event, plugin, domain, delay_s)

    def work(unit: UnitOfWork) -> None:
        unit.fetch_value(SLOW)
        unit.publish(Noted(1))

    await driver.stop()
    env = structs.replace(environment(tmp_path), seal=noting)
    async with running(Driver(Config(), env)) as other:
        store = other.events()
        await Process(store, handle(other)).begin(Asked(), READER)
        mine = context()
        before = current.set(mine)
        await handle(other).run(work)
        current.reset(before)
        assert seen == [mine]
        assert loops == [asyncio.get_running_loop()]
        assert len(await store.events(0, 9)) == 1


async def test_of_a_failing_commit_nobodys_events_are_kept(
    tmp_path: Path, process: Process
) -> None:
    """The kernel is told of each that shared it; those before and after it are not touched."""
    with closing(sqlite3.connect(tmp_path / "data" / "shop.db", isolation_level=None)) as other:
        other.execute("DROP TABLE part")
        other.execute("CREATE TABLE part (x REFERENCES item (id) DEFERRABLE INITIALLY DEFERRED)")

    def unit_of_one(unit: UnitOfWork) -> None:
        unit.publish(Noted(1))

    async def share(sql: str, n: int, *params: object) -> None:
        async with process.db.transaction() as tx:
            await tx.execute(sql, *params)
            tx.publish(Noted(n))

    kernel = Kernel(places=9)
    await process.begin(kernel, READER)
    await share(INSERT, 1, 1, "a", 0)
    for _ in range(3):  # until they have proved short: what is on the thread is committed apart
        await share(LATE, 1, 1)
        await process.db.run(unit_of_one)
    before = [n for n, _, _ in await process.states()]
    told = await asyncio.gather(
        share(INSERT, 2, 2, "b", 0),
        share(LATE, 3, 99),
        process.db.run(unit_of_one),
        return_exceptions=True,
    )
    assert all(isinstance(each, ToolError) for each in told), told
    assert [n for n, _, _ in await process.states()] == before
    assert (len(kernel.taken), kernel.held, kernel.free) == (7, 0, 2)
    await share(INSERT, 5, 2, "b", 0)
    assert [n for n, _, _ in await process.states()] == [*before, 5]


async def test_events_that_cannot_be_written_take_their_transaction_along(
    tmp_path: Path, process: Process
) -> None:
    """And the places that they were promised are free again; in a unit of work likewise."""
    kernel = Kernel(places=9)
    await process.begin(kernel, READER)
    with closing(sqlite3.connect(tmp_path / "data" / "shop.db", isolation_level=None)) as other:
        other.execute(
            "CREATE TRIGGER full BEFORE INSERT ON ringfence_deliveries "
            "BEGIN SELECT RAISE (ABORT, 'full'); END"
        )

    def work(unit: UnitOfWork) -> None:
        unit.execute(INSERT, 1, "a", 0)
        unit.publish(Noted(1))

    for _ in range(3):  # on the thread, until it has proved short
        with pytest.raises(ToolError, match="full"):
            await process.db.run(work)
    with pytest.raises(ToolError, match="full"):
        await publish(process.db, 1)
    with pytest.raises(ToolError, match="full"):
        await process.store.publish([envelope(1)])
    assert (kernel.kept, kernel.held, kernel.free) == ([], 0, 9)
    assert not await process.store.events(0, 9)
    assert not await process.db.fetch_all("SELECT id FROM item")


async def test_a_transaction_that_is_ended_takes_its_events_along(
    process: Process, clock: FakeClock
) -> None:
    """Held for too long, or gone on with after a failure; no place stays promised."""
    kernel = Kernel(places=9)
    await process.begin(kernel, READER)

    async def hold() -> None:
        async with process.db.transaction() as tx:
            tx.publish(Noted(1))
            await clock.elapse(1)

    async def swallow() -> None:
        async with process.db.transaction() as tx:
            tx.publish(Noted(2))
            with suppress(ToolError):
                await tx.execute("INSERT INTO item (id) VALUES (1)")
            tx.publish(Noted(3))

    with pytest.raises(HeldTooLong):
        await hold()
    with pytest.raises(TransactionEnded):
        await swallow()
    assert not await process.store.events(0, 9)
    assert (kernel.kept, kernel.held, kernel.free) == ([], 0, 9)


async def test_a_transaction_is_no_place_to_publish_apart(process: Process) -> None:
    """It would wait for itself; it is refused at once, as any write of its own."""
    await process.begin(Kernel(), READER)
    async with process.db.transaction():
        with pytest.raises(TransactionHeld):
            await process.store.publish([envelope(1)])
    assert not await process.store.events(0, 9)


async def test_what_settles_many_lets_others_on_the_event_loop(process: Process) -> None:
    """And keeps its transaction for as long as it takes."""
    kernel = Kernel(places=300)
    await process.begin(kernel, READER)
    await process.store.publish([envelope(n) for n in range(300)])
    settling = asyncio.create_task(process.store.settle([done(t) for t in kernel.taken]))
    turns = 0
    while not kernel.news.is_set():
        turns += 1
        await asyncio.sleep(0)
        if settling.done():
            kernel.news.set()
    assert turns > 4
    assert all(state.at == NOON for _, state, _ in await process.states())  # type: ignore[union-attr]


async def test_a_leader_looks_for_others_once_a_second(
    tmp_path: Path, process: Process, clock: FakeClock
) -> None:
    """Not at all without subscriptions, and never because of what it writes itself."""
    kernel = Kernel()
    await process.begin(kernel, READER)
    await process.store.publish([envelope(1)])
    await clock.elapse(1)
    assert not kernel.news.is_set()
    async with running(publishing(tmp_path)) as driver:
        other = Process(driver.events(), handle(driver))
        await other.begin(Kernel(), READER)
        await publish(other.db, 2)
    await clock.elapse(0.9)
    assert not kernel.news.is_set()
    await clock.elapse(0.1)
    await asyncio.wait_for(kernel.news.wait(), 10)
    await process.store.close()
    assert clock.waiting == 0


async def test_a_lock_that_cannot_be_had_is_told(tmp_path: Path, process: Process) -> None:
    """Another process that has it is no error; a folder in its place is one."""
    (tmp_path / "data" / "shop.db-events").mkdir()
    with pytest.raises(StorageFailure, match=r"shop\.db-events cannot be locked"):
        await process.store.lead()


async def test_the_lead_ends_with_its_process(tmp_path: Path, process: Process) -> None:
    """However it ends: here, by SIGKILL."""
    held = (
        "import sqlite3, sys; lock = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "lock.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "data" / "shop.db-events"
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", held, str(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"held\n"
    assert not await process.store.lead()
    other.kill()
    await other.wait()
    assert await process.store.lead()

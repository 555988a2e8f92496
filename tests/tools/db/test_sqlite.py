"""What is the sqlite driver's own: its file, its locks, its threads, and what it survives."""

import asyncio
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Generator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from uuid import UUID

import pytest

from ringfence.errors import StartRefused, ToolUnavailable
from ringfence.tools.db import (
    SPEC,
    Busy,
    Database,
    ForeignKeyViolation,
    QueryError,
    StorageFailure,
    TransactionEnded,
)
from ringfence.tools.db.drivers.sqlite import Config, Driver

from .support import handle, kernel, make, migration, migrations, running, still

pytestmark = pytest.mark.anyio

SCHEMA = "CREATE TABLE note (id INTEGER PRIMARY KEY, body)"
INSERT = "INSERT INTO note (body) VALUES ($1)"
COUNT = "SELECT count(*) FROM note"
# Minutes of work, unless somebody ends it.
ENDLESS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) "
    "SELECT count(*) FROM n WHERE i > $1"
)
LONG = ENDLESS.replace("1000000000", "300000")


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[Driver]:
    migrations(tmp_path, {"orders": SCHEMA})
    async with running(make(tmp_path, config=Config(busy_timeout_s=0.2))) as started:
        yield started


@pytest.fixture
def db(driver: Driver) -> Database:
    return handle(driver)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "shop.db"


@contextmanager
def connected(file: Path) -> Iterator[sqlite3.Connection]:
    """Open the file beside the driver, as another process would."""
    with closing(sqlite3.connect(file, isolation_level=None, timeout=5)) as line:
        yield line


def worker_threads() -> set[threading.Thread]:
    """The threads of drivers; an application that other tests share may have some as well."""
    return {each for each in threading.enumerate() if each.name.startswith("ringfence-db")}


# ---- the file


async def test_it_lies_in_the_applications_data_folder(db: Database, file: Path) -> None:
    """The folder is made, and the file is in WAL mode, which outlives the process."""
    await db.execute(INSERT, "a")
    with connected(file) as line:
        assert line.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert line.execute("SELECT body FROM note").fetchall() == [("a",)]


async def test_what_is_written_is_synced_and_references_are_kept(driver: Driver) -> None:
    """The writing connection syncs fully at each commit; the reading one cannot write."""
    db = kernel(driver)
    async with db.transaction() as tx:
        assert await tx.fetch_value("SELECT synchronous FROM pragma_synchronous", into=int) == 2
        assert await tx.fetch_value("SELECT foreign_keys FROM pragma_foreign_keys", into=int) == 1
    assert await db.fetch_value("SELECT query_only FROM pragma_query_only", into=int) == 1


async def test_a_configured_path_is_relative_to_the_application(tmp_path: Path) -> None:
    """Elsewhere than in `data/` the folder must be there."""
    async with running(make(tmp_path, config=Config(path="data/other.db"))):
        assert (tmp_path / "data" / "other.db").is_file()
    with pytest.raises(StartRefused, match="does not exist"):
        async with running(make(tmp_path, config=Config(path="var/shop.db"))):
            pass
    assert not (tmp_path / "var").exists()
    (tmp_path / "var").mkdir()
    async with running(make(tmp_path, config=Config(path="var/shop.db"))):
        assert (tmp_path / "var" / "shop.db").is_file()


@pytest.mark.parametrize("path", [":memory:", "file:x?mode=memory", "domains", "a\0b"])
async def test_what_is_no_file_is_refused(tmp_path: Path, path: str) -> None:
    """Several connections share the database, so it has to be a file."""
    (tmp_path / "domains").mkdir()
    with pytest.raises(StartRefused):
        async with running(make(tmp_path, config=Config(path=path))):
            pass


@pytest.mark.parametrize("damage", ["header", "page", "text"])
async def test_a_damaged_file_is_refused_and_left_alone(
    tmp_path: Path, file: Path, damage: str
) -> None:
    """The refusal names it and says how to get on; nothing is recreated."""
    migrations(tmp_path, {"orders": SCHEMA})
    async with running(make(tmp_path)) as driver:
        for _ in range(20):
            await handle(driver).execute(INSERT, "x" * 3000)
    whole = bytearray(file.read_bytes())
    if damage == "header":
        whole[:16] = b"not a database!!"
    elif damage == "page":
        whole[32768:36864] = bytes(byte ^ 0xFF for byte in whole[32768:36864])
    else:
        whole[:] = b"hello\n" * 1000
    file.write_bytes(whole)
    with pytest.raises(StartRefused) as caught:
        async with running(make(tmp_path)):
            pass
    assert str(file) in str(caught.value)
    assert "backup" in str(caught.value)
    assert file.read_bytes() == whole


# ---- other processes


async def test_a_lock_held_by_another_process_is_waited_for_and_then_named(
    db: Database, file: Path
) -> None:
    """Readers go on; a writer waits as long as configured; later it works again."""
    await db.execute(INSERT, "a")
    hold = (
        "import sqlite3, sys\n"
        f"line = sqlite3.connect({str(file)!r}, isolation_level=None)\n"
        "line.execute('BEGIN IMMEDIATE')\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        try:
            assert other.stdout.readline() == b"held\n"
            started = time.monotonic()
            with pytest.raises(Busy, match=r"within 0\.2 s") as caught:
                await db.execute(INSERT, "b")
            assert 0.15 < time.monotonic() - started < 5
            assert isinstance(caught.value, ToolUnavailable)
            assert await db.fetch_value(COUNT, into=int) == 1
        finally:
            other.kill()
    assert await db.execute(INSERT, "b") == 1
    assert await db.fetch_value(COUNT, into=int) == 2


async def test_a_lock_that_is_let_go_in_time_is_taken(tmp_path: Path, file: Path) -> None:
    """The wait is for the lock, and the event loop is free meanwhile."""
    migrations(tmp_path, {"orders": SCHEMA})
    async with running(make(tmp_path, config=Config(busy_timeout_s=20))) as driver:
        with connected(file) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(handle(driver).execute(INSERT, "a"))
            for _ in range(3):
                assert await handle(driver).fetch_value(COUNT, into=int) == 0
            assert not waiting.done()
            other.execute("COMMIT")
        assert await waiting == 1


async def test_who_has_waited_for_the_turn_has_waited_for_the_lock(
    tmp_path: Path, file: Path
) -> None:
    """Waits behind a lock that is held do not add up, one writer after the other."""
    migrations(tmp_path, {"orders": SCHEMA})
    clock = still(tmp_path)
    async with running(make(tmp_path, config=Config(busy_timeout_s=25), clock=clock)) as driver:
        with connected(file) as other:
            other.execute("BEGIN IMMEDIATE")
            first = asyncio.create_task(handle(driver).execute(INSERT, "a"))
            second = asyncio.create_task(handle(driver).execute(INSERT, "b"))
            await handle(driver).fetch_value(COUNT, into=int)
            clock.advance(26)
            first.cancel()
            async with asyncio.timeout(10):
                with pytest.raises(Busy, match="within 25 s"):
                    await second
            other.execute("ROLLBACK")
        assert await handle(driver).execute(INSERT, "c") == 1


async def test_a_wait_for_the_lock_can_be_cancelled(tmp_path: Path, file: Path) -> None:
    """It ends long before its time, and the next writer gets the turn."""
    migrations(tmp_path, {"orders": SCHEMA})
    async with running(make(tmp_path, config=Config(busy_timeout_s=25))) as driver:
        with connected(file) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(handle(driver).execute(INSERT, "a"))
            await handle(driver).fetch_value(COUNT, into=int)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            other.execute("COMMIT")
        assert await handle(driver).execute(INSERT, "b") == 1


async def test_a_file_that_is_locked_at_the_start_is_no_reason_to_give_up(
    tmp_path: Path, file: Path
) -> None:
    """The error says that trying again makes sense, and the same driver starts later."""
    migrations(tmp_path, {"orders": SCHEMA})
    driver = make(tmp_path, config=Config(busy_timeout_s=0.1))
    file.parent.mkdir()
    with connected(file) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Busy):
            await driver.start()
        with pytest.raises(ToolUnavailable):
            await handle(driver).fetch_value(COUNT, into=int)
        with pytest.raises(ToolUnavailable):
            await handle(driver).execute(INSERT, "a")
        other.execute("ROLLBACK")
    async with running(driver):
        assert await handle(driver).execute(INSERT, "a") == 1


# ---- where statements run


async def test_a_slow_read_holds_up_nobody(db: Database) -> None:
    """Neither other reads nor writers wait for a statement that has not proved short."""
    endless = asyncio.create_task(db.fetch_value(ENDLESS, 0, into=int))
    assert await db.fetch_value(COUNT, into=int) == 0
    assert await db.execute(INSERT, "a") == 1
    assert not endless.done()
    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless
    assert await db.fetch_value(COUNT, into=int) == 1


async def test_slow_reads_take_turns_in_order(db: Database) -> None:
    """More of them than readers wait, can be given up, and do not lose a reader."""
    endless = [asyncio.create_task(db.fetch_value(ENDLESS, n, into=int)) for n in range(5)]
    await asyncio.sleep(0)
    for each in reversed(endless):
        each.cancel()
    ended = await asyncio.gather(*endless, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended)
    found = [asyncio.create_task(db.fetch_value(LONG, n, into=int)) for n in range(5)]
    assert list(await asyncio.gather(*found)) == [300000 - n for n in range(5)]


async def test_a_read_that_is_thrown_away_takes_no_reader_along(db: Database) -> None:
    """Those that wait for a reader, and those that have one, are thrown away; all get free."""
    works = [db.fetch_value(ENDLESS, n, into=int) for n in range(4)]
    for work in works:
        work.send(None)
    for work in reversed(works):
        work.close()
    found = [asyncio.create_task(db.fetch_value(LONG, n, into=int)) for n in range(3)]
    assert list(await asyncio.gather(*found)) == [300000 - n for n in range(3)]


async def test_a_statement_that_turns_out_slow_leaves_the_event_loop(
    db: Database,
) -> None:
    """It had proved short; after a slow run it runs on a thread, where the loop stays free."""
    sql = LONG.replace("i > $1", "i > 0").replace("300000", "$1")
    for _ in range(3):
        assert await db.fetch_value(sql, 10, into=int) == 10

    async def count_turns(until: "asyncio.Task[int]") -> int:
        turns = 0
        while not until.done():
            turns += 1
            await asyncio.sleep(0)
        return turns

    first = asyncio.create_task(db.fetch_value(sql, 300000, into=int))
    await asyncio.wait([first])
    second = asyncio.create_task(db.fetch_value(sql, 300000, into=int))
    assert await count_turns(second) > 20
    assert (await first, await second) == (300000, 300000)


class Turns:
    """Awaits something, and counts how often it gives the event loop a turn for nothing."""

    def __init__(self) -> None:
        self.given = 0

    def of(self, work: Awaitable[object]) -> "Counted":
        return Counted(self, work)


class Counted:
    def __init__(self, turns: Turns, work: Awaitable[object]) -> None:
        self._turns = turns
        self._work = work

    def __await__(self) -> Generator[object, None, None]:
        steps = self._work.__await__()
        for asked in steps:
            self._turns.given += asked is None
            yield asked


async def test_many_short_statements_leave_the_loop_its_turns(db: Database) -> None:
    """A loop of statements, none of which suspends by itself, does not starve the others."""
    reads, writes = Turns(), Turns()
    for _ in range(15_000):
        await reads.of(db.fetch_value(COUNT, into=int))
    async with db.transaction(hold_s=30) as tx:
        for _ in range(15_000):
            await writes.of(tx.execute(INSERT, "a"))
    assert reads.given > 3
    assert writes.given > 3


async def test_a_busy_loop_does_not_starve_the_threads(db: Database) -> None:
    """Commits and slow reads get on beside a loop that always has something else to do."""
    turns = 0

    async def be_busy() -> None:
        nonlocal turns
        while True:
            turns += 1
            sum(range(10_000))
            await asyncio.sleep(0)

    busy = asyncio.create_task(be_busy())
    for _ in range(30):
        await db.execute(INSERT, "a")
    rows = await db.fetch_all("SELECT a.id FROM note AS a, note AS b")
    busy.cancel()
    assert len(rows) == 900
    assert turns < 3000  # some hundreds; without care for it, some ten thousands


async def test_a_slow_write_is_ended_by_its_cancellation(db: Database) -> None:
    """It is undone, and the next writer goes ahead."""
    endless = f"INSERT INTO note (body) {ENDLESS}"
    writing = asyncio.create_task(db.execute(endless, 0))
    assert await db.fetch_value(COUNT, into=int) == 0
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await db.execute(INSERT, "a") == 1
    assert await db.fetch_value(COUNT, into=int) == 1


async def test_an_interrupted_write_ends_the_whole_transaction(db: Database) -> None:
    """SQLite gives up all of it, so what goes on after a timeout is told so."""

    async def attempt() -> None:
        async with asyncio.timeout(0.05), db.transaction() as inner:
            await inner.execute(f"INSERT INTO note (body) {ENDLESS}", 0)

    async def place() -> None:
        async with db.transaction() as tx:
            await tx.execute(INSERT, "a")
            with pytest.raises(TimeoutError):
                await attempt()
            await tx.execute(INSERT, "b")

    with pytest.raises(TransactionEnded, match="only rollback"):
        await place()
    assert await db.fetch_value(COUNT, into=int) == 0
    assert await db.execute(INSERT, "c") == 1


async def test_a_rollback_in_sql_is_refused(db: Database) -> None:
    """`OR ROLLBACK` would undo what others have ended in the same commit."""
    with pytest.raises(QueryError, match="OR ROLLBACK"):
        await db.execute("INSERT OR ROLLBACK INTO note (id) VALUES (1)")


# ---- commits


async def test_a_cancellation_during_commit_says_that_it_was_committed(db: Database) -> None:
    """Once COMMIT has begun its outcome is awaited; only then the cancellation goes on."""
    leaving = asyncio.Event()

    async def place() -> None:
        async with db.transaction() as tx:
            await tx.execute(INSERT, "a")
            leaving.set()

    task = asyncio.create_task(place())
    await leaving.wait()  # the next turn after it, and the block ends without a turn between
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert any(note.startswith("committed") for note in caught.value.__notes__)
    assert await db.fetch_value(COUNT, into=int) == 1
    assert await db.execute(INSERT, "b") == 1


async def test_a_commit_that_fails_keeps_nothing_and_lets_go(driver: Driver, file: Path) -> None:
    """A deferred constraint, put into the file from outside, fails at COMMIT."""
    db = kernel(driver)
    with connected(file) as other:
        other.execute("CREATE TABLE late (x REFERENCES note (id) DEFERRABLE INITIALLY DEFERRED)")

    async def place() -> None:
        async with db.transaction() as tx:
            await tx.execute(INSERT, "a")
            await tx.execute("INSERT INTO late VALUES (99)")

    with pytest.raises(ForeignKeyViolation):
        await place()
    assert await db.fetch_value(COUNT, into=int) == 0
    assert await db.execute(INSERT, "b") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="limits of file size differ elsewhere")
async def test_a_full_disk_refuses_writes_and_heals(db: Database, file: Path) -> None:
    """Nothing is acknowledged, reads go on, and with room again writes do too."""

    async def fill() -> None:
        async with db.transaction() as tx:
            for _ in range(20):
                await tx.execute(INSERT, "x" * 100_000)

    await db.execute(INSERT, "a")
    log = file.with_name("shop.db-wal")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 8192, limits[1]))
    try:
        with pytest.raises(StorageFailure):
            await fill()
        assert await db.fetch_value(COUNT, into=int) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert await db.execute(INSERT, "b") == 1
    assert await db.fetch_value(COUNT, into=int) == 2


@pytest.mark.parametrize("sql", [INSERT, f"INSERT INTO note (body) {ENDLESS}"])
@pytest.mark.parametrize("place", ["holding", "waiting"])
async def test_a_coroutine_that_is_thrown_away_lets_go(db: Database, sql: str, place: str) -> None:
    """A block that is never left rolls back, wherever it was; so does one that never began."""

    async def abandon() -> None:
        async with db.transaction() as tx:
            await tx.execute(sql, 0)
            await asyncio.Event().wait()

    inside, leave = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO note (body) VALUES ('a')")
            inside.set()
            await leave.wait()

    other = asyncio.create_task(hold()) if place == "waiting" else None
    if other is not None:
        await inside.wait()
    work = abandon()
    work.send(None)
    work.close()
    if other is not None:
        leave.set()
        await other
    assert await db.execute(INSERT, "b") == 1
    assert await db.fetch_value(COUNT, into=int) == (1 if place == "holding" else 2)


async def test_a_statement_that_has_proved_short_does_not_suspend(db: Database) -> None:
    """No thread is asked, and no other task runs between: the first turn is the last."""

    async def count() -> None:
        assert await db.fetch_value(COUNT, into=int) == 0

    answers = 0
    for _ in range(20):
        await count()
        work = count()
        try:
            work.send(None)
            work.close()
        except StopIteration:
            answers += 1
    assert answers > 10


# ---- values


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    "value,stored",
    [
        (True, 1),
        (1.5, 1.5),
        (b"\x00\xff", b"\x00\xff"),
        (bytearray(b"ab"), b"ab"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00.000000Z"),
        (date(2026, 1, 2), "2026-01-02"),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
    ],
)
async def test_values_are_stored_in_one_way(db: Database, value: object, stored: object) -> None:
    """What SQLite has no type for is text that sorts as the value does, where it can."""
    await db.execute(INSERT, value)
    found = await db.fetch_value("SELECT body FROM note")
    assert (found, type(found)) == (stored, type(stored))
    kind = bytes if isinstance(value, bytearray) else type(value)
    assert await db.fetch_value("SELECT body FROM note", into=kind) == value


async def test_text_is_not_taken_for_bytes(db: Database) -> None:
    """A conversion that would guess is refused."""
    await db.execute(INSERT, "abcd")
    with pytest.raises(Exception, match="bytes"):
        await db.fetch_value("SELECT body FROM note", into=bytes)


# ---- starting and stopping


async def test_stopping_ends_its_threads(tmp_path: Path) -> None:
    """Also those that a slow read occupies; work that comes later is told so."""
    migrations(tmp_path, {"orders": SCHEMA})
    driver, before = make(tmp_path), worker_threads()
    await driver.start()
    db = handle(driver)
    endless = asyncio.create_task(db.fetch_value(ENDLESS, 0, into=int))

    async def place() -> None:
        async with db.transaction() as tx:
            await tx.execute(INSERT, "a")
            waiting = asyncio.create_task(outsider(driver))
            await asyncio.sleep(0)
            assert worker_threads() > before
            await driver.stop()
            assert worker_threads() == before
            with pytest.raises(ToolUnavailable):
                await waiting
            with pytest.raises(ToolUnavailable):
                await tx.execute(INSERT, "c")

    with pytest.raises(ToolUnavailable):
        await place()
    with pytest.raises(ToolUnavailable):
        await endless
    with pytest.raises(ToolUnavailable):
        await db.fetch_value(COUNT, into=int)
    async with running(make(tmp_path)) as again:
        assert await handle(again).fetch_value(COUNT, into=int) == 0


async def outsider(driver: Driver) -> None:
    await handle(driver, "billing.charge").execute(INSERT, "b")


async def test_a_start_that_failed_can_be_stopped(tmp_path: Path) -> None:
    """Stop comes after every start, and leaves no thread."""
    migration(tmp_path, "a", "20260101000000_bad.sql", "CREATE TABEL a (x)")
    driver, before = make(tmp_path), worker_threads()
    with pytest.raises(StartRefused):
        await driver.start()
    await driver.stop()
    await make(tmp_path).stop()
    assert worker_threads() == before


async def test_a_start_that_is_given_up_can_be_stopped(tmp_path: Path) -> None:
    """What it had opened by then is closed."""
    migrations(tmp_path, {"orders": SCHEMA})
    driver, before = make(tmp_path), worker_threads()
    starting = asyncio.create_task(driver.start())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await driver.stop()
    assert worker_threads() == before


def test_importing_the_tool_loads_no_driver() -> None:
    """What only reads contracts does not pay for SQLite."""
    code = (
        "import sys, ringfence.tools.db as db\n"
        "print([name for name in sys.modules if 'sqlite' in name or '.drivers' in name])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"
    assert (SPEC.name, SPEC.contract, SPEC.default_driver) == ("db", Database, "sqlite")

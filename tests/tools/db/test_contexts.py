"""Inside the kernel, a transaction is known by the context that it is the inside of."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NoReturn, cast

import pytest

from ringfence.errors import TransactionHeld
from ringfence.kernel.call import Gate, open_root
from ringfence.kernel.context import Budget, Context, current
from ringfence.kernel.proxy import ToolState
from ringfence.kernel.proxy import handle as proxied
from ringfence.kernel.registry import Entry, Registry
from ringfence.kernel.threads import Pool, Share
from ringfence.kernel.waiting import serve, wait
from ringfence.tools.db import Database, WrongTask
from ringfence.tools.db.drivers.sqlite import Driver

from .support import RealClock, handle, make, migrations, running

pytestmark = pytest.mark.anyio

INSERT = "INSERT INTO note (id) VALUES ($1)"
COUNT = "SELECT count(*) FROM note"
ORDERS = "orders.place_order"
Handles = Callable[..., Database]


def no_calls(gate: Gate, entry: Entry) -> NoReturn:
    raise AssertionError("these tests call no service")


@pytest.fixture
def gate() -> Gate:
    return Gate(RealClock(), Registry(), Budget(), deque(), no_calls)


@pytest.fixture
def context(gate: Gate) -> Iterator[Context]:
    """The context of a handler that is running."""
    root = open_root(gate, "orders.place", ORDERS, Budget())
    token = current.set(root)
    yield root
    current.reset(token)


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[Driver]:
    migrations(tmp_path, {"orders": "CREATE TABLE note (id INTEGER PRIMARY KEY)"})
    async with running(make(tmp_path)) as started:
        yield started


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Driver]:
    path = tmp_path / "domains" / "orders" / "migrations" / "archive"
    path.mkdir(parents=True)
    (path / "20260101000000_note.sql").write_text("CREATE TABLE note (id INTEGER PRIMARY KEY)")
    async with running(make(tmp_path, "archive")) as started:
        yield started


def through(gate: Gate, driver: Driver, plugin: str = ORDERS, instance: str = "db") -> Database:
    """Return a plugin's handle as the kernel makes it."""
    inner = handle(driver, plugin, instance)
    return cast(Database, proxied(Database, inner, ToolState(instance), gate, plugin))


async def test_the_block_has_a_context_that_holds_it(
    gate: Gate, context: Context, driver: Driver
) -> None:
    """From its begin to its end, however it ends; a savepoint has one below it."""
    db = through(gate, driver)

    async def fail() -> None:
        async with db.transaction():
            inside = current.get()
            assert inside is not None
            outer = inside.held
            assert outer is not None
            assert outer.holder == ORDERS
            async with db.transaction() as tx:
                below = current.get()
                assert below is not None
                assert below.parent is inside
                assert below.held is not None
                await tx.execute(INSERT, 1)
            assert [below.held, inside.held] == [None, outer]
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert current.get() is context
    assert context.held is None
    assert [span.held for span in gate.spans] == [None, None]
    async with db.transaction() as tx:
        await tx.execute(INSERT, 2)
    assert await db.fetch_value("SELECT id FROM note", into=int) == 2


async def test_savepoints_nest_as_deep_as_wanted(
    gate: Gate, context: Context, driver: Driver
) -> None:
    """Each is undone by itself, with what is inside it."""
    db = through(gate, driver)

    async def nest(depth: int) -> None:
        async with db.transaction() as tx:
            await tx.execute(INSERT, depth)
            if depth == 6:
                raise KeyError
            try:
                await nest(depth + 1)
            except KeyError:
                if depth > 3:
                    raise

    await nest(1)
    rows = await db.fetch_all("SELECT id FROM note ORDER BY id")
    assert [row["id"] for row in rows] == [1, 2, 3]


async def test_a_task_started_inside_may_only_read_the_last_commit(
    gate: Gate, context: Context, driver: Driver
) -> None:
    """Anything else would wait for a transaction that waits for it."""
    db = through(gate, driver)

    async def open_one() -> None:
        async with db.transaction():
            pass

    async def seen() -> int:
        return await db.fetch_value(COUNT, into=int)

    async with db.transaction() as tx:
        await tx.execute(INSERT, 1)
        with pytest.raises(TransactionHeld, match="from another task"):
            await asyncio.gather(open_one())
        with pytest.raises(TransactionHeld):
            await asyncio.gather(db.execute(INSERT, 2))
        with pytest.raises(WrongTask):
            await asyncio.gather(tx.execute(INSERT, 2))
        assert await asyncio.create_task(seen()) == 0
        await tx.execute(INSERT, 3)
    assert await db.fetch_value(COUNT, into=int) == 2


async def test_another_plugin_and_another_database_are_refused(
    gate: Gate, context: Context, driver: Driver, archive: Driver
) -> None:
    """Both are named; reading the other database is no harm."""
    db = through(gate, driver)
    other = through(gate, driver, "billing.charge")
    old = through(gate, archive, instance="archive")

    async def enter(database: Database) -> None:
        async with database.transaction():
            pass

    async with db.transaction() as tx:
        with pytest.raises(TransactionHeld, match=r"billing\.charge .* orders\.place_order"):
            await enter(other)
        with pytest.raises(TransactionHeld, match="on another database"):
            await enter(old)
        with pytest.raises(TransactionHeld):
            await old.execute(INSERT, 1)
        assert await old.fetch_value(COUNT, into=int) == 0
        await tx.execute(INSERT, 1)
    await enter(other)
    await enter(old)
    assert await db.fetch_value(COUNT, into=int) == 1


async def test_a_def_handler_uses_it_from_its_thread(
    gate: Gate, context: Context, driver: Driver
) -> None:
    """Each wait may use what an earlier one opened, savepoints included."""
    db = through(gate, driver)
    pool = Pool(2, serve)

    def place() -> int:
        with wait(db.transaction()) as tx:
            wait(tx.execute(INSERT, 1))
            with wait(db.transaction()) as inner:
                wait(inner.execute(INSERT, 2))
            return wait(tx.fetch_value(COUNT, into=int))

    try:
        assert await pool.run(Share(ORDERS, 2), place, ()) == 2
    finally:
        await pool.stop()
    assert await db.fetch_value(COUNT, into=int) == 2

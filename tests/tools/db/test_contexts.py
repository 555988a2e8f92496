"""In a running application, a transaction is known by the context that it is the inside of."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ringfence.errors import TransactionHeld
from ringfence.testing import TestApplication, boot
from ringfence.tools.db import WrongTask

pytestmark = pytest.mark.anyio

NOTE = "CREATE TABLE note (id INTEGER PRIMARY KEY);"
BILLING = '''"""Charge."""

from ringfence import Plugin, service
from ringfence.tools.db import Database


class Charge(Plugin):
    db: Database

    @service("billing.charge")
    async def charge(self) -> None:
        """Charge."""
        await self.db.execute("INSERT INTO bill DEFAULT VALUES")
'''
ORDERS = '''"""Try what a transaction allows."""

import asyncio
from typing import Protocol

from ringfence import Context, Plugin, requires, service, wait
from ringfence.tools.db import Database, Transaction

INSERT = "INSERT INTO note (id) VALUES ($1)"
COUNT = "SELECT count(*) FROM note"


@requires("billing.charge")
class Charge(Protocol):
    async def __call__(self) -> None: ...


class Place(Plugin):
    db: Database
    archive: Database
    charge: Charge

    @service("orders.nest")
    async def nest(self, deepest: int, fails: int) -> None:
        """Nest savepoints; the deepest raises, and `fails` levels let it through."""
        await self.level(1, deepest, deepest - fails)

    async def level(self, depth: int, deepest: int, keep: int) -> None:
        async with self.db.transaction() as tx:
            await tx.execute(INSERT, depth)
            if depth == deepest:
                raise KeyError
            try:
                await self.level(depth + 1, deepest, keep)
            except KeyError:
                if depth > keep:
                    raise

    @service("orders.branch")
    async def branch(self, how: str) -> int:
        """Use the database from a task that was started inside a transaction."""
        async with self.db.transaction() as tx:
            await tx.execute(INSERT, 1)
            if how == "transaction":
                await asyncio.gather(self.level(2, 9, 9))
            elif how == "execute":
                await asyncio.gather(self.db.execute(INSERT, 2))
            elif how == "tx":
                await asyncio.gather(tx.execute(INSERT, 2))
            return (await asyncio.gather(self.db.fetch_value(COUNT, into=int)))[0]

    @service("orders.elsewhere")
    async def elsewhere(self, how: str) -> int:
        """Use something else inside a transaction."""
        async with self.db.transaction() as tx:
            await tx.execute(INSERT, 1)
            if how == "service":
                await self.charge()
            elif how == "transaction":
                async with self.archive.transaction():
                    pass
            elif how == "execute":
                await self.archive.execute(INSERT, 1)
            return await self.archive.fetch_value(COUNT, into=int)

    @service("orders.given")
    async def given(self, id: int, tx: Transaction) -> None:
        """Run inside a transaction from the start; a negative id fails after its write."""
        await tx.execute(INSERT, id)
        async with self.db.transaction() as inner:
            await inner.execute(INSERT, id + 1)
        if id < 0:
            raise KeyError

    @service("orders.thread")
    def thread(self, id: int, tx: Transaction) -> int:
        """Do the same from a worker thread."""
        wait(tx.execute(INSERT, id))
        with wait(self.db.transaction()) as inner:
            wait(inner.execute(INSERT, id + 1))
        if id < 0:
            raise KeyError
        return wait(tx.fetch_value(COUNT, into=int))

    @service("orders.spawned")
    async def spawned(self, ctx: Context) -> None:
        """Start background work inside a transaction; it writes when that is over."""
        async with self.db.transaction() as tx:
            await tx.execute(INSERT, 1)
            ctx.spawn(self.later())
            await asyncio.sleep(0)

    async def later(self) -> None:
        async with self.db.transaction() as tx:
            await tx.execute(INSERT, 2)

    @service("orders.ids")
    async def ids(self) -> list[int]:
        """List what is there."""
        return [int(str(row["id"])) for row in await self.db.fetch_all("SELECT id FROM note")]
'''


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[TestApplication]:
    files = {
        "orders/place.py": ORDERS,
        "billing/charge.py": BILLING,
        "orders/migrations/20260101000000_note.sql": NOTE,
        "orders/migrations/archive/20260101000000_note.sql": NOTE,
        "billing/migrations/20260101000000_bill.sql": "CREATE TABLE bill (id INTEGER PRIMARY KEY);",
    }
    for name, text in files.items():
        path = tmp_path / "domains" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    archive = {"tool": "db", "path": str(tmp_path / "archive.db")}
    async with boot(tmp_path, strict=True, overrides={"tools": {"archive": archive}}) as started:
        yield started


async def ids(app: TestApplication) -> object:
    """What is in the table, after all that."""
    return await app.call("orders.ids")


@pytest.mark.parametrize("deepest,fails,kept", [(3, 2, [1]), (6, 3, [1, 2, 3]), (2, 1, [1])])
async def test_savepoints_nest(
    app: TestApplication, deepest: int, fails: int, kept: list[int]
) -> None:
    """Each is undone by itself, with what is inside it."""
    await app.call("orders.nest", deepest=deepest, fails=fails)
    assert await ids(app) == kept


@pytest.mark.parametrize(
    "how,error", [("transaction", TransactionHeld), ("execute", TransactionHeld), ("tx", WrongTask)]
)
async def test_a_task_started_inside_does_not_take_part(
    app: TestApplication, how: str, error: type[Exception]
) -> None:
    """It would wait for a transaction that waits for it."""
    with pytest.raises(error):
        await app.call("orders.branch", how=how)
    assert await ids(app) == []
    await app.call("orders.given", id=1)


async def test_a_task_started_inside_reads_the_last_commit(app: TestApplication) -> None:
    """Reading waits for nobody."""
    assert await app.call("orders.branch", how="read") == 0
    assert await ids(app) == [1]


@pytest.mark.parametrize("how", ["service", "transaction", "execute"])
async def test_inside_there_is_only_that_database(app: TestApplication, how: str) -> None:
    """No service, and no write to another database; the holder is named."""
    with pytest.raises(TransactionHeld, match=r"orders\.place"):
        await app.call("orders.elsewhere", how=how)
    assert await ids(app) == []
    assert await app.call("orders.elsewhere", how="read") == 0
    await app.call("billing.charge")


@pytest.mark.parametrize("name", ["orders.given", "orders.thread"])
async def test_a_handler_may_be_given_one(app: TestApplication, name: str) -> None:
    """Committed on return, rolled back on error, in the event loop and on a thread."""
    with pytest.raises(Exception, match="unexpectedly"):
        await app.call(name, id=-5)
    assert await ids(app) == []
    await app.call(name, id=5)
    assert await ids(app) == [5, 6]


async def test_background_work_is_outside(app: TestApplication) -> None:
    """What was spawned inside waits for its turn like anybody."""
    await app.call("orders.spawned")
    await app.call("orders.given", id=7)  # comes after it, for turns are in order
    assert await ids(app) == [1, 2, 7, 8]

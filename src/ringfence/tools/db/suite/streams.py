"""Streams: one snapshot, row by row, ended by whatever comes first."""

import asyncio
from contextlib import aclosing

import pytest
from msgspec import Struct

from ringfence.tools.db.contract import (
    Database,
    InvalidParameter,
    QueryError,
    RowMismatch,
    Rows,
    WrongTask,
)
from ringfence.tools.db.suite.subject import COUNT, INSERT, Conformance

# As many as no driver can have open, or wait for, at once.
ROUNDS = 100
FILL = (
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) "
    "INSERT INTO item (id, name, amount) SELECT i, CAST(i AS TEXT), i FROM n"
)
SELECT = "SELECT id, name, amount FROM item ORDER BY id"
# Rows without end, in a moment each.
ENDLESS = (
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) "
    "SELECT i AS id, 'x' AS name, i AS amount FROM n"
)
# One row, after minutes.
SLOW = ENDLESS.replace("SELECT i AS id", "SELECT count(*) AS id").partition(", 'x'")[0] + " FROM n"


class Item(Struct):
    id: int
    name: str | None
    amount: int


class Deliberate(Exception):
    """What a test raises between two rows."""


async def first(rows: Rows[Item]) -> Item:
    """Take one row, and leave the rest."""
    async for row in rows:
        return row
    raise AssertionError("no row")


class StreamConformance(Conformance):
    """Results of any size."""

    async def test_all_rows_come_in_order(self, db: Database) -> None:
        """Those that `fetch_all` returns: as dicts, and as what is asked for."""
        await db.execute(FILL, 3000)
        assert [row async for row in db.stream(SELECT)] == await db.fetch_all(SELECT)
        rows = [row async for row in db.stream(SELECT, into=Item)]
        assert rows == await db.fetch_all(SELECT, into=Item)
        few = "SELECT id, name, amount FROM item WHERE id > $2 AND id < $1 ORDER BY id"
        assert [row.id async for row in db.stream(few, 9, 6, into=Item)] == [7, 8]

    async def test_no_rows_are_none(self, db: Database) -> None:
        """An empty result ends at once, and stays at its end."""
        rows = db.stream(SELECT)
        assert [row async for row in rows] == []
        assert [row async for row in rows] == []

    async def test_it_is_a_snapshot(self, db: Database) -> None:
        """What is written after the first row is not in it, and no writer waits for it."""
        await db.execute(FILL, 3000)
        seen = 0
        async for row in db.stream(SELECT, into=Item):
            if seen == 0:
                async with asyncio.timeout(10):
                    await db.execute("UPDATE item SET amount = 0")
                    await db.execute("DELETE FROM item WHERE id > 2000")
                    await db.execute(INSERT, 5000, "late", 1)
            assert row.amount == row.id
            seen += 1
        assert seen == 3000
        assert await db.fetch_value(COUNT, into=int) == 2001

    async def test_it_reads_the_last_commit(self, db: Database) -> None:
        """Also inside a transaction, which has no stream itself."""
        async with db.transaction() as tx:
            await tx.execute(INSERT, 1, "a", 1)
            assert [row async for row in db.stream(SELECT)] == []
            assert not hasattr(tx, "stream")
        assert len([row async for row in db.stream(SELECT)]) == 1

    async def test_first_rows_come_before_the_last_are_found(self, db: Database) -> None:
        """A result that never ends has a beginning."""
        async with asyncio.timeout(10):
            ids = []
            async for row in db.stream(ENDLESS, into=Item):
                ids.append(row.id)
                if len(ids) == 5000:
                    break
        assert ids == list(range(1, 5001))

    @pytest.mark.parametrize("how", ["break", "error", "close", "drop", "cancel"])
    async def test_one_that_is_left_is_ended(self, db: Database, how: str) -> None:
        """However often: there is always another one, and ordinary reads go on."""

        async def leave() -> None:
            rows = db.stream(ENDLESS, into=Item)
            await first(rows)
            if how == "error":
                raise Deliberate
            if how == "close":
                await rows.aclose()
                assert [row async for row in rows] == []
            if how == "cancel":
                await asyncio.Event().wait()

        async with asyncio.timeout(20):
            for _ in range(ROUNDS):
                leaving = asyncio.ensure_future(leave())
                if how == "cancel":
                    await asyncio.sleep(0.002)
                    leaving.cancel()
                await asyncio.gather(leaving, return_exceptions=True)
                if how != "cancel":
                    assert isinstance(leaving.exception(), Deliberate) == (how == "error")
            assert await db.fetch_value(COUNT, into=int) == 0

    async def test_it_is_cancelled_while_it_searches(self, db: Database) -> None:
        """A step that takes minutes ends at once."""
        async with asyncio.timeout(10):
            for _ in range(20):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await anext(aiter(db.stream(SLOW)))
            assert len([row async for row in db.stream("SELECT 1 AS one")]) == 1

    async def test_open_ones_do_not_hold_up_reads(self, db: Database) -> None:
        """Short and slow reads have connections of their own, and so have writers."""
        await db.execute(FILL, 300)
        slow = "SELECT count(*) FROM item AS a, item AS b WHERE a.id + b.id > $1"
        async with asyncio.timeout(20), aclosing(db.stream(ENDLESS)) as one:
            await anext(one)
            async with aclosing(db.stream(ENDLESS)) as other:
                await anext(other)
                for _ in range(10):
                    await asyncio.gather(*(db.fetch_value(slow, n, into=int) for n in range(5)))
                assert await db.fetch_value(COUNT, into=int) == 300
                assert await db.execute("DELETE FROM item WHERE id = 1") == 1
                await anext(other)
            await anext(one)

    async def test_what_is_wrong_is_said_at_the_first_step(self, db: Database) -> None:
        """By the same errors as of `fetch_all`; a statement that writes is refused."""
        for error, sql, params in [
            (QueryError, "SELECT nowhere FROM item", ()),
            (QueryError, "SELECT id FROM item WHERE id = $1", ()),
            (QueryError, INSERT + " RETURNING id", (1, "a", 1)),
            (QueryError, "DELETE FROM item", ()),
            (InvalidParameter, "SELECT id FROM item WHERE id = $1", (2**64,)),
            (RowMismatch, "SELECT 1 AS one, 2 AS one", ()),
        ]:
            rows = db.stream(sql, *params)
            with pytest.raises(error):
                await anext(rows)
            with pytest.raises(StopAsyncIteration):
                await anext(rows)
        assert await db.fetch_value(COUNT, into=int) == 0

    async def test_a_row_that_does_not_fit_ends_it(self, db: Database) -> None:
        """Those before it have come."""
        await db.execute(FILL, 10)
        sql = "SELECT id, name, CASE WHEN id = 4 THEN NULL ELSE amount END AS amount FROM item"
        seen: list[int] = []

        async def read() -> None:
            async for row in db.stream(sql + " ORDER BY id", into=Item):
                seen.append(row.id)  # noqa: PERF401 - those before the error count

        with pytest.raises(RowMismatch, match="amount"):
            await read()
        assert seen == [1, 2, 3]

    async def test_it_belongs_to_one_task_at_a_time(self, db: Database) -> None:
        """Two that step it at once would each miss rows; the first one goes on."""
        await db.execute(FILL, 10)
        rows = db.stream(SELECT, into=Item)
        stepping = asyncio.ensure_future(anext(rows))
        await asyncio.sleep(0)
        with pytest.raises(WrongTask):
            await anext(rows)
        assert (await stepping).id == 1
        assert [row.id async for row in rows] == list(range(2, 11))

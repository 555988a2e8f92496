"""The suite's part on units of work: several statements, or many rows, as one transaction."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import cast

import pytest
from msgspec import Struct

from ringfence.errors import TransactionHeld
from ringfence.tools.db.contract import (
    Database,
    InvalidParameter,
    QueryError,
    TransactionEnded,
    UniqueViolation,
    UnitOfWork,
)
from ringfence.tools.db.suite.subject import COUNT, INSERT, Conformance

AMOUNT = "SELECT amount FROM item WHERE id = $1"

NAME = "UPDATE item SET name = $1"


class Item(Struct):
    """A row of `item`, but for its id."""

    name: str | None
    amount: int


def _name(rows: list[tuple[object]], unit: UnitOfWork) -> int:
    return unit.execute_many(NAME, rows)


class Deliberate(Exception):
    """What a test raises inside a unit of work."""


class WorkConformance(Conformance):
    """`run` and `execute_many`: several statements as one unit."""

    async def test_a_unit_of_work_returns_what_its_function_does(self, db: Database) -> None:
        """It reads, decides and writes; what it wrote is there when it returns."""

        def work(unit: UnitOfWork) -> list[Item]:
            unit.execute(INSERT, 1, "a", 5)
            unit.execute_many(INSERT, [(2, "b", 6), (3, "c", 7)])
            row = unit.fetch_one("SELECT name, amount FROM item WHERE id = $1", 1, into=Item)
            assert row == Item("a", 5)
            if unit.fetch_value(COUNT, into=int) == 3:
                unit.execute("UPDATE item SET amount = amount + 1 WHERE id = $1", 1)
            return unit.fetch_all("SELECT name, amount FROM item ORDER BY id", into=Item)

        for _ in range(3):  # first on a thread, it may be, and then not
            found = await db.run(work)
            assert found == [Item("a", 6), Item("b", 6), Item("c", 7)]
            assert await db.fetch_value(COUNT, into=int) == 3
            await db.execute("DELETE FROM item")

    async def test_a_unit_of_work_that_raises_keeps_nothing(self, db: Database) -> None:
        """Its own error comes out, and the next one is not disturbed."""

        def fail(unit: UnitOfWork) -> None:
            unit.execute(INSERT, 1, "a", 1)
            raise Deliberate

        def clash(unit: UnitOfWork) -> None:
            unit.execute(INSERT, 1, "a", 1)
            unit.execute(INSERT, 1, "a", 1)

        for _ in range(3):
            with pytest.raises(Deliberate):
                await db.run(fail)
            with pytest.raises(UniqueViolation):
                await db.run(clash)
        assert await db.fetch_value(COUNT, into=int) == 0
        assert await db.execute(INSERT, 1, "a", 1) == 1

    async def test_a_unit_whose_statement_failed_keeps_nothing(self, db: Database) -> None:
        """As in a transaction: its error may be caught, and then nothing goes on, or is kept."""

        def swallow(unit: UnitOfWork) -> None:
            unit.execute(INSERT, 1, "a", 1)
            with pytest.raises(UniqueViolation):
                unit.execute(INSERT, 1, "a", 1)

        def go_on(unit: UnitOfWork) -> None:
            swallow(unit)
            with pytest.raises(TransactionEnded, match="had failed"):
                unit.execute(INSERT, 2, "b", 1)

        for work in (swallow, go_on, swallow, go_on):
            with pytest.raises(TransactionEnded, match="only rollback"):
                await db.run(work)
        assert await db.fetch_value(COUNT, into=int) == 0

    async def test_units_of_work_do_not_lose_updates(self, db: Database) -> None:
        """They run one after another, beside transactions as well."""
        await db.execute(INSERT, 1, "a", 0)

        def increase(unit: UnitOfWork) -> None:
            amount = unit.fetch_value(AMOUNT, 1, into=int)
            unit.execute("UPDATE item SET amount = $2 WHERE id = $1", 1, amount + 1)

        async def increase_slowly() -> None:
            async with db.transaction() as tx:
                amount = await tx.fetch_value(AMOUNT, 1, into=int)
                await asyncio.sleep(0)
                await tx.execute("UPDATE item SET amount = $2 WHERE id = $1", 1, amount + 1)

        both = ((db.run(increase), increase_slowly()) for _ in range(20))
        await asyncio.gather(*(each for pair in both for each in pair))
        assert await db.fetch_value(AMOUNT, 1, into=int) == 40

    async def test_a_unit_of_work_is_over_with_its_function(self, db: Database) -> None:
        """What is kept of it refuses; a coroutine or a generator would not even have begun."""
        kept: list[UnitOfWork] = []
        await db.run(kept.append)
        with pytest.raises(TransactionEnded):
            kept[0].fetch_value(COUNT)

        async def work(unit: UnitOfWork) -> None:
            unit.execute(INSERT, 1, "a", 1)

        def rows(unit: UnitOfWork) -> Iterator[int]:
            yield unit.execute(INSERT, 1, "a", 1)

        for wrong in (work, lambda unit: work(unit), rows):
            with pytest.raises(QueryError, match="plain function"):
                await db.run(wrong)
        assert await db.fetch_value(COUNT, into=int) == 0

    async def test_inside_a_transaction_a_unit_of_work_is_refused(self, db: Database) -> None:
        """It would wait for its own transaction to end."""
        async with db.transaction() as tx:
            with pytest.raises(TransactionHeld, match=r"orders\.place_order"):
                await db.run(lambda unit: unit.execute(INSERT, 1, "a", 1))
            with pytest.raises(TransactionHeld):
                await db.execute_many(INSERT, [(1, "a", 1)])
            await tx.execute(INSERT, 2, "b", 1)
        assert await db.fetch_value("SELECT id FROM item", into=int) == 2

    @pytest.mark.parametrize("count", [0, 1, 5000])
    async def test_many_rows_are_written_as_one(self, db: Database, count: int) -> None:
        """All of them or, where one is refused, none."""
        rows = [(number, None, number) for number in range(count)]
        for _ in range(2):
            assert await db.execute_many(INSERT, rows) == count
            assert await db.fetch_value(COUNT, into=int) == count
            with pytest.raises(UniqueViolation):
                await db.execute_many(INSERT, [(-1, None, 1), (-2, None, 1), (-1, None, 1)])
            assert await db.fetch_value(COUNT, into=int) == count
            async with db.transaction(hold_s=30) as tx:
                changed = await tx.execute_many(
                    "UPDATE item SET amount = $2 WHERE id = $1", [(row[0], 3) for row in rows]
                )
                assert changed == count
                assert await tx.execute("DELETE FROM item WHERE amount = 3") == count

    async def test_many_rows_that_do_not_fit_are_refused_before_any(self, db: Database) -> None:
        """A missing value, one that cannot be held, and a statement that only reads."""
        with pytest.raises(QueryError, match="expected 3"):
            await db.execute_many(INSERT, [(1, "a", 1), (2, "b")])
        with pytest.raises(InvalidParameter):
            await db.execute_many(INSERT, [(1, "a", 1), (2, "b", object())])
        with pytest.raises(QueryError, match="fetch_all"):
            await db.execute_many(COUNT, [()])
        for single in (1, "a"):
            with pytest.raises(QueryError, match=r"a row is a tuple.*\(value,\)"):
                await db.execute_many(NAME, cast("list[tuple[object]]", [single]))
            with pytest.raises(QueryError, match="a row is a tuple"):
                await db.run(partial(_name, cast("list[tuple[object]]", [single])))
        assert await db.fetch_value(COUNT, into=int) == 0

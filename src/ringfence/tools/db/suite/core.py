"""Statements of SQLAlchemy Core, where it is installed; skipped where it is not."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from msgspec import Struct

from ringfence.tools.db.contract import Database, QueryError, UniqueViolation
from ringfence.tools.db.suite.subject import COUNT, INSERT, Conformance


class Colour(Enum):
    RED = "red"


class Item(Struct):
    id: int
    name: str | None
    amount: int


class Thing(Struct):
    id: int
    flag: bool | None
    words: Colour | None
    moment: datetime | None
    price: Decimal | None
    uid: UUID | None
    doc: dict[str, list[int]] | None


class CoreConformance(Conformance):
    """Built in Python, run as text: one way for values, whoever wrote the statement."""

    @pytest.fixture
    def sa(self) -> Any:
        """SQLAlchemy, its tables beside it."""
        return pytest.importorskip("sqlalchemy", minversion="2.0")

    @pytest.fixture
    def item(self, sa: Any) -> Any:
        """The table `item`."""
        columns = [sa.Column("name", sa.Text), sa.Column("amount", sa.BigInteger)]
        return sa.Table(
            "item", sa.MetaData(), sa.Column("id", sa.BigInteger, primary_key=True), *columns
        )

    @pytest.fixture
    def thing(self, sa: Any) -> Any:
        """The table `thing`, with types of SQLAlchemy that store in other ways than we do."""
        return sa.Table(
            "thing",
            sa.MetaData(),
            sa.Column("id", sa.BigInteger, primary_key=True),
            sa.Column("flag", sa.Boolean),
            sa.Column("words", sa.Enum(Colour)),
            sa.Column("moment", sa.DateTime(timezone=True)),
            sa.Column("price", sa.Numeric),
            sa.Column("uid", sa.Uuid),
            sa.Column("doc", sa.JSON),
        )

    async def test_it_is_a_statement_like_any_other(self, db: Database, sa: Any, item: Any) -> None:
        """Insert, update, delete, select, in and outside of a transaction, and as a stream."""
        two = sa.insert(item).values(
            [{"id": 1, "name": "a", "amount": 1}, {"id": 2, "name": None, "amount": 2}]
        )
        assert await db.execute(two) == 2
        every = sa.select(item).order_by(item.c.id)
        expected = [Item(1, "a", 1), Item(2, None, 2)]
        assert await db.fetch_all(every, into=Item) == expected
        assert [row async for row in db.stream(every, into=Item)] == expected
        more = sa.update(item).where(item.c.id == 2).values(amount=item.c.amount + 5)
        async with db.transaction() as tx:
            assert await tx.execute(more) == 1
            counted = sa.select(sa.func.count()).select_from(item).where(item.c.amount > 5)
            assert await tx.fetch_value(counted, into=int) == 1
            assert await db.fetch_value(counted, into=int) == 0
        gone = sa.delete(item).where(item.c.name == "a").returning(item.c.id)
        assert await db.fetch_value(gone, into=int) == 1
        assert await db.fetch_one(sa.select(item).where(item.c.id == 1)) is None

    async def test_values_go_by_the_table_of_types(self, db: Database, sa: Any, thing: Any) -> None:
        """Not by what SQLAlchemy's column types would make of them: text and Core agree."""
        moment = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
        price = Decimal("12345678901234567890.10")
        row = Thing(1, True, Colour.RED, moment, price, UUID(int=7), {"a": [1]})
        values = {name: getattr(row, name) for name in Thing.__struct_fields__}
        await db.execute(sa.insert(thing).values(**values))
        await db.execute(
            "INSERT INTO thing (id, flag, words, moment, price, uid, doc) "
            "VALUES (2, $1, $2, $3, $4, $5, $6)",
            *list(values.values())[1:],
        )
        same = sa.and_(*(thing.c[name] == values[name] for name in ("flag", "words", "price")))
        found = sa.select(thing).where(same).where(thing.c.moment == moment).order_by(thing.c.id)
        rows = await db.fetch_all(found, into=Thing)
        assert [one.id for one in rows] == [1, 2]
        assert rows[0] == row
        await db.execute(sa.insert(thing).values(id=3, flag=None, doc=None))
        text = "SELECT count(*) FROM thing WHERE doc IS NULL"
        assert await db.fetch_value(text, into=int) == 1

    async def test_lists_are_expanded_each_time(self, db: Database, sa: Any, item: Any) -> None:
        """One shape of statement, whatever the values and however many."""
        for at in range(1, 6):
            await db.execute(INSERT, at, f"n{at}", at)

        def chosen(ids: list[int], least: int) -> Any:
            several = item.c.id.in_(ids) & (item.c.amount >= least)
            return sa.select(item.c.id).where(several).order_by(item.c.id)

        for ids, least, expected in [
            ([1, 2, 3], 2, [2, 3]),
            ([5, 1], 0, [1, 5]),
            ([], 0, []),
            ([4], 9, []),
        ]:
            rows = await db.fetch_all(chosen(ids, least))
            assert [row["id"] for row in rows] == expected
        several = await asyncio.gather(
            *(db.fetch_value(chosen([at], 0), into=int) for at in range(1, 6))
        )
        assert several == [1, 2, 3, 4, 5]

    async def test_values_are_data(self, db: Database, sa: Any, item: Any) -> None:
        """Also hostile ones, and those of a `bindparam` and of `text`."""
        hostile = "'; DROP TABLE item; -- :x $1 ? %s"
        await db.execute(sa.insert(item).values(id=1, name=hostile, amount=1))
        named = sa.select(item.c.id).where(item.c.name == sa.bindparam("wanted"))
        assert await db.fetch_value(named.params(wanted=hostile), into=int) == 1
        text = sa.text("SELECT id FROM item WHERE name = :name AND amount = :n AND name = :name")
        assert await db.fetch_value(text.bindparams(name=hostile, n=1), into=int) == 1
        assert await db.fetch_value(COUNT, into=int) == 1

    async def test_errors_are_the_same(self, db: Database, sa: Any, item: Any) -> None:
        """Of the contract, without the values."""
        insert = sa.insert(item).values(id=1, name="secret", amount=1)
        await db.execute(insert)
        with pytest.raises(UniqueViolation) as caught:
            await db.execute(insert)
        assert "secret" not in str(caught.value)

    async def test_what_is_not_core_is_refused(self, db: Database, sa: Any, item: Any) -> None:
        """The ORM, schema statements, what lacks a value, what Python would have to compute."""
        orm = pytest.importorskip("sqlalchemy.orm")

        class Secret(sa.types.TypeDecorator):  # type: ignore[misc]
            """A type that changes values."""

            impl = sa.Text
            cache_ok = True

        base = orm.declarative_base()
        mapped = type("Mapped", (base,), {"__table__": sa.Table(
            "item", base.metadata, sa.Column("id", sa.BigInteger, primary_key=True)
        )})  # fmt: skip
        made = sa.Table(
            "item",
            sa.MetaData(),
            sa.Column("id", sa.BigInteger, primary_key=True),
            sa.Column("name", Secret),
            sa.Column("amount", sa.BigInteger, default=lambda: 5),
        )
        for wrong, match in [
            (sa.select(mapped), "__table__"),
            (sa.insert(mapped).values(id=1), "__table__"),
            (sa.schema.CreateTable(item), "statement for a feature"),
            (sa.insert(item), "value"),
            (sa.select(item).where(item.c.id == sa.bindparam("x")), "value is required"),
            (sa.insert(made).values(id=1), "amount has a default"),
            (sa.insert(made).values(id=1, name="secret", amount=1), "Secret"),
            (sa.text("SELECT 1; SELECT 2"), "several"),
            (item, "statement"),
        ]:
            with pytest.raises(QueryError, match=match) as caught:
                await db.execute(wrong)
            assert "secret" not in str(caught.value)
        with pytest.raises(QueryError, match="brings its values"):
            await db.execute(sa.insert(item), {"id": 1, "amount": 1})
        assert await db.fetch_value(COUNT, into=int) == 0

"""Statements are text or of SQLAlchemy Core; rows have the type that `into=` says."""

from typing import assert_type

from msgspec import Struct
from sqlalchemy import Column, Integer, MetaData, Table, insert, select, text

from ringfence import wait
from ringfence.tools.db import Database, Row, Rows, Transaction
from ringfence.tools.http import EventStream


class Order(Struct):
    id: int


orders = Table("orders", MetaData(), Column("id", Integer))


async def read(db: Database, tx: Transaction) -> None:
    assert_type(await db.fetch_all("SELECT 1"), list[Row])
    assert_type(await db.fetch_all(select(orders), into=Order), list[Order])
    assert_type(await tx.fetch_one("SELECT $1", 1, into=Order), Order | None)
    assert_type(await tx.fetch_value(insert(orders).returning(orders.c.id), into=int), int)
    assert_type(await db.execute(text("DELETE FROM orders")), int)
    await db.fetch_all(5)  # error: mypy, pyright
    await db.fetch_all(orders)  # error: mypy, pyright
    await db.fetch_all(["SELECT 1"])  # error: mypy, pyright
    await db.fetch_all("SELECT 1", into=Order(1))  # error: mypy, pyright


async def stream(db: Database, tx: Transaction) -> None:
    assert_type(db.stream("SELECT 1"), Rows[Row])
    async for order in db.stream(select(orders), into=Order):
        assert_type(order, Order)
    async for row in db.stream("SELECT $1", 1):
        assert_type(row, Row)
    await db.stream("SELECT 1")  # error: mypy, pyright
    for _ in db.stream("SELECT 1", into=Order):  # error: mypy, pyright
        pass
    tx.stream("SELECT 1")  # error: mypy, pyright


def on_a_thread(db: Database) -> None:
    for order in wait(db.stream("SELECT 1", into=Order)):
        assert_type(order, Order)


def answer(db: Database) -> EventStream[Order]:
    return EventStream(db.stream("SELECT 1", into=Order))

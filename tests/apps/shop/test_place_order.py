"""Placing an order, tested as a plain class with fakes: no kernel, no database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest

from domains.orders._events import OrderReceived
from domains.orders._orders import Order, OrderLine
from domains.orders.place_order import (
    Customer,
    NewLine,
    NewOrder,
    OutOfStock,
    PlaceOrder,
    Quote,
    Sales,
    StockLevel,
)
from ringfence import Invalid
from ringfence.testing import context
from ringfence.tools.db import Database

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


class FakeDatabase:
    """Stands for its own transactions too, and gives the number 7 to what is inserted."""

    def __init__(self) -> None:
        self.inserted: tuple[object, ...] = ()
        self.lines: list[tuple[object, ...]] = []
        self.published: list[object] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["FakeDatabase"]:
        yield self

    async def fetch_one(self, sql: str, *params: object, into: object) -> None:
        return None

    async def fetch_all(self, sql: str, *params: Any, into: object) -> list[Order]:
        self.inserted = params
        _, customer_id, _, currency, goods_cents, shipping_cents, now, trace_id = params
        return [
            Order(
                7, "pending", "", customer_id, currency, goods_cents, shipping_cents, now, trace_id
            )
        ]

    async def execute_many(self, sql: str, rows: list[tuple[object, ...]]) -> int:
        self.lines = rows
        return len(rows)

    def publish(self, event: object) -> None:
        self.published.append(event)


class FakeClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


async def quote_1200(*, sku: str, quantity: int) -> Quote:
    return Quote(unit_cents=1200)


async def customer_of(*, customer_id: UUID) -> Customer:
    return Customer(customer_id)


async def five_left(*, sku: str) -> StockLevel:
    return StockLevel(available=5)


def feature(db: FakeDatabase) -> PlaceOrder:
    return PlaceOrder(
        db=cast(Database, db),  # of which the feature uses only a part
        clock=FakeClock(),
        sales=Sales(shipping_cents=490, free_shipping_from_cents=5000),
        customer=customer_of,
        quote=quote_1200,
        stock_level=five_left,
    )


@pytest.mark.parametrize("quantity, shipping_cents", [(4, 490), (5, 0)])
async def test_an_order_is_priced_and_written_down_with_its_event(
    quantity: int, shipping_cents: int
) -> None:
    """Goods are what the catalogue quotes; shipping is free from the configured limit on."""
    db = FakeDatabase()
    order = await feature(db).place(NewOrder([NewLine("tea", quantity)]), context(), "key")
    assert (order.id, order.status) == (7, "pending")
    assert db.inserted[:7] == ("key", None, None, "EUR", 1200 * quantity, shipping_cents, NOW)
    assert db.lines == [(7, "tea", quantity, 1200)]
    assert db.published == [OrderReceived(7, [OrderLine("tea", quantity, 1200)])]


async def test_what_is_sold_out_is_refused_before_anything_is_written_down() -> None:
    """Six are wanted, and five are left."""
    db = FakeDatabase()
    with pytest.raises(OutOfStock, match="tea: 6 asked for, 5 left"):
        await feature(db).place(NewOrder([NewLine("tea", 6)]), context())
    assert (db.inserted, db.published) == ((), [])


async def test_a_product_in_two_lines_is_refused_with_the_place_of_each_repeat() -> None:
    """Nothing is asked of anybody before the lines make sense."""
    lines = [NewLine("tea", 1), NewLine("mug", 1), NewLine("tea", 2), NewLine("mug", 1)]
    with pytest.raises(Invalid) as refused:
        await feature(FakeDatabase()).place(NewOrder(lines), context())
    assert [fault.path for fault in refused.value.faults] == ["$.lines[2].sku", "$.lines[3].sku"]

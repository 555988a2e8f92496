"""Placing an order, tested as a plain class with fakes: no kernel, no database."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from domains.orders.place_order import (
    CancelledMeanwhile,
    NewLine,
    NewOrder,
    OutOfStock,
    PlaceOrder,
    Quote,
    Sales,
)
from ringfence import Conflict, Invalid
from ringfence.testing import context
from ringfence.tools.db import Database

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


class FakeDatabase:
    """Gives the id 7 to whatever is inserted, and remembers each status that it is told."""

    def __init__(self, changed: int = 1) -> None:
        self.changed = changed
        self.statuses: list[object] = ["pending"]

    async def fetch_value(self, sql: Any, *params: object, into: object = None) -> Any:
        return 7

    async def execute(self, sql: Any, *params: object) -> int:
        if sql.startswith("UPDATE orders"):
            self.statuses.append(params[1])
        return self.changed

    def stream(self, sql: Any, *params: object, into: object = None) -> Any:
        raise NotImplementedError

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator["FakeDatabase", None]:
        yield self


class FakeClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


class FakeInventory:
    """Holds stock for orders until it is said to run short."""

    def __init__(self, *, short: bool = False) -> None:
        self.short = short
        self.held: list[int] = []

    async def hold(self, *, order_id: int, lines: list[NewLine]) -> None:
        if self.short:
            raise Conflict("tea: 2 asked for, 0 left.")
        self.held.append(order_id)

    async def release(self, *, order_id: int) -> None:
        self.held.remove(order_id)


async def quote_1200(*, sku: str, quantity: int) -> Quote:
    return Quote(unit_cents=1200)


def feature(db: FakeDatabase, inventory: FakeInventory) -> PlaceOrder:
    return PlaceOrder(
        db=cast(Database, db),  # of which the feature uses only a part
        clock=FakeClock(),
        sales=Sales(shipping_cents=490, free_shipping_from_cents=5000),
        quote=quote_1200,
        hold=inventory.hold,
        release=inventory.release,
    )


@pytest.mark.parametrize("quantity, shipping_cents", [(4, 490), (5, 0)])
async def test_an_order_is_priced_and_its_stock_is_held(quantity: int, shipping_cents: int) -> None:
    """Goods are what the catalogue quotes; shipping is free from the configured limit on."""
    db, inventory = FakeDatabase(), FakeInventory()
    order = await feature(db, inventory).place(NewOrder([NewLine("tea", quantity)]), context())
    assert (order.id, order.status, order.ordered_at) == (7, "placed", NOW)
    assert (order.goods_cents, order.shipping_cents) == (1200 * quantity, shipping_cents)
    assert db.statuses == ["pending", "placed"]
    assert inventory.held == [7]


async def test_an_order_that_stock_cannot_be_held_for_is_cancelled() -> None:
    """The inventory's refusal becomes the orders' own error; nothing stays pending."""
    db, inventory = FakeDatabase(), FakeInventory(short=True)
    with pytest.raises(OutOfStock, match="2 asked for, 0 left"):
        await feature(db, inventory).place(NewOrder([NewLine("tea", 2)]), context())
    assert db.statuses == ["pending", "cancelled"]


async def test_stock_is_given_back_when_the_order_was_cancelled_meanwhile() -> None:
    """Whoever cancelled it found nothing to release yet, so that the hold is undone here."""
    db, inventory = FakeDatabase(changed=0), FakeInventory()
    with pytest.raises(CancelledMeanwhile):
        await feature(db, inventory).place(NewOrder([NewLine("tea", 2)]), context())
    assert inventory.held == []


async def test_a_product_in_two_lines_is_refused_with_the_place_of_each_repeat() -> None:
    """Nothing is asked of anybody before the lines make sense."""
    lines = [NewLine("tea", 1), NewLine("mug", 1), NewLine("tea", 2), NewLine("mug", 1)]
    with pytest.raises(Invalid) as refused:
        await feature(FakeDatabase(), FakeInventory()).place(NewOrder(lines), context())
    assert [fault.path for fault in refused.value.faults] == ["$.lines[2].sku", "$.lines[3].sku"]

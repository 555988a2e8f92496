"""Placing an order, tested as a plain class with fakes: no kernel, no database."""

from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest

from domains.orders._orders import Order
from domains.orders.place_order import Customer, NewLine, NewOrder, PlaceOrder, Quote, Sales
from ringfence import Invalid, PluginQuarantined
from ringfence.testing import context
from ringfence.tools.db import Database
from ringfence.tools.log import Log

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


class FakeDatabase:
    """Runs what it is given on itself, and gives the number 7 to what is inserted."""

    def __init__(self) -> None:
        self.inserted: tuple[object, ...] = ()
        self.lines: list[tuple[object, ...]] = []

    async def run(self, work: Any) -> Any:
        return work(self)

    def fetch_one(self, sql: str, *params: object, into: object) -> None:
        return None

    def fetch_all(self, sql: str, *params: Any, into: object) -> list[Order]:
        self.inserted = params
        _, customer_id, _, currency, goods_cents, shipping_cents, now, trace_id = params
        return [
            Order(
                7, "pending", "", customer_id, currency, goods_cents, shipping_cents, now, trace_id
            )
        ]

    def execute_many(self, sql: str, rows: list[tuple[object, ...]]) -> int:
        self.lines = rows
        return len(rows)


class FakeClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


class FakeLog:
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, message: str, **fields: object) -> None:
        self.warnings.append(message)


async def quote_1200(*, sku: str, quantity: int) -> Quote:
    return Quote(unit_cents=1200)


async def customer_of(*, customer_id: UUID) -> Customer:
    return Customer(customer_id)


async def completed(*, order_id: int) -> Order:
    return Order(order_id, "placed", "", None, "EUR", 0, 0, NOW, "t")


async def out_of_order(*, order_id: int) -> Order:
    raise PluginQuarantined("orders.complete is out of order.")


def feature(db: FakeDatabase, log: FakeLog | None = None, complete: Any = completed) -> PlaceOrder:
    return PlaceOrder(
        db=cast(Database, db),  # of which the feature uses only a part
        clock=FakeClock(),
        log=cast(Log, log or FakeLog()),
        sales=Sales(shipping_cents=490, free_shipping_from_cents=5000),
        customer=customer_of,
        quote=quote_1200,
        complete=complete,
    )


@pytest.mark.parametrize("quantity, shipping_cents", [(4, 490), (5, 0)])
async def test_an_order_is_priced_written_down_and_completed(
    quantity: int, shipping_cents: int
) -> None:
    """Goods are what the catalogue quotes; shipping is free from the configured limit on."""
    db = FakeDatabase()
    order = await feature(db).place(NewOrder([NewLine("tea", quantity)]), context(), "key")
    assert (order.id, order.status) == (7, "placed")
    assert db.inserted[:7] == ("key", None, None, "EUR", 1200 * quantity, shipping_cents, NOW)
    assert db.lines == [(7, "tea", quantity, 1200)]


async def test_an_order_that_cannot_be_completed_now_is_answered_as_pending() -> None:
    """It is written down; to its customer that is an order, and the log says why it waits."""
    log = FakeLog()
    place = feature(FakeDatabase(), log, out_of_order).place
    order = await place(NewOrder([NewLine("tea", 1)]), context())
    assert (order.id, order.status) == (7, "pending")
    assert log.warnings == ["order is left pending"]


async def test_a_product_in_two_lines_is_refused_with_the_place_of_each_repeat() -> None:
    """Nothing is asked of anybody before the lines make sense."""
    lines = [NewLine("tea", 1), NewLine("mug", 1), NewLine("tea", 2), NewLine("mug", 1)]
    with pytest.raises(Invalid) as refused:
        await feature(FakeDatabase()).place(NewOrder(lines), context())
    assert [fault.path for fault in refused.value.faults] == ["$.lines[2].sku", "$.lines[3].sku"]

"""Take an order: price it, and write it down as pending together with its event.

What is written down is not lost: the event is delivered, however this process ends, and whoever
holds stock, takes money and moves the order on does so from there.
"""

from typing import Annotated, Protocol
from uuid import UUID

from msgspec import Meta, Struct

from domains.orders._events import OrderReceived
from domains.orders._orders import Order, OrderLine
from lib import pricing
from ringfence import Conflict, Context, Invalid, Plugin, Settings, requires, service
from ringfence.errors import Fault
from ringfence.tools.clock import Clock
from ringfence.tools.db import Database
from ringfence.tools.http import Header, post

Key = Annotated[str, Meta(min_length=1, max_length=100)]


class NewLine(Struct):
    sku: str
    quantity: Annotated[int, Meta(gt=0, le=1000)]


class NewOrder(Struct):
    """What is ordered, by whom, and paid how: `card` is a token of the payment provider, and
    without one the order is paid on invoice."""

    lines: Annotated[list[NewLine], Meta(min_length=1, max_length=50)]
    customer_id: UUID | None = None
    card: Annotated[str, Meta(pattern="^tok_[a-z_]+$", max_length=40)] | None = None


class Sales(Settings, section="sales"):
    currency: str = "EUR"
    shipping_cents: Annotated[int, Meta(ge=0)] = 490
    free_shipping_from_cents: Annotated[int, Meta(ge=0)] = 5000


class Customer(Struct):
    id: UUID


class Quote(Struct):
    """What this feature needs of the catalogue's answer, and no more."""

    unit_cents: int


@requires("customers.customer")
class CustomerOf(Protocol):
    async def __call__(self, *, customer_id: UUID) -> Customer: ...


@requires("catalogue.quote")
class QuoteOf(Protocol):
    async def __call__(self, *, sku: str, quantity: int) -> Quote: ...


class StockLevel(Struct):
    available: int


@requires("inventory.stock_level")
class StockLevelOf(Protocol):
    async def __call__(self, *, sku: str) -> StockLevel: ...


class OutOfStock(Conflict, code="orders.out_of_stock"):
    """Fewer pieces are available than were ordered."""


class PlaceOrder(Plugin):
    db: Database
    clock: Clock
    sales: Sales
    customer: CustomerOf
    quote: QuoteOf
    stock_level: StockLevelOf

    @post("/orders", status=201)
    @service("orders.place")
    async def place(
        self, new: NewOrder, ctx: Context, idempotency_key: Header[Key | None] = None
    ) -> Order:
        """Order something; sent again under the same key, it is the same order.

        Returns: The order: pending, until its stock is held and its payment made.

        Example: {"lines": [{"sku": "tea-earl-grey", "quantity": 2}], "card": "tok_visa"}
        """
        _refuse_repeats(new.lines)
        if idempotency_key is not None:
            known = await self.db.fetch_one(_BY_KEY, idempotency_key, into=Order)
            if known is not None:
                return known
        if new.customer_id is not None:
            await self.customer(customer_id=new.customer_id)
        priced = [await self._priced(line) for line in new.lines]
        return await self._write_down(new, priced, idempotency_key, ctx.trace_id)

    async def _priced(self, line: NewLine) -> OrderLine:
        quote = await self.quote(sku=line.sku, quantity=line.quantity)
        # What is sold out is refused at once; whether it can be held is decided when it is.
        stock = await self.stock_level(sku=line.sku)
        if stock.available < line.quantity:
            raise OutOfStock(f"{line.sku}: {line.quantity} asked for, {stock.available} left.")
        return OrderLine(line.sku, line.quantity, quote.unit_cents)

    async def _write_down(
        self, new: NewOrder, lines: list[OrderLine], key: str | None, trace_id: str
    ) -> Order:
        goods_cents = sum(line.unit_cents * line.quantity for line in lines)
        shipping_cents = pricing.shipping(
            goods_cents,
            flat_cents=self.sales.shipping_cents,
            free_from_cents=self.sales.free_shipping_from_cents,
        )
        now = self.clock.now()
        async with self.db.transaction() as tx:
            # Another one under the same key may have come meanwhile.
            if known := await tx.fetch_one(_BY_KEY, key, into=Order):
                return known
            order = await tx.fetch_all(
                _INSERT,
                key,
                new.customer_id,
                new.card,
                self.sales.currency,
                goods_cents,
                shipping_cents,
                now,
                trace_id,
                into=Order,
            )
            rows = [(order[0].id, line.sku, line.quantity, line.unit_cents) for line in lines]
            await tx.execute_many(_INSERT_LINE, rows)
            tx.publish(OrderReceived(order[0].id, lines))
            return order[0]


def _refuse_repeats(lines: list[NewLine]) -> None:
    seen: set[str] = set()
    faults: list[Fault] = []
    for n, line in enumerate(lines):
        if line.sku in seen:
            faults.append(Fault(f"$.lines[{n}].sku", f"{line.sku!r} is in an earlier line"))
        seen.add(line.sku)
    if faults:
        raise Invalid("each product belongs in one line.", faults=faults)


_BY_KEY = "SELECT * FROM orders WHERE idempotency_key = $1"
_INSERT = """
    INSERT INTO orders (idempotency_key, customer_id, card, status, currency, goods_cents,
        shipping_cents, ordered_at, trace_id)
    VALUES ($1, $2, $3, 'pending', $4, $5, $6, $7, $8)
    RETURNING *
"""
_INSERT_LINE = """
    INSERT INTO order_lines (order_id, sku, quantity, unit_cents) VALUES ($1, $2, $3, $4)
"""

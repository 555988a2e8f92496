"""Take an order; it is pending until stock is held for it.

The order is written down first, and stock is held after that, because a service is never called
inside a transaction. Where stock runs short the order is cancelled. Where the process ends in
between, the order stays pending, until `expire_orders.py` cancels it.
"""

from typing import Annotated, Protocol

from msgspec import Meta, Struct, structs

from domains.orders._orders import Order, OrderLine, Status
from lib import pricing
from ringfence import Conflict, Context, Invalid, Plugin, Settings, requires
from ringfence.errors import Fault
from ringfence.tools.clock import Clock
from ringfence.tools.db import Database
from ringfence.tools.http import post


class NewLine(Struct):
    sku: str
    quantity: Annotated[int, Meta(gt=0, le=1000)]


class NewOrder(Struct):
    lines: Annotated[list[NewLine], Meta(min_length=1, max_length=50)]


class Sales(Settings, section="sales"):
    currency: str = "EUR"
    shipping_cents: Annotated[int, Meta(ge=0)] = 490
    free_shipping_from_cents: Annotated[int, Meta(ge=0)] = 5000


class Quote(Struct):
    """What this feature needs of the catalogue's answer, and no more."""

    unit_cents: int


@requires("catalogue.quote")
class QuoteOf(Protocol):
    async def __call__(self, *, sku: str, quantity: int) -> Quote: ...


@requires("inventory.hold")
class HoldStock(Protocol):
    async def __call__(self, *, order_id: int, lines: list[NewLine]) -> None: ...


@requires("inventory.release")
class ReleaseStock(Protocol):
    async def __call__(self, *, order_id: int) -> None: ...


class OutOfStock(Conflict, code="orders.out_of_stock"):
    """Fewer pieces are available than were ordered."""


class CancelledMeanwhile(Conflict, code="orders.cancelled_meanwhile"):
    """Somebody cancelled the order before stock was held for it."""


class PlaceOrder(Plugin):
    db: Database
    clock: Clock
    sales: Sales
    quote: QuoteOf
    hold: HoldStock
    release: ReleaseStock

    @post("/orders", status=201)
    async def place(self, new: NewOrder, ctx: Context) -> Order:
        _refuse_repeats(new.lines)
        priced = [await self._priced(line) for line in new.lines]
        order = await self._write_down(priced, ctx.trace_id)
        try:
            await self.hold(order_id=order.id, lines=new.lines)
        except Conflict as shortage:
            await self._settle(order, "cancelled")
            raise OutOfStock(shortage.message) from shortage
        if not await self._settle(order, "placed"):
            await self.release(order_id=order.id)
            raise CancelledMeanwhile(f"order {order.id} was cancelled before it was placed.")
        return structs.replace(order, status="placed")

    async def _priced(self, line: NewLine) -> OrderLine:
        quote = await self.quote(sku=line.sku, quantity=line.quantity)
        return OrderLine(line.sku, line.quantity, quote.unit_cents)

    async def _write_down(self, lines: list[OrderLine], trace_id: str) -> Order:
        goods_cents = sum(line.unit_cents * line.quantity for line in lines)
        shipping_cents = pricing.shipping(
            goods_cents,
            flat_cents=self.sales.shipping_cents,
            free_from_cents=self.sales.free_shipping_from_cents,
        )
        currency, ordered_at = self.sales.currency, self.clock.now()
        async with self.db.transaction() as tx:
            order_id = await tx.fetch_value(
                "INSERT INTO orders"
                " (status, currency, goods_cents, shipping_cents, ordered_at, trace_id)"
                " VALUES ('pending', $1, $2, $3, $4, $5) RETURNING id",
                currency,
                goods_cents,
                shipping_cents,
                ordered_at,
                trace_id,
                into=int,
            )
            for line in lines:
                await tx.execute(
                    "INSERT INTO order_lines (order_id, sku, quantity, unit_cents)"
                    " VALUES ($1, $2, $3, $4)",
                    order_id,
                    line.sku,
                    line.quantity,
                    line.unit_cents,
                )
        return Order(
            order_id, "pending", currency, goods_cents, shipping_cents, ordered_at, trace_id
        )

    async def _settle(self, order: Order, status: Status) -> bool:
        """Move the order on, unless somebody has done so meanwhile."""
        changed = await self.db.execute(
            "UPDATE orders SET status = $2 WHERE id = $1 AND status = 'pending'", order.id, status
        )
        return changed == 1


def _refuse_repeats(lines: list[NewLine]) -> None:
    seen: set[str] = set()
    faults: list[Fault] = []
    for n, line in enumerate(lines):
        if line.sku in seen:
            faults.append(Fault(f"$.lines[{n}].sku", f"{line.sku!r} is in an earlier line"))
        seen.add(line.sku)
    if faults:
        raise Invalid("each product belongs in one line.", faults=faults)

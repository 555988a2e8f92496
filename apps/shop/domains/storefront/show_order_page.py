"""The page of one order, for its customer: what it is, and how far."""

from typing import Annotated, Literal, Protocol

from msgspec import Meta, Struct

from domains.storefront._page import page
from lib import money
from lib.markup import Html, html, joined
from ringfence import NotFound, Plugin, requires
from ringfence.tools.http import Reply, get

Status = Literal["pending", "shipping", "cancelling", "placed", "shipped", "cancelled"]
RELOAD_S = 5


class OrderLine(Struct):
    sku: str
    quantity: int
    unit_cents: int


class Order(Struct):
    id: int
    status: Status
    why: str
    currency: str
    shipping_cents: int
    total_cents: int
    lines: list[OrderLine]


class Product(Struct):
    name: str


@requires("orders.order")
class OrderOf(Protocol):
    async def __call__(self, *, order_id: int) -> Order: ...


@requires("catalogue.product")
class ProductOf(Protocol):
    async def __call__(self, *, sku: str) -> Product: ...


class ShowOrderPage(Plugin):
    order: OrderOf
    product: ProductOf

    @get("/shop/orders/{order_id}")
    async def show(self, order_id: Annotated[int, Meta(ge=1, le=2**63 - 1)]) -> Reply[str]:
        order = await self.order(order_id=order_id)
        content = html(
            _ORDER,
            id=order.id,
            status=order.status,
            said=_SAID[order.status],
            why=order.why,
            lines=joined([await self._line(line, order.currency) for line in order.lines]),
            shipping=money.shown(order.shipping_cents, order.currency),
            total=money.shown(order.total_cents, order.currency),
        )
        on_its_way = order.status in ("pending", "cancelling", "shipping")
        return page(f"Order {order.id}", content, refresh_s=RELOAD_S if on_its_way else None)

    async def _line(self, line: OrderLine, currency: str) -> Html:
        return html(
            "<tr><td>{quantity} × {name}</td><td>{cents}</td></tr>",
            quantity=line.quantity,
            name=await self._name(line.sku),
            cents=money.shown(line.quantity * line.unit_cents, currency),
        )

    async def _name(self, sku: str) -> str:
        try:
            return (await self.product(sku=sku)).name
        except NotFound:
            return sku


_SAID: dict[Status, str] = {
    "pending": "We have your order, and wait for your payment to be confirmed.",
    "placed": "Thank you. We are packing it.",
    "shipping": "It is leaving the house.",
    "shipped": "It is on its way to you.",
    "cancelling": "It is being cancelled; what was charged is on its way back.",
    "cancelled": "It is cancelled. What was charged has been given back.",
}

_ORDER = """<h1>Order {id}</h1>
<p class="status {status}">{status}</p>
<p>{said} {why}</p>
<table>{lines}
<tr><td>Shipping</td><td>{shipping}</td></tr>
<tr class="total"><td>In all</td><td>{total}</td></tr>
</table>
<p><a href="/">Go on shopping</a></p>"""

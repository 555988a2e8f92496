"""Show one order with its lines."""

from datetime import datetime

from msgspec import Struct

from domains.orders._orders import NoSuchOrder, Order, OrderLine, OrderNumber, Status
from ringfence import Plugin
from ringfence.tools.db import Database
from ringfence.tools.http import get


class OrderInFull(Struct):
    id: int
    status: Status
    currency: str
    lines: list[OrderLine]
    goods_cents: int
    shipping_cents: int
    total_cents: int
    ordered_at: datetime
    trace_id: str


class ShowOrder(Plugin):
    db: Database

    @get("/orders/{order_id}")
    async def show(self, order_id: OrderNumber) -> OrderInFull:
        order = await self.db.fetch_one("SELECT * FROM orders WHERE id = $1", order_id, into=Order)
        if order is None:
            raise NoSuchOrder(order_id)
        lines = await self.db.fetch_all(
            "SELECT sku, quantity, unit_cents FROM order_lines WHERE order_id = $1 ORDER BY sku",
            order_id,
            into=OrderLine,
        )
        return OrderInFull(
            id=order.id,
            status=order.status,
            currency=order.currency,
            lines=lines,
            goods_cents=order.goods_cents,
            shipping_cents=order.shipping_cents,
            total_cents=order.goods_cents + order.shipping_cents,
            ordered_at=order.ordered_at,
            trace_id=order.trace_id,
        )

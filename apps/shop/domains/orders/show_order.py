"""Show one order with its lines."""

from msgspec import structs

from domains.orders._orders import NoSuchOrder, Order, OrderLine, OrderNumber
from ringfence import Plugin, service
from ringfence.tools.db import Database
from ringfence.tools.http import get


class OrderInFull(Order):
    lines: list[OrderLine]
    total_cents: int


class ShowOrder(Plugin):
    db: Database

    @get("/orders/{order_id}")
    @service("orders.order")
    async def show(self, order_id: OrderNumber) -> OrderInFull:
        order = await self.db.fetch_one("SELECT * FROM orders WHERE id = $1", order_id, into=Order)
        if order is None:
            raise NoSuchOrder(order_id)
        lines = await self.db.fetch_all(
            "SELECT sku, quantity, unit_cents FROM order_lines WHERE order_id = $1 ORDER BY sku",
            order_id,
            into=OrderLine,
        )
        total_cents = order.goods_cents + order.shipping_cents
        return OrderInFull(**structs.asdict(order), lines=lines, total_cents=total_cents)

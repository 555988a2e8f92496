"""Ship an order: what is held for it leaves the house, and its customer is told."""

from domains.orders._events import OrderShipping
from domains.orders._orders import NoSuchOrder, Order, OrderNumber
from ringfence import Conflict, Plugin
from ringfence.tools.db import Database
from ringfence.tools.http import post


class NotPlaced(Conflict, code="orders.not_placed"):
    """Only an order that is placed can be shipped."""


class ShipOrder(Plugin):
    db: Database

    @post("/orders/{order_id}/ship")
    async def ship(self, order_id: OrderNumber) -> Order:
        """Ship an order; shipping it again is harmless."""
        async with self.db.transaction() as tx:
            moved = await tx.fetch_one(_SHIP, order_id, into=Order)
            if moved is not None:
                tx.publish(OrderShipping(order_id))
                return moved
        order = await self.db.fetch_one(_ORDER, order_id, into=Order)
        if order is None:
            raise NoSuchOrder(order_id)
        if order.status not in ("shipping", "shipped"):
            raise NotPlaced(f"order {order_id} is {order.status}; expected a placed one.")
        return order


_SHIP = """
    UPDATE orders SET status = 'shipping' WHERE id = $1 AND status = 'placed' RETURNING *
"""
_ORDER = "SELECT * FROM orders WHERE id = $1"

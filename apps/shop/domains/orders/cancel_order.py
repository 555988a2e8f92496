"""Cancel an order, as long as it has not left the house: its stock and its money go back.

It is `cancelling` until its stock is free again. Cancelling again is harmless.
"""

from domains.orders._events import OrderCancelling
from domains.orders._orders import NoSuchOrder, Order, OrderNumber
from ringfence import Conflict, Plugin
from ringfence.tools.db import Database
from ringfence.tools.http import post


class ShippedAlready(Conflict, code="orders.shipped_already"):
    """The order has left the house."""


class CancelOrder(Plugin):
    db: Database

    @post("/orders/{order_id}/cancel")
    async def cancel(self, order_id: OrderNumber) -> Order:
        async with self.db.transaction() as tx:
            moved = await tx.fetch_one(_CANCEL, order_id, into=Order)
            if moved is not None:
                tx.publish(OrderCancelling(order_id))
                return moved
        order = await self.db.fetch_one(_ORDER, order_id, into=Order)
        if order is None:
            raise NoSuchOrder(order_id)
        if order.status in ("shipping", "shipped"):
            raise ShippedAlready(f"order {order_id} has left the house.")
        return order


_CANCEL = """
    UPDATE orders SET status = 'cancelling', why = 'cancelled on request'
    WHERE id = $1 AND status IN ('pending', 'placed')
    RETURNING *
"""
_ORDER = "SELECT * FROM orders WHERE id = $1"

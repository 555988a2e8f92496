"""Give back the stock that is held for an order, so that others can order it.

The order is closed by it: whoever was about to hold stock for it, and comes too late, holds none.
"""

from msgspec import Struct

from ringfence import Plugin, event, on
from ringfence.tools.db import Database, Transaction


class OrderCancelling(Struct):
    order_id: int


class Held(Struct):
    sku: str
    quantity: int


@event("inventory.released", key="order_id")
class Released(Struct, frozen=True):
    """Nothing is held for the order, and nothing will be."""

    order_id: int


class ReleaseStock(Plugin):
    db: Database

    @on("orders.cancelling")
    async def release(self, order: OrderCancelling, tx: Transaction) -> None:
        await tx.execute(_CLOSE, order.order_id)
        held = await tx.fetch_all(_FORGET, order.order_id, into=Held)
        await tx.execute_many(_GIVE_BACK, [(each.sku, each.quantity) for each in held])
        tx.publish(Released(order.order_id))


_CLOSE = "INSERT INTO closed_orders (order_id) VALUES ($1) ON CONFLICT DO NOTHING"
_FORGET = "DELETE FROM holds WHERE order_id = $1 RETURNING sku, quantity"
_GIVE_BACK = "UPDATE stock SET available = available + $2 WHERE sku = $1"

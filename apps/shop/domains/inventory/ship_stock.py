"""Let the pieces that are held for an order leave the house: nobody can give them back."""

from msgspec import Struct

from ringfence import Plugin, event, on
from ringfence.tools.db import Database, Transaction


class OrderShipping(Struct):
    order_id: int


@event("inventory.shipped", key="order_id")
class Shipped(Struct, frozen=True):
    """What was held for the order has left the house."""

    order_id: int


class ShipStock(Plugin):
    db: Database

    @on("orders.shipping")
    async def ship(self, order: OrderShipping, tx: Transaction) -> None:
        await tx.execute(_CLOSE, order.order_id)
        await tx.execute("DELETE FROM holds WHERE order_id = $1", order.order_id)
        tx.publish(Shipped(order.order_id))


_CLOSE = "INSERT INTO closed_orders (order_id) VALUES ($1) ON CONFLICT DO NOTHING"

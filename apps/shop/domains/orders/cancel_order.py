"""Cancel an order and give its stock back.

Cancelling again is harmless and finishes what a first attempt may have left undone: the order is
cancelled, then its stock is released, and releasing twice releases once.
"""

from typing import Protocol

from domains.orders._orders import NoSuchOrder, Order, OrderNumber
from ringfence import Plugin, requires
from ringfence.tools.db import Database
from ringfence.tools.http import post


@requires("inventory.release")
class ReleaseStock(Protocol):
    async def __call__(self, *, order_id: int) -> None: ...


class CancelOrder(Plugin):
    db: Database
    release: ReleaseStock

    @post("/orders/{order_id}/cancel")
    async def cancel(self, order_id: OrderNumber) -> Order:
        order = await self.db.fetch_one(
            "UPDATE orders SET status = 'cancelled' WHERE id = $1 RETURNING *", order_id, into=Order
        )
        if order is None:
            raise NoSuchOrder(order_id)
        await self.release(order_id=order_id)
        return order

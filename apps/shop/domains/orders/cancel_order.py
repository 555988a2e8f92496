"""Cancel an order, as long as it has not left the house: its stock and its money go back.

Cancelling again is harmless, and finishes what a first attempt may have left undone.
"""

from typing import Protocol

from msgspec import Struct

from domains.orders._orders import NoSuchOrder, Order, OrderNumber, Status
from ringfence import Conflict, Plugin, requires
from ringfence.tools.db import Database
from ringfence.tools.http import post


class Found(Struct):
    status: Status


@requires("orders.complete")
class CompleteOrder(Protocol):
    async def __call__(self, *, order_id: int) -> Order: ...


class ShippedAlready(Conflict, code="orders.shipped_already"):
    """The order has left the house."""


class CancelOrder(Plugin):
    db: Database
    complete: CompleteOrder

    @post("/orders/{order_id}/cancel")
    async def cancel(self, order_id: OrderNumber) -> Order:
        if not await self.db.execute(_CANCEL, order_id):
            found = await self.db.fetch_one(_STATUS, order_id, into=Found)
            if found is None:
                raise NoSuchOrder(order_id)
            if found.status in ("shipping", "shipped"):
                raise ShippedAlready(f"order {order_id} has left the house.")
        return await self.complete(order_id=order_id)


_CANCEL = """
    UPDATE orders SET status = 'cancelling', why = 'cancelled on request'
    WHERE id = $1 AND status IN ('pending', 'placed')
"""
_STATUS = "SELECT status FROM orders WHERE id = $1"

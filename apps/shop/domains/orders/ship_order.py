"""Ship an order: what is held for it leaves the house, and its customer is told."""

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


class NotPlaced(Conflict, code="orders.not_placed"):
    """Only an order that is placed can be shipped."""


class ShipOrder(Plugin):
    db: Database
    complete: CompleteOrder

    @post("/orders/{order_id}/ship")
    async def ship(self, order_id: OrderNumber) -> Order:
        """Ship an order; shipping it again is harmless."""
        if not await self.db.execute(_SHIP, order_id):
            found = await self.db.fetch_one(_STATUS, order_id, into=Found)
            if found is None:
                raise NoSuchOrder(order_id)
            if found.status not in ("shipping", "shipped"):
                raise NotPlaced(f"order {order_id} is {found.status}; expected a placed one.")
        return await self.complete(order_id=order_id)


_SHIP = "UPDATE orders SET status = 'shipping' WHERE id = $1 AND status = 'placed'"
_STATUS = "SELECT status FROM orders WHERE id = $1"

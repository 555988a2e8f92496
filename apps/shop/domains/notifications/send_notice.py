"""Write a customer a letter on an order. It is only written here; `deliver_notices.py` sends it.

So a slow mail server holds up no order, and a letter that is written down is not lost.
"""

from typing import Literal, Protocol
from uuid import UUID

from msgspec import Struct

from ringfence import Plugin, on, requires
from ringfence.tools.clock import Clock
from ringfence.tools.db import Database

Kind = Literal["placed", "shipped", "cancelled"]


class Order(Struct):
    """What this feature reads of an order's events."""

    order_id: int
    customer_id: UUID | None


class Customer(Struct):
    """What this feature needs of a customer, and no more."""

    name: str
    email: str


@requires("customers.customer")
class CustomerOf(Protocol):
    async def __call__(self, *, customer_id: UUID) -> Customer: ...


class SendNotice(Plugin):
    db: Database
    clock: Clock
    customer: CustomerOf

    @on("orders.placed")
    async def placed(self, order: Order) -> None:
        await self._tell(order, "placed")

    @on("orders.shipped")
    async def shipped(self, order: Order) -> None:
        await self._tell(order, "shipped")

    @on("orders.cancelled")
    async def cancelled(self, order: Order) -> None:
        await self._tell(order, "cancelled")

    async def _tell(self, order: Order, kind: Kind) -> None:
        """Tell a customer what has become of an order; each kind of news is told once."""
        if order.customer_id is None:
            return
        customer = await self.customer(customer_id=order.customer_id)
        subject, text = _LETTERS[kind]
        await self.db.execute(
            "INSERT INTO notices (order_id, kind, customer_id, email, subject, text, written_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (order_id, kind) DO NOTHING",
            order.order_id,
            kind,
            order.customer_id,
            customer.email,
            subject.format(order_id=order.order_id),
            text.format(order_id=order.order_id, name=customer.name),
            self.clock.now(),
        )


_LETTERS: dict[Kind, tuple[str, str]] = {
    "placed": (
        "Your order {order_id}",
        "Dear {name},\n\nthank you for order {order_id}. We are packing it.\n",
    ),
    "shipped": (
        "Your order {order_id} is on its way",
        "Dear {name},\n\norder {order_id} has left the house.\n",
    ),
    "cancelled": (
        "Your order {order_id} was cancelled",
        "Dear {name},\n\norder {order_id} is cancelled. What was charged is on its way back.\n",
    ),
}

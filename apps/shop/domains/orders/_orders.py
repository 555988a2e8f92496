"""What the orders' features share: how an order reads, and how its absence is told."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from ringfence import NotFound

# An order is on its way in the first three, and `move_order.py` brings it there; it stays what
# it is in the other three.
Status = Literal["pending", "shipping", "cancelling", "placed", "shipped", "cancelled"]
OrderNumber = Annotated[int, Meta(ge=1, le=2**63 - 1)]  # as many as the database can count


class OrderLine(Struct):
    sku: str
    quantity: int
    unit_cents: int


class Order(Struct):
    """An order without its lines. `ringfence trace` shows how it was placed, by `trace_id`.

    `why` is the reason of an order that was cancelled.
    """

    id: int
    status: Status
    why: str
    customer_id: UUID | None
    currency: str
    goods_cents: int
    shipping_cents: int
    ordered_at: datetime
    trace_id: str


class NoSuchOrder(NotFound, code="orders.no_such_order"):
    """No order has that number."""

    def __init__(self, order_id: int) -> None:
        super().__init__(f"{order_id}: no such order.", hint="GET /orders lists them.")

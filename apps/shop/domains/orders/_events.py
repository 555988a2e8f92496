"""What the orders' features tell the rest of the shop: an event for each step of an order."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from domains.orders._orders import OrderLine
from ringfence import event


@event("orders.received", key="order_id")
class OrderReceived(Struct, frozen=True):
    """It is written down, and pending: nothing is held for it, nothing paid."""

    order_id: int
    lines: list[OrderLine]


@event("orders.payable", key="order_id")
class OrderPayable(Struct, frozen=True):
    """Its stock is held; `card` is a token of the payment provider."""

    order_id: int
    cents: int
    currency: str
    card: str


@event("orders.placed", key="order_id")
class OrderPlaced(Struct, frozen=True):
    """Its stock is held, and it is paid, or will be on invoice."""

    order_id: int
    customer_id: UUID | None
    ordered_at: datetime
    goods_cents: int
    shipping_cents: int
    lines: list[OrderLine]


@event("orders.shipping", key="order_id")
class OrderShipping(Struct, frozen=True):
    """It is to leave the house."""

    order_id: int


@event("orders.shipped", key="order_id")
class OrderShipped(Struct, frozen=True):
    """It has left the house."""

    order_id: int
    customer_id: UUID | None


@event("orders.cancelling", key="order_id")
class OrderCancelling(Struct, frozen=True):
    """It is to be undone: its stock and its money go back."""

    order_id: int


@event("orders.cancelled", key="order_id")
class OrderCancelled(Struct, frozen=True):
    """It is undone: nothing is held for it, and no card will be charged for it."""

    order_id: int
    customer_id: UUID | None

"""What the payments' features share: what has become of the money for an order."""

from typing import Literal

from msgspec import Struct

# Charging and refunding last until the provider has answered; the other three are for good.
State = Literal["charging", "paid", "declined", "refunding", "refunded"]


class Payment(Struct):
    """The payment of an order. `said` is what the provider gave as its reason to decline."""

    order_id: int
    state: State
    cents: int
    currency: str
    said: str


def reference(order_id: int) -> str:
    """Return what the provider knows the order by; it charges a reference once."""
    return f"order-{order_id}"

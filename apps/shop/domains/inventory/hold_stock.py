"""Hold stock for an order that was received: all of its lines, or none."""

from msgspec import Struct

from ringfence import Plugin, event, on
from ringfence.tools.db import Database, Transaction


class Line(Struct):
    sku: str
    quantity: int


class OrderReceived(Struct):
    """What this feature reads of the event, and no more."""

    order_id: int
    lines: list[Line]


class Level(Struct):
    sku: str
    available: int


@event("inventory.held", key="order_id")
class Held(Struct, frozen=True):
    """All that was ordered is held for the order."""

    order_id: int


@event("inventory.shortage", key="order_id")
class Shortage(Struct, frozen=True):
    """Fewer pieces are available than were ordered; nothing is held."""

    order_id: int
    why: str


class HoldStock(Plugin):
    db: Database

    @on("orders.received")
    async def hold(self, order: OrderReceived, tx: Transaction) -> None:
        """Take the pieces out of what is available, once for an order, and never for one that
        was released or shipped."""
        if await tx.fetch_value(_KNOWN, order.order_id, into=bool):
            return
        for line in order.lines:
            # ringfence: allow RF514 — the first line that is short ends it
            left = await tx.fetch_one(_LEVEL, line.sku, into=Level) or Level(line.sku, 0)
            if left.available < line.quantity:
                why = f"{line.sku}: {line.quantity} asked for, {left.available} left."
                tx.publish(Shortage(order.order_id, why))
                return
        lines = [(line.sku, line.quantity) for line in order.lines]
        await tx.execute_many(_TAKE, lines)
        await tx.execute_many(_HOLD, [(order.order_id, *line) for line in lines])
        tx.publish(Held(order.order_id))


_KNOWN = """
    SELECT EXISTS (SELECT 1 FROM holds WHERE order_id = $1)
        OR EXISTS (SELECT 1 FROM closed_orders WHERE order_id = $1)
"""
_LEVEL = "SELECT sku, available FROM stock WHERE sku = $1"
# The table refuses less than none, so that two orders never hold the same piece.
_TAKE = "UPDATE stock SET available = available - $2 WHERE sku = $1"
_HOLD = "INSERT INTO holds (order_id, sku, quantity) VALUES ($1, $2, $3)"

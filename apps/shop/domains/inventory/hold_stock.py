"""Hold stock for an order: all of its lines, or none."""

from typing import Annotated

from msgspec import Meta, Struct

from ringfence import Conflict, Plugin, service
from ringfence.tools.db import Database, UnitOfWork


class Line(Struct):
    sku: str
    quantity: Annotated[int, Meta(gt=0)]


class Left(Struct):
    available: int


class Shortage(Conflict, code="inventory.shortage"):
    """Fewer pieces are available than should be held."""


class OrderClosed(Conflict, code="inventory.order_closed"):
    """What was held for the order was released or shipped before."""


class HoldStock(Plugin):
    db: Database

    @service("inventory.hold")
    async def hold(self, order_id: int, lines: list[Line]) -> None:
        """Take the pieces out of what is available; done once, however often it is called."""

        def hold_all(work: UnitOfWork) -> None:
            if work.fetch_one("SELECT * FROM closed_orders WHERE order_id = $1", order_id):
                raise OrderClosed(f"order {order_id} was released or shipped before.")
            if work.fetch_one("SELECT sku FROM holds WHERE order_id = $1", order_id) is None:
                for line in lines:
                    _hold(work, order_id, line)

        await self.db.run(hold_all)


def _hold(work: UnitOfWork, order_id: int, line: Line) -> None:
    # The condition decides, so that two orders never hold the same piece.
    taken = work.execute(
        "UPDATE stock SET available = available - $2 WHERE sku = $1 AND available >= $2",
        line.sku,
        line.quantity,
    )
    if not taken:
        left = work.fetch_one("SELECT available FROM stock WHERE sku = $1", line.sku, into=Left)
        pieces = left.available if left else 0
        raise Shortage(f"{line.sku}: {line.quantity} asked for, {pieces} left.")
    work.execute(
        "INSERT INTO holds (order_id, sku, quantity) VALUES ($1, $2, $3)"
        " ON CONFLICT (order_id, sku) DO UPDATE SET quantity = quantity + excluded.quantity",
        order_id,
        line.sku,
        line.quantity,
    )

"""Hold stock for an order: all of its lines, or none."""

from typing import Annotated

from msgspec import Meta, Struct

from ringfence import Conflict, Plugin, service
from ringfence.tools.db import Database, Transaction


class Line(Struct):
    sku: str
    quantity: Annotated[int, Meta(gt=0)]


class Left(Struct):
    available: int


class Shortage(Conflict, code="inventory.shortage"):
    """Fewer pieces are available than should be held."""


class HoldStock(Plugin):
    db: Database

    @service("inventory.hold")
    async def hold(self, order_id: int, lines: list[Line], tx: Transaction) -> None:
        """Take the pieces out of what is available; done once, however often it is called."""
        if await tx.fetch_one("SELECT sku FROM holds WHERE order_id = $1", order_id):
            return
        for line in lines:
            # The condition decides, so that two orders never hold the same piece.
            taken = await tx.execute(
                "UPDATE stock SET available = available - $2 WHERE sku = $1 AND available >= $2",
                line.sku,
                line.quantity,
            )
            if not taken:
                raise Shortage(
                    f"{line.sku}: {line.quantity} asked for, {await _left(line.sku, tx)} left."
                )
            await tx.execute(
                "INSERT INTO holds (order_id, sku, quantity) VALUES ($1, $2, $3)"
                " ON CONFLICT (order_id, sku)"
                " DO UPDATE SET quantity = quantity + excluded.quantity",
                order_id,
                line.sku,
                line.quantity,
            )


async def _left(sku: str, tx: Transaction) -> int:
    stock = await tx.fetch_one("SELECT available FROM stock WHERE sku = $1", sku, into=Left)
    return stock.available if stock else 0

"""Give back the stock that is held for an order, so that others can order it."""

from msgspec import Struct

from ringfence import Plugin, service
from ringfence.tools.db import Database, Transaction


class Held(Struct):
    sku: str
    quantity: int


class ReleaseStock(Plugin):
    db: Database

    @service("inventory.release")
    async def release(self, order_id: int, tx: Transaction) -> None:
        """Release all that the order holds; nothing happens where it holds nothing."""
        held = await tx.fetch_all(
            "DELETE FROM holds WHERE order_id = $1 RETURNING sku, quantity", order_id, into=Held
        )
        for each in held:
            await tx.execute(
                "UPDATE stock SET available = available + $2 WHERE sku = $1",
                each.sku,
                each.quantity,
            )

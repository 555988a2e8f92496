"""Give back the stock that is held for an order, so that others can order it.

The order is closed by it: whoever was about to hold stock for it, and comes too late, holds none.
"""

from msgspec import Struct

from ringfence import Plugin, service
from ringfence.tools.db import Database, UnitOfWork


class Held(Struct):
    sku: str
    quantity: int


class ReleaseStock(Plugin):
    db: Database

    @service("inventory.release")
    async def release(self, order_id: int) -> None:
        """Release all that the order holds; nothing happens where it holds nothing."""

        def release_all(work: UnitOfWork) -> None:
            work.execute(
                "INSERT INTO closed_orders (order_id) VALUES ($1) ON CONFLICT DO NOTHING", order_id
            )
            held = work.fetch_all(
                "DELETE FROM holds WHERE order_id = $1 RETURNING sku, quantity", order_id, into=Held
            )
            work.execute_many(
                "UPDATE stock SET available = available + $2 WHERE sku = $1",
                [(each.sku, each.quantity) for each in held],
            )

        await self.db.run(release_all)

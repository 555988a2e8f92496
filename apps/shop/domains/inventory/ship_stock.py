"""Let the pieces that are held for an order leave the house: nobody can give them back."""

from ringfence import Plugin, service
from ringfence.tools.db import Database, UnitOfWork


class ShipStock(Plugin):
    db: Database

    @service("inventory.ship")
    async def ship(self, order_id: int) -> None:
        """Forget what the order holds; nothing happens where it holds nothing."""

        def forget(work: UnitOfWork) -> None:
            work.execute(
                "INSERT INTO closed_orders (order_id) VALUES ($1) ON CONFLICT DO NOTHING", order_id
            )
            work.execute("DELETE FROM holds WHERE order_id = $1", order_id)

        await self.db.run(forget)

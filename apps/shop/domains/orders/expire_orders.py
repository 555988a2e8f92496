"""Cancel orders that have stayed pending, and give back what the inventory holds for them.

An order stays pending only where the process that was placing it has ended. Its stock is released
first and the order cancelled after that: whatever is cut off in between is done again a little
later, and releasing twice releases once.
"""

from datetime import timedelta
from typing import Protocol

from msgspec import Struct

from ringfence import Plugin, requires
from ringfence.tools.clock import Clock, every
from ringfence.tools.db import Database

# No request lasts nearly so long.
STALE = timedelta(minutes=15)


class Stale(Struct):
    id: int


@requires("inventory.release")
class ReleaseStock(Protocol):
    async def __call__(self, *, order_id: int) -> None: ...


class ExpireOrders(Plugin):
    db: Database
    clock: Clock
    release: ReleaseStock

    @every("1m", jitter="10s")
    async def expire(self) -> None:
        for order in await self.db.fetch_all(_STALE, self.clock.now() - STALE, into=Stale):
            await self.release(order_id=order.id)
            await self.db.execute(_CANCEL, order.id)


_STALE = """
    SELECT id FROM orders WHERE status = 'pending' AND ordered_at < $1 ORDER BY id LIMIT 20
"""
_CANCEL = "UPDATE orders SET status = 'cancelled' WHERE id = $1 AND status = 'pending'"

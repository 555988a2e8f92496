"""Give up the orders that are still pending after all patience, as if they were cancelled."""

from datetime import timedelta

from msgspec import Struct

from domains.orders._events import OrderCancelling
from ringfence import Plugin, Settings
from ringfence.settings import Seconds
from ringfence.tools.clock import Clock, every
from ringfence.tools.db import Database


class Settling(Settings, section="settling"):
    patience: Seconds = Seconds(30 * 60)


class Order(Struct):
    id: int


class GiveUpOrders(Plugin):
    db: Database
    clock: Clock
    settling: Settling

    @every("1m", jitter="10s")
    async def give_up(self) -> None:
        before = self.clock.now() - timedelta(seconds=self.settling.patience)
        async with self.db.transaction() as tx:
            for order in await tx.fetch_all(_GIVE_UP, before, into=Order):
                tx.publish(OrderCancelling(order.id))


_GIVE_UP = """
    UPDATE orders SET status = 'cancelling', why = 'it could not be completed in time'
    WHERE id IN (
        SELECT id FROM orders WHERE status = 'pending' AND ordered_at < $1 ORDER BY id LIMIT 100
    )
    RETURNING id
"""

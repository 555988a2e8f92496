"""Complete the orders that were left on their way: the process ended, or a provider was away.

The one that was tried longest ago comes first, so that an order that fails each time keeps no other
waiting. One that is still pending after all patience is cancelled.
"""

from datetime import timedelta
from typing import Protocol

from msgspec import Struct

from ringfence import AppError, Plugin, Settings, requires
from ringfence.settings import Seconds
from ringfence.tools.clock import Clock, every
from ringfence.tools.db import Database
from ringfence.tools.log import Log

# No request lasts so long: whoever was completing an order has ended.
STALE = timedelta(minutes=1)
# What a run may begin in, well within the time that it has.
RUN_S = 15


class Settling(Settings, section="settling"):
    patience: Seconds = Seconds(30 * 60)


class Order(Struct):
    id: int


@requires("orders.complete")
class CompleteOrder(Protocol):
    async def __call__(self, *, order_id: int) -> Order: ...


class SettleOrders(Plugin):
    db: Database
    clock: Clock
    log: Log
    settling: Settling
    complete: CompleteOrder

    @every("1m", jitter="10s")
    async def settle(self) -> None:
        now, ends_at = self.clock.now(), self.clock.monotonic() + RUN_S
        await self.db.execute(_GIVE_UP, now - timedelta(seconds=self.settling.patience))
        for order in await self.db.fetch_all(_LEFT, now - STALE, into=Order):
            if self.clock.monotonic() > ends_at:
                return
            try:
                await self.complete(order_id=order.id)
            except AppError as outcome:
                self.log.info("order was cancelled", order_id=order.id, why=str(outcome))


_GIVE_UP = """
    UPDATE orders SET status = 'cancelling', why = 'it could not be completed in time'
    WHERE status = 'pending' AND ordered_at < $1
"""
_LEFT = """
    SELECT id FROM orders
    WHERE tried_at < $1 AND (
        status IN ('pending', 'shipping', 'cancelling')
        OR (customer_id IS NOT NULL AND told <> status)
    )
    ORDER BY tried_at, id LIMIT 10
"""

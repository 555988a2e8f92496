"""Take back what was charged for an order, or see to it that nothing will be.

It is written down at once that the order is withdrawn, so that no charge begins after that. The
provider is told until it has heard: here, and every minute from then on.
"""

from msgspec import Struct

from domains.payments._payments import Payment, reference
from ringfence import Plugin, on
from ringfence.tools.clock import Clock, every
from ringfence.tools.db import Database
from ringfence.tools.fetch import BadResponse, Fetch, LinkUnavailable, UnexpectedStatus
from ringfence.tools.log import Log


class OrderCancelling(Struct):
    order_id: int


class NewRefund(Struct):
    reference: str


class RefundOrder(Plugin):
    db: Database
    clock: Clock
    log: Log
    payment_provider: Fetch

    @on("orders.cancelling")
    async def refund(self, order: OrderCancelling) -> None:
        """Refund an order; done once, however often it is delivered."""
        order_id = order.order_id
        await self.db.execute(_WITHDRAW, order_id, self.clock.now())
        withdrawn = await self.db.fetch_one(_PAYMENT, order_id, into=Payment)
        if withdrawn is not None and withdrawn.state == "refunding":
            await self._tell(order_id)

    @every("1m", jitter="10s")
    async def tell_again(self) -> None:
        """Tell the provider of what it has not heard yet, the longest untold first."""
        for payment in await self.db.fetch_all(_UNTOLD, into=Payment):
            if not await self._tell(payment.order_id):
                return  # it is away; the next minute begins with another order

    async def _tell(self, order_id: int) -> bool:
        """Tell the provider; return whether it has heard."""
        await self.db.execute(_TRIED, order_id, self.clock.now())
        key = reference(order_id)
        try:
            # It refunds a charge that it has made, and refuses one that reaches it later.
            await self.payment_provider.post(
                "refunds", json=NewRefund(key), idempotency_key=f"refund-{key}"
            )
        except (LinkUnavailable, BadResponse, UnexpectedStatus) as error:
            self.log.warning("refund is open", order_id=order_id, why=str(error))
            return False
        await self.db.execute(_REFUNDED, order_id, self.clock.now())
        return True


_WITHDRAW = """
    INSERT INTO payments (order_id, cents, currency, state, updated_at)
    VALUES ($1, 0, '', 'refunded', $2)
    ON CONFLICT (order_id) DO UPDATE SET state = 'refunding', updated_at = excluded.updated_at
    WHERE payments.state IN ('charging', 'paid')
"""
_PAYMENT = "SELECT * FROM payments WHERE order_id = $1"
_UNTOLD = "SELECT * FROM payments WHERE state = 'refunding' ORDER BY updated_at LIMIT 20"
_TRIED = "UPDATE payments SET updated_at = $2 WHERE order_id = $1"
_REFUNDED = """
    UPDATE payments SET state = 'refunded', updated_at = $2
    WHERE order_id = $1 AND state = 'refunding'
"""

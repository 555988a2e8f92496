"""Charge an order at the payment provider: once, whatever happens in between.

What is about to be charged is written down before the provider is asked, and the provider knows
the order by a key. So a charge whose answer was lost, here or on the way, is asked for again and
found to be done. While the provider is away, it is asked again every minute.
"""

from datetime import timedelta

from msgspec import Struct

from domains.payments._payments import Payment, reference
from ringfence import Plugin, event, on
from ringfence.tools.clock import Clock, every
from ringfence.tools.db import Database
from ringfence.tools.fetch import BadResponse, Fetch, LinkUnavailable, UnexpectedStatus
from ringfence.tools.log import Log

# No delivery lasts so long: whoever was asking has ended.
STALE = timedelta(minutes=1)


class NewCharge(Struct):
    reference: str
    cents: int
    currency: str
    card: str


class Charge(Struct):
    """What this feature needs of the provider's answer, and no more."""

    id: str


class OrderPayable(Struct):
    """What is to be charged, and to which card: a token that only the provider can read."""

    order_id: int
    cents: int
    currency: str
    card: str


@event("payments.paid", key="order_id")
class Paid(Struct, frozen=True):
    """The card was charged."""

    order_id: int


@event("payments.declined", key="order_id")
class Declined(Struct, frozen=True):
    """The card was not charged, and the provider says why."""

    order_id: int
    said: str


class Open(Payment):
    card: str


class ChargeOrder(Plugin):
    db: Database
    clock: Clock
    log: Log
    payment_provider: Fetch

    @on("orders.payable", retries=0)  # what is refused is refused again
    async def charge(self, order: OrderPayable) -> None:
        """Charge an order, unless that is done, or it was withdrawn meanwhile.

        Raises:
            UnexpectedStatus: The provider does not take what is sent. That is a fault of this shop,
                not of the customer's: a dead letter, for an operator to mend.
        """
        await self.db.execute(
            _BEGIN, order.order_id, order.cents, order.currency, order.card, self.clock.now()
        )
        found = await self.db.fetch_one(_OPEN, order.order_id, into=Open)
        if found is not None:
            await self._ask(found)

    @every("1m", jitter="10s")
    async def ask_again(self) -> None:
        """Ask for the charges whose answer is missing, the one first that waited longest."""
        for payment in await self.db.fetch_all(_UNANSWERED, self.clock.now() - STALE, into=Open):
            try:
                await self._ask(payment)
            except UnexpectedStatus as refusal:  # its dead letter says so too
                self.log.error("charge was refused", order_id=payment.order_id, why=str(refusal))

    async def _ask(self, payment: Open) -> None:
        await self.db.execute(_ASKED, payment.order_id, self.clock.now())
        key = reference(payment.order_id)
        asked = NewCharge(key, payment.cents, payment.currency, payment.card)
        try:
            charge = await self.payment_provider.post(
                "charges", json=asked, idempotency_key=key, into=Charge
            )
        except UnexpectedStatus as refusal:
            if refusal.response.status != 402:
                raise
            said = refusal.problem.detail if refusal.problem else ""
            await self._end(payment.order_id, Declined(payment.order_id, said))
        except (LinkUnavailable, BadResponse) as error:
            self.log.warning("charge is open", order_id=payment.order_id, why=str(error))
        else:
            await self._end(payment.order_id, Paid(payment.order_id), charge_id=charge.id)

    async def _end(self, order_id: int, ended: Paid | Declined, charge_id: str = "") -> None:
        """Write down how it ended, unless the order was withdrawn while the provider worked."""
        state, said = ("declined", ended.said) if isinstance(ended, Declined) else ("paid", "")
        async with self.db.transaction() as tx:
            if await tx.execute(_END, order_id, state, said, charge_id, self.clock.now()):
                tx.publish(ended)


# A mended card counts, as long as nothing came of the first one.
_BEGIN = """
    INSERT INTO payments (order_id, cents, currency, card, state, updated_at)
    VALUES ($1, $2, $3, $4, 'charging', $5)
    ON CONFLICT (order_id) DO UPDATE SET card = excluded.card WHERE payments.state = 'charging'
"""
_OPEN = "SELECT * FROM payments WHERE order_id = $1 AND state = 'charging'"
_UNANSWERED = """
    SELECT * FROM payments WHERE state = 'charging' AND updated_at < $1
    ORDER BY updated_at, order_id LIMIT 10
"""
_ASKED = "UPDATE payments SET updated_at = $2 WHERE order_id = $1"
_END = """
    UPDATE payments SET state = $2, said = $3, charge_id = $4, updated_at = $5
    WHERE order_id = $1 AND state = 'charging'
"""

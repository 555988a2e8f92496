"""Charge an order at the payment provider: once, whatever happens in between.

What is about to be charged is written down before the provider is asked, and the provider knows
the order by a key. So a charge whose answer was lost, here or on the way, is asked for again and
found to be done.
"""

from msgspec import Struct

from domains.payments._payments import Payment, State, reference
from ringfence import Plugin, service
from ringfence.tools.clock import Clock
from ringfence.tools.db import Database, UnitOfWork
from ringfence.tools.fetch import BadResponse, Fetch, LinkUnavailable, UnexpectedStatus
from ringfence.tools.log import Log


class NewCharge(Struct):
    reference: str
    cents: int
    currency: str
    card: str


class Charge(Struct):
    """What this feature needs of the provider's answer, and no more."""

    id: str


class ChargeOrder(Plugin):
    db: Database
    clock: Clock
    log: Log
    payment_provider: Fetch

    @service("payments.charge")
    async def charge(self, order_id: int, cents: int, currency: str, card: str) -> Payment:
        """Charge a card for an order, or say what has become of it already.

        Args:
            order_id: Charged once; asked again, it goes on from where it was.
            cents: What to charge.
            currency: Of the cents.
            card: A token of the provider, which stands for a card that only the provider knows.

        Returns:
            `paid` or `declined`; `charging` while the provider does not answer: ask again later;
            `refunding` or `refunded` where the order was withdrawn meanwhile.
        """
        payment = await self._begun(order_id, cents, currency)
        if payment.state != "charging":
            return payment
        key = reference(order_id)
        asked = NewCharge(key, cents, currency, card)
        try:
            charge = await self.payment_provider.post(
                "charges", json=asked, idempotency_key=key, into=Charge
            )
        except UnexpectedStatus as refusal:
            if refusal.response.status == 402:
                said = refusal.problem.detail if refusal.problem else ""
                return await self._ended(payment, "declined", said=said)
            # The provider does not take what we send: a fault of ours, not of the customer's.
            self.log.error("charge was refused", order_id=order_id, why=str(refusal))
            return payment
        except (LinkUnavailable, BadResponse) as error:
            self.log.warning("charge is open", order_id=order_id, why=str(error))
            return payment
        return await self._ended(payment, "paid", charge_id=charge.id)

    async def _begun(self, order_id: int, cents: int, currency: str) -> Payment:
        now = self.clock.now()

        def begin(work: UnitOfWork) -> Payment:
            work.execute(_BEGIN, order_id, cents, currency, now)
            payment = work.fetch_one(_PAYMENT, order_id, into=Payment)
            assert payment is not None  # written down just now, or before
            return payment

        return await self.db.run(begin)

    async def _ended(
        self, payment: Payment, state: State, *, said: str = "", charge_id: str = ""
    ) -> Payment:
        """Write down how it ended, unless the order was withdrawn while the provider worked."""
        now = self.clock.now()

        def end(work: UnitOfWork) -> Payment:
            work.execute(_END, payment.order_id, state, said, charge_id, now)
            return work.fetch_one(_PAYMENT, payment.order_id, into=Payment) or payment

        return await self.db.run(end)


_BEGIN = """
    INSERT INTO payments (order_id, cents, currency, state, updated_at)
    VALUES ($1, $2, $3, 'charging', $4)
    ON CONFLICT (order_id) DO NOTHING
"""
_PAYMENT = "SELECT * FROM payments WHERE order_id = $1"
_END = """
    UPDATE payments SET state = $2, said = $3, charge_id = $4, updated_at = $5
    WHERE order_id = $1 AND state = 'charging'
"""

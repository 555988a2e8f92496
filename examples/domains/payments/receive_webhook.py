"""Take what a payment service reports, once, and only from that service.

It signs `timestamp.body` with a secret that both know. The time stops old requests from being
sent again; the table of events stops new ones from counting twice.
"""

import hmac
from typing import Annotated, Literal

from msgspec import Meta, Struct

from ringfence import NotFound, Plugin, Secret, Settings, Unauthenticated
from ringfence.tools.clock import Clock
from ringfence.tools.db import Database
from ringfence.tools.http import get, header, post, read_json

Id = Annotated[str, Meta(min_length=1, max_length=64)]


class Payments(Settings, section="payments"):
    webhook_secret: Secret
    tolerance_s: int = 300


class Payment(Struct):
    id: Id
    amount_cents: Annotated[int, Meta(ge=0, le=2**53)]
    status: Literal["paid", "refunded"]


class PaymentEvent(Struct):
    """What is read of an event; the service may send more."""

    id: Id
    payment: Payment


class BadSignature(Unauthenticated, code="payments.bad_signature"):
    """The signature is missing, or of another secret, time or body."""


class TooOld(Unauthenticated, code="payments.too_old"):
    """The request was signed too long ago, or in the future."""


class NoSuchPayment(NotFound, code="payments.no_such_payment"):
    """Nothing was reported of that payment."""


class ReceiveWebhook(Plugin):
    db: Database
    clock: Clock
    payments: Payments

    @post("/webhooks/payments", max_body_bytes=64 << 10)
    async def receive(
        self,
        body: bytes,
        timestamp: Annotated[int, Meta(ge=0, le=2**53), header("X-Timestamp")] = 0,
        signature: Annotated[str, header("X-Signature-256")] = "",
    ) -> None:
        """Take one event; one that came before is answered and does nothing."""
        # Nobody who cannot sign reaches the database, or has a body parsed.
        self._verify(body, timestamp, signature)
        event = read_json(body, PaymentEvent)
        async with self.db.transaction() as tx:
            is_new = await tx.execute(
                "INSERT INTO payment_events (id, received_at) VALUES ($1, $2)"
                " ON CONFLICT (id) DO NOTHING",
                event.id,
                self.clock.now(),
            )
            if is_new:
                await tx.execute(
                    "INSERT INTO payments (id, amount_cents, status) VALUES ($1, $2, $3)"
                    " ON CONFLICT (id) DO UPDATE SET status = excluded.status",
                    event.payment.id,
                    event.payment.amount_cents,
                    event.payment.status,
                )

    @get("/payments/{payment_id}")
    async def show(self, payment_id: Id) -> Payment:
        """Show what was last reported of a payment."""
        payment = await self.db.fetch_one(
            "SELECT * FROM payments WHERE id = $1", payment_id, into=Payment
        )
        if payment is None:
            raise NoSuchPayment(f"{payment_id}: no such payment.")
        return payment

    def _verify(self, body: bytes, timestamp: int, signature: str) -> None:
        secret = self.payments.webhook_secret.reveal().encode()
        signed = b"%d." % timestamp + body
        expected = "sha256=" + hmac.new(secret, signed, "sha256").hexdigest()
        # As bytes: compare_digest raises for text that is not ASCII.
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise BadSignature("the signature does not fit.")
        if abs(self.clock.now().timestamp() - timestamp) > self.payments.tolerance_s:
            raise TooOld("the request was not signed just now.")

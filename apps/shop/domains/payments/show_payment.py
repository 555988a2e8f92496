"""Show what has become of the money for an order."""

from typing import Annotated

from msgspec import Meta

from domains.payments._payments import Payment
from ringfence import NotFound, Plugin
from ringfence.tools.db import Database
from ringfence.tools.http import get


class NoSuchPayment(NotFound, code="payments.no_such_payment"):
    """No card was charged for that order, nor was that tried."""


class ShowPayment(Plugin):
    db: Database

    @get("/payments/{order_id}")
    async def show(self, order_id: Annotated[int, Meta(ge=1, le=2**63 - 1)]) -> Payment:
        payment = await self.db.fetch_one(
            "SELECT * FROM payments WHERE order_id = $1", order_id, into=Payment
        )
        if payment is None:
            raise NoSuchPayment(f"order {order_id}: no payment by card.")
        return payment

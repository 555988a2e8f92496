"""Book goods in as they arrive; only for what the catalogue sells."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from domains.inventory._products import ProductOf
from ringfence import Plugin
from ringfence.tools.clock import Clock
from ringfence.tools.db import Database
from ringfence.tools.http import post


class Arrival(Struct):
    quantity: Annotated[int, Meta(gt=0, le=100_000)]
    note: Annotated[str, Meta(max_length=200)] = ""


class Receipt(Struct):
    id: int
    sku: str
    quantity: int
    available: int
    received_at: datetime


class ReceiveStock(Plugin):
    db: Database
    clock: Clock
    product: ProductOf

    @post("/stock/{sku}/receipts", status=201)
    async def receive(self, sku: str, arrival: Arrival) -> Receipt:
        await self.product(sku=sku)  # before the transaction: inside it there is only the database
        received_at = self.clock.now()
        async with self.db.transaction() as tx:
            receipt_id = await tx.fetch_value(
                "INSERT INTO receipts (sku, quantity, note, received_at) VALUES ($1, $2, $3, $4)"
                " RETURNING id",
                sku,
                arrival.quantity,
                arrival.note,
                received_at,
                into=int,
            )
            available = await tx.fetch_value(
                "INSERT INTO stock (sku, available) VALUES ($1, $2)"
                " ON CONFLICT (sku) DO UPDATE SET available = available + excluded.available"
                " RETURNING available",
                sku,
                arrival.quantity,
                into=int,
            )
        return Receipt(receipt_id, sku, arrival.quantity, available, received_at)

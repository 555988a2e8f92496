"""Say what a quantity of a product costs today, with the discount for many."""

from typing import Annotated

from msgspec import Meta, Struct

from domains.catalogue._products import NoSuchProduct
from lib import pricing
from ringfence import Plugin, service
from ringfence.tools.db import Database
from ringfence.tools.http import get


class Quote(Struct):
    sku: str
    quantity: int
    unit_cents: int
    total_cents: int


class Listed(Struct):
    price_cents: int


class QuotePrice(Plugin):
    db: Database

    @get("/products/{sku}/price")
    @service("catalogue.quote")
    async def quote(self, sku: str, quantity: Annotated[int, Meta(gt=0, le=1000)] = 1) -> Quote:
        listed = await self.db.fetch_one(
            "SELECT price_cents FROM products WHERE sku = $1", sku, into=Listed
        )
        if listed is None:
            raise NoSuchProduct(sku)
        unit_cents = pricing.unit_price(listed.price_cents, quantity)
        return Quote(sku, quantity, unit_cents, unit_cents * quantity)

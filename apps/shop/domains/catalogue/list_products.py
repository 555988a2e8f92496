"""List the products, cheapest first, by name or price if asked to."""

from typing import Annotated

from msgspec import Meta, Struct

from domains.catalogue._products import Product
from ringfence import Plugin
from ringfence.tools.db import Database
from ringfence.tools.http import get


class ProductFilter(Struct):
    search: Annotated[str, Meta(max_length=100)] = ""
    max_price_cents: Annotated[int, Meta(gt=0, le=10_000_000)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    offset: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class ListProducts(Plugin):
    db: Database

    @get("/products")
    async def list_products(self, wanted: ProductFilter) -> list[Product]:
        return await self.db.fetch_all(
            """
            SELECT sku, name, description, price_cents
            FROM products
            WHERE instr(lower(name), lower($1)) > 0 AND price_cents <= COALESCE($2, price_cents)
            ORDER BY price_cents, sku
            LIMIT $3 OFFSET $4
            """,
            wanted.search,
            wanted.max_price_cents,
            wanted.limit,
            wanted.offset,
            into=Product,
        )

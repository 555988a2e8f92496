"""Add a product to the catalogue. Stock arrives separately: the inventory keeps it."""

from typing import Annotated

from msgspec import Meta, Struct

from domains.catalogue._products import Product
from ringfence import Conflict, Plugin
from ringfence.tools.db import Database, UniqueViolation
from ringfence.tools.http import post


class NewProduct(Struct):
    sku: Annotated[str, Meta(pattern="^[a-z0-9]+(-[a-z0-9]+)*$", max_length=40)]
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    price_cents: Annotated[int, Meta(gt=0, le=10_000_000)]
    description: Annotated[str, Meta(max_length=1000)] = ""


class ProductExists(Conflict, code="catalogue.product_exists"):
    """Another product has that sku."""


class AddProduct(Plugin):
    db: Database

    @post("/products", status=201)
    async def add(self, new: NewProduct) -> Product:
        try:
            await self.db.execute(
                "INSERT INTO products (sku, name, description, price_cents)"
                " VALUES ($1, $2, $3, $4)",
                new.sku,
                new.name,
                new.description,
                new.price_cents,
            )
        except UniqueViolation:
            raise ProductExists(f"{new.sku}: the catalogue has it already.") from None
        return Product(new.sku, new.name, new.description, new.price_cents)

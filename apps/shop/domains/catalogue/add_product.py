"""Add a product to the catalogue. Stock arrives separately: the inventory keeps it."""

from msgspec import Struct

from domains.catalogue._products import Category, Description, Name, PriceCents, Product, Sku
from ringfence import Conflict, Plugin
from ringfence.tools.db import Database, UniqueViolation
from ringfence.tools.http import post


class NewProduct(Struct):
    sku: Sku
    name: Name
    category: Category
    price_cents: PriceCents
    description: Description = ""


class ProductExists(Conflict, code="catalogue.product_exists"):
    """Another product has that sku."""


class AddProduct(Plugin):
    db: Database

    @post("/products", status=201)
    async def add(self, new: NewProduct) -> Product:
        """Add a product.

        Example: {"sku": "tea-keemun", "name": "Keemun", "category": "tea", "price_cents": 1290}
        """
        try:
            await self.db.execute(
                "INSERT INTO products (sku, name, category, description, price_cents)"
                " VALUES ($1, $2, $3, $4, $5)",
                new.sku,
                new.name,
                new.category,
                new.description,
                new.price_cents,
            )
        except UniqueViolation:
            raise ProductExists(f"{new.sku}: the catalogue has it already.") from None
        return Product(new.sku, new.name, new.category, new.description, new.price_cents)

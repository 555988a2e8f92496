"""Show one product, to customers and to the other domains."""

from domains.catalogue._products import NoSuchProduct, Product
from ringfence import Plugin, service
from ringfence.tools.db import Database
from ringfence.tools.http import get


class ShowProduct(Plugin):
    db: Database

    @get("/products/{sku}")
    @service("catalogue.product")
    async def show(self, sku: str) -> Product:
        product = await self.db.fetch_one(
            "SELECT * FROM products WHERE sku = $1", sku, into=Product
        )
        if product is None:
            raise NoSuchProduct(sku)
        return product

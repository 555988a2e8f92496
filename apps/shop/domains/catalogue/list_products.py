"""List the products, cheapest first, a page at a time: all of them, or what somebody looks for."""

from typing import Annotated

from msgspec import Meta

from domains.catalogue._products import Category, PriceCents, Product
from ringfence import Plugin, service
from ringfence.tools.db import Database
from ringfence.tools.http import Page, Paged, get


class Search(Paged):
    """Which products; `search` is looked for in names and descriptions, in any case."""

    search: Annotated[str, Meta(max_length=100)] = ""
    category: Category | None = None
    max_price_cents: PriceCents | None = None


class ListProducts(Plugin):
    db: Database

    @get("/products")
    @service("catalogue.search")
    async def search(self, search: Search) -> Page[Product]:
        """List products, cheapest first."""
        price_cents, sku = search.after(tuple[int, str]) or (0, "")
        products = await self.db.fetch_all(
            _SEARCH,
            _containing(search.search),
            search.category,
            search.max_price_cents,
            price_cents,
            sku,
            search.limit + 1,
            into=Product,
        )
        return search.page(products, key=lambda product: (product.price_cents, product.sku))


def _containing(text: str) -> str:
    """Return the pattern of all that has `text` in it, whose own `%` and `_` mean themselves."""
    for special in "!%_":
        text = text.replace(special, f"!{special}")
    return f"%{text}%"


_SEARCH = """
    SELECT * FROM products
    WHERE lower(name || ' ' || description) LIKE lower($1) ESCAPE '!'
        AND category = COALESCE($2, category)
        AND price_cents <= COALESCE($3, price_cents)
        AND (price_cents, sku) > ($4, $5)
    ORDER BY price_cents, sku
    LIMIT $6
"""

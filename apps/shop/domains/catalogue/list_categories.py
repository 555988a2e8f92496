"""List the categories, and how many products each has."""

from msgspec import Struct

from domains.catalogue._products import Category
from ringfence import Plugin, service
from ringfence.tools.db import Database
from ringfence.tools.http import get


class Shelf(Struct):
    category: Category
    products: int


class ListCategories(Plugin):
    db: Database

    @get("/categories")
    @service("catalogue.categories")
    async def shelves(self) -> list[Shelf]:
        return await self.db.fetch_all(_SHELVES, into=Shelf)


_SHELVES = """
    SELECT category, count(*) AS products FROM products GROUP BY category ORDER BY category
"""

"""Say how many pieces of a product can be ordered, and how many are held for orders already."""

from msgspec import Struct

from ringfence import Plugin, service
from ringfence.tools.db import Database
from ringfence.tools.http import get


class StockLevel(Struct):
    sku: str
    available: int = 0
    held: int = 0


class ShowStockLevel(Plugin):
    db: Database

    @get("/stock/{sku}")
    @service("inventory.stock_level")
    async def show(self, sku: str) -> StockLevel:
        """Count a product's pieces; none for what the inventory has never received."""
        level = await self.db.fetch_one(_LEVEL, sku, into=StockLevel)
        return level or StockLevel(sku)


_LEVEL = """
    SELECT sku, available,
        (SELECT CAST(COALESCE(SUM(quantity), 0) AS BIGINT) FROM holds WHERE holds.sku = stock.sku)
            AS held
    FROM stock WHERE sku = $1
"""

"""Show the stock of one article, which another domain knows."""

from typing import Protocol

from msgspec import Struct

from ringfence import Plugin, requires
from ringfence.tools.http import get


class StockLevel(Struct):
    sku: str
    available: int


@requires("inventory.stock_level")
class StockLevelOf(Protocol):
    async def __call__(self, *, sku: str) -> StockLevel: ...


class GetStock(Plugin):
    stock_level: StockLevelOf

    @get("/stock/{sku}")
    async def get_stock(self, sku: str) -> StockLevel:
        return await self.stock_level(sku=sku)

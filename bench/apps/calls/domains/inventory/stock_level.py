"""Say how many units of something are on hand."""

from msgspec import Struct

from ringfence import Plugin, service


class StockLevel(Struct):
    sku: str
    available: int


class TellStockLevel(Plugin):
    @service("inventory.stock_level")
    async def stock_level(self, sku: str) -> StockLevel:
        return StockLevel(sku, 7)

    @service("inventory.stock_level_by_thread")
    def stock_level_by_thread(self, sku: str) -> StockLevel:
        return StockLevel(sku, 7)

"""Answers requests on the bus, as one feature asks another for something here."""

from microcoreos import BasePlugin


class StockLevelPlugin(BasePlugin):
    def __init__(self, event_bus):
        self.bus = event_bus

    async def on_boot(self):
        await self.bus.subscribe("stock.level", self.stock_level)

    async def stock_level(self, event):
        return {"sku": event.payload["sku"], "available": 7}

"""GET /stock/{sku}: asks the inventory's feature over the bus."""

from microcoreos import BasePlugin


class GetStockPlugin(BasePlugin):
    def __init__(self, http, event_bus):
        self.http = http
        self.bus = event_bus

    async def on_boot(self):
        self.http.add_endpoint("/stock/{sku}", "GET", self.execute)

    async def execute(self, data: dict, context=None):
        return await self.bus.request("stock.level", {"sku": data["sku"]})

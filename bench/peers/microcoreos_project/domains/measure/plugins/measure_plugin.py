"""GET /measure: nanoseconds for one request on the bus, one tool call, one bare await, by round."""

import time

from microcoreos import BasePlugin


async def bare(sku):
    return {"sku": sku, "available": 7}


class MeasurePlugin(BasePlugin):
    def __init__(self, http, event_bus, shelf):
        self.http = http
        self.bus = event_bus
        self.shelf = shelf

    async def on_boot(self):
        self.http.add_endpoint("/measure", "GET", self.execute)

    async def execute(self, data: dict, context=None):
        rounds, times = int(data["rounds"]), int(data["times"])
        kinds = {"bare": bare, "tool": self.shelf.get, "service": self.request}
        found = {kind: [] for kind in kinds}
        for _ in range(rounds):
            for kind, operation in kinds.items():
                found[kind].append(await self.each(operation, times))
        return found

    async def request(self, sku):
        return await self.bus.request("stock.level", {"sku": sku})

    async def each(self, operation, times):
        started = time.thread_time_ns()
        for _ in range(times):
            await operation("a")
        return (time.thread_time_ns() - started) / times

"""Take orders, and let whoever operates the shop see how many there are."""

from msgspec import Struct

from acme_tools.metrics import Metrics, gauge
from ringfence import Plugin, service
from ringfence.tools.clock import Clock
from ringfence.tools.db import Database
from ringfence.tools.http import post
from ringfence.tools.log import Log


class NewOrder(Struct):
    sku: str


class PlaceOrder(Plugin):
    db: Database
    clock: Clock
    log: Log
    metrics: Metrics

    @post("/orders", status=201)
    @service("orders.place")
    async def place(self, order: NewOrder) -> int:
        began_at = self.clock.monotonic()
        insert = "INSERT INTO orders (sku) VALUES ($1) RETURNING id"
        number = await self.db.fetch_value(insert, order.sku, into=int)
        self.metrics.count("orders_placed_total", sku=order.sku)
        self.metrics.observe("orders_place_seconds", self.clock.monotonic() - began_at)
        self.log.info("order placed", number=number)
        return number

    @gauge("orders_open", help="Orders that have not been sent.")
    async def open_orders(self) -> int:
        return await self.db.fetch_value("SELECT count(*) FROM orders WHERE NOT sent", into=int)

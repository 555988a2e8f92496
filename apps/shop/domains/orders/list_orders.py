"""List the orders, newest first, a page at a time."""

from typing import Annotated

from msgspec import Meta, Struct

from domains.orders._orders import Order, OrderNumber, Status
from ringfence import Plugin
from ringfence.tools.db import Database
from ringfence.tools.http import get


class OrderFilter(Struct):
    status: Status | None = None
    before: OrderNumber | None = None  # the smallest number of the page before
    limit: Annotated[int, Meta(ge=1, le=100)] = 50


class ListOrders(Plugin):
    db: Database

    @get("/orders")
    async def list_orders(self, wanted: OrderFilter) -> list[Order]:
        return await self.db.fetch_all(
            """
            SELECT * FROM orders
            WHERE status = COALESCE($1, status) AND id < COALESCE($2, id + 1)
            ORDER BY id DESC
            LIMIT $3
            """,
            wanted.status,
            wanted.before,
            wanted.limit,
            into=Order,
        )

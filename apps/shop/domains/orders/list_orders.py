"""List the orders, newest first, a page at a time."""

from uuid import UUID

from domains.orders._orders import Order, Status
from ringfence import Plugin
from ringfence.tools.db import Database
from ringfence.tools.http import Page, Paged, get


class Wanted(Paged):
    status: Status | None = None
    customer_id: UUID | None = None


class ListOrders(Plugin):
    db: Database

    @get("/orders")
    async def orders(self, wanted: Wanted) -> Page[Order]:
        orders = await self.db.fetch_all(
            _ORDERS,
            wanted.status,
            wanted.customer_id,
            wanted.after(int) or 2**63 - 1,
            wanted.limit + 1,
            into=Order,
        )
        return wanted.page(orders, key=lambda order: order.id)


_ORDERS = """
    SELECT * FROM orders
    WHERE status = COALESCE($1, status)
        AND (CAST($2 AS UUID) IS NULL OR customer_id = $2)
        AND id < $3
    ORDER BY id DESC
    LIMIT $4
"""

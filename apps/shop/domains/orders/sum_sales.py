"""Sum up what was sold in a time, for whoever reports it."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from ringfence import Plugin, service
from ringfence.tools.db import Database, UnitOfWork


class Totals(Struct):
    orders: int
    goods_cents: int
    shipping_cents: int


class Sold(Struct):
    sku: str
    pieces: int
    goods_cents: int


class Sales(Struct):
    totals: Totals
    best_sellers: list[Sold]


class SumSales(Plugin):
    db: Database

    @service("orders.sales")
    async def sales(
        self, since: datetime, until: datetime, top: Annotated[int, Meta(ge=1, le=20)] = 5
    ) -> Sales:
        """Sum up the orders from `since` on and before `until` that are placed or shipped."""

        def both(work: UnitOfWork) -> Sales:  # of the same moment
            totals = work.fetch_all(_TOTALS, since, until, into=Totals)[0]
            return Sales(totals, work.fetch_all(_BEST_SELLERS, since, until, top, into=Sold))

        return await self.db.run(both)


_TOTALS = """
    SELECT count(*) AS orders,
        CAST(COALESCE(SUM(goods_cents), 0) AS BIGINT) AS goods_cents,
        CAST(COALESCE(SUM(shipping_cents), 0) AS BIGINT) AS shipping_cents
    FROM orders
    WHERE status IN ('placed', 'shipping', 'shipped') AND ordered_at >= $1 AND ordered_at < $2
"""
_BEST_SELLERS = """
    SELECT sku,
        CAST(SUM(quantity) AS BIGINT) AS pieces,
        CAST(SUM(quantity * unit_cents) AS BIGINT) AS goods_cents
    FROM order_lines JOIN orders ON orders.id = order_lines.order_id
    WHERE status IN ('placed', 'shipping', 'shipped') AND ordered_at >= $1 AND ordered_at < $2
    GROUP BY sku ORDER BY pieces DESC, sku LIMIT $3
"""

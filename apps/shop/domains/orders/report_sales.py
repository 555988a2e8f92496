"""Report what was sold: the totals and the best sellers.

Written with plain `def`: it runs in the kernel's threads and uses the same tools through `wait`.
"""

from typing import Annotated, Protocol

from msgspec import Meta, Struct

from ringfence import NotFound, Plugin, requires, wait
from ringfence.tools.db import Database
from ringfence.tools.http import get


class Totals(Struct):
    orders: int
    goods_cents: int
    shipping_cents: int


class Sold(Struct):
    sku: str
    pieces: int
    goods_cents: int


class BestSeller(Struct):
    sku: str
    name: str
    pieces: int
    goods_cents: int


class SalesReport(Struct):
    totals: Totals
    best_sellers: list[BestSeller]


class Product(Struct):
    name: str


@requires("catalogue.product")
class ProductOf(Protocol):
    async def __call__(self, *, sku: str) -> Product: ...


class ReportSales(Plugin):
    db: Database
    product: ProductOf

    @get("/reports/sales")
    def report(self, top: Annotated[int, Meta(ge=1, le=20)] = 5) -> SalesReport:
        # One transaction, so that both answers are of the same moment.
        with wait(self.db.transaction()) as tx:
            totals = wait(tx.fetch_all(_TOTALS, into=Totals))[0]
            sold = wait(tx.fetch_all(_BEST_SELLERS, top, into=Sold))
        best = [BestSeller(s.sku, self._name(s.sku), s.pieces, s.goods_cents) for s in sold]
        return SalesReport(totals, best)

    def _name(self, sku: str) -> str:
        try:
            return wait(self.product(sku=sku)).name
        except NotFound:
            return "(no longer in the catalogue)"


_TOTALS = """
    SELECT count(*) AS orders,
        COALESCE(SUM(goods_cents), 0) AS goods_cents,
        COALESCE(SUM(shipping_cents), 0) AS shipping_cents
    FROM orders WHERE status = 'placed'
"""

_BEST_SELLERS = """
    SELECT sku, SUM(quantity) AS pieces, SUM(quantity * unit_cents) AS goods_cents
    FROM order_lines JOIN orders ON orders.id = order_lines.order_id
    WHERE orders.status = 'placed'
    GROUP BY sku ORDER BY pieces DESC, sku LIMIT $1
"""

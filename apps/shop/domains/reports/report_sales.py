"""Report what was sold: the totals and the best sellers.

Written with plain `def`: it runs in the kernel's threads and asks other domains through `wait`.
"""

from datetime import UTC, date, datetime, time
from typing import Annotated, Protocol

from msgspec import Meta, Struct

from ringfence import NotFound, Plugin, requires, wait
from ringfence.tools.http import get


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


@requires("orders.sales")
class SalesOf(Protocol):
    async def __call__(self, *, since: datetime, until: datetime, top: int) -> Sales: ...


class Product(Struct):
    name: str


@requires("catalogue.product")
class ProductOf(Protocol):
    async def __call__(self, *, sku: str) -> Product: ...


class BestSeller(Struct):
    sku: str
    name: str
    pieces: int
    goods_cents: int


class SalesReport(Struct):
    totals: Totals
    best_sellers: list[BestSeller]


class ReportSales(Plugin):
    sales: SalesOf
    product: ProductOf

    @get("/reports/sales")
    def report(
        self,
        since: date = date(2000, 1, 1),
        until: date = date(2999, 12, 31),
        top: Annotated[int, Meta(ge=1, le=20)] = 5,
    ) -> SalesReport:
        """Report the sales from the day `since` to the day before `until`."""
        sales = wait(self.sales(since=_midnight(since), until=_midnight(until), top=top))
        best = [
            BestSeller(sold.sku, self._name(sold.sku), sold.pieces, sold.goods_cents)
            for sold in sales.best_sellers
        ]
        return SalesReport(sales.totals, best)

    def _name(self, sku: str) -> str:
        try:
            return wait(self.product(sku=sku)).name
        except NotFound:
            return "(no longer in the catalogue)"


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)

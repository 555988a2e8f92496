"""Close each day after midnight: what was sold on it is kept, whatever is cancelled later.

A night in which the shop was down is made up for at the next start, and closing a day again
changes nothing.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol

from msgspec import Struct

from ringfence import Plugin, requires
from ringfence.tools.clock import Clock, cron
from ringfence.tools.db import Database
from ringfence.tools.http import Page, Paged, get


class Day(Struct):
    day: date
    orders: int
    goods_cents: int
    shipping_cents: int


class Totals(Struct):
    orders: int
    goods_cents: int
    shipping_cents: int


class Sales(Struct):
    """What this feature needs of the sales, and no more."""

    totals: Totals


@requires("orders.sales")
class SalesOf(Protocol):
    async def __call__(self, *, since: datetime, until: datetime) -> Sales: ...


class CloseDay(Plugin):
    db: Database
    clock: Clock
    sales: SalesOf

    @cron("5 0 * * *", missed="once")
    async def close(self) -> None:
        """Close yesterday."""
        today = datetime.combine(self.clock.now().date(), time(), UTC)
        yesterday = today - timedelta(days=1)
        totals = (await self.sales(since=yesterday, until=today)).totals
        await self.db.execute(
            "INSERT INTO days (day, orders, goods_cents, shipping_cents) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (day) DO NOTHING",
            yesterday.date(),
            totals.orders,
            totals.goods_cents,
            totals.shipping_cents,
        )

    @get("/reports/days")
    async def days(self, wanted: Paged) -> Page[Day]:
        """List the days that are closed, latest first."""
        days = await self.db.fetch_all(
            "SELECT * FROM days WHERE day < $1 ORDER BY day DESC LIMIT $2",
            wanted.after(date) or date.max,
            wanted.limit + 1,
            into=Day,
        )
        return wanted.page(days, key=lambda day: day.day)

"""An order that nobody finishes placing does not keep its stock for ever."""

from pathlib import Path

import pytest

from ringfence.testing import TestApplication, boot

from .shops import available, copy_of_the_shop, order

pytestmark = pytest.mark.anyio

# What is left of an order whose process ended after the stock was held for it.
STRAND = '''
"""Leave an order as a process leaves it that ends too early."""

from ringfence import Plugin, service
from ringfence.tools.db import Database


class StrandOrder(Plugin):
    db: Database

    @service("orders.strand")
    async def strand(self, order_id: int) -> None:
        await self.db.execute("UPDATE orders SET status = 'pending' WHERE id = $1", order_id)
'''


async def statuses(app: TestApplication) -> dict[int, str]:
    orders = (await app.http.get("/orders")).json(into=list[dict[str, object]])
    return {int(str(order["id"])): str(order["status"]) for order in orders}


async def test_an_order_that_stays_pending_is_cancelled_and_its_stock_released(
    tmp_path: Path,
) -> None:
    """After a quarter of an hour; orders that were placed are left alone."""
    shop = copy_of_the_shop(tmp_path)
    (shop / "domains/orders/strand_order.py").write_text(STRAND)
    async with boot(shop) as app:
        before = await available(app, "tea-assam")
        assert isinstance(before, int)
        assert (await order(app, tea_assam=2)).status == 201
        assert (await order(app, tea_assam=3)).status == 201
        await app.call("orders.strand", order_id=2)
        await app.clock.elapse(15 * 60)
        assert await statuses(app) == {1: "placed", 2: "pending"}
        assert await available(app, "tea-assam") == before - 5
        await app.clock.elapse(2 * 60)
        assert await statuses(app) == {1: "placed", 2: "cancelled"}
        assert await available(app, "tea-assam") == before - 2

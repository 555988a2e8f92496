"""What happens to the shop when one file of it is broken, taken away or added."""

from pathlib import Path

import pytest

from tests.apps.shop.shops import (
    available,
    copy_of_the_shop,
    open_shop,
    order,
    post,
    settled_order,
    shown,
)

pytestmark = pytest.mark.anyio

LOW_STOCK = '''
"""List what should be ordered again."""

from typing import Annotated

from msgspec import Meta, Struct

from ringfence import Plugin
from ringfence.tools.db import Database
from ringfence.tools.http import get


class Low(Struct):
    sku: str
    available: int


class ListLowStock(Plugin):
    db: Database

    @get("/stock")
    async def low(self, below: Annotated[int, Meta(gt=0)] = 10) -> list[Low]:
        return await self.db.fetch_all(
            "SELECT sku, available FROM stock WHERE available < $1 ORDER BY sku", below, into=Low
        )
'''


async def test_a_new_feature_is_one_new_file(tmp_path: Path) -> None:
    """It serves as soon as it is there; no other file knows of it."""
    shop = copy_of_the_shop(tmp_path)
    (shop / "domains/inventory/list_low_stock.py").write_text(LOW_STOCK)
    async with open_shop(shop, strict=True) as (app, _):
        low = (await app.http.get("/stock?below=4")).json(into=list[dict[str, object]])
        assert {"sku": "grinder-hand", "available": 0} in low
        assert {"sku": "tea-darjeeling", "available": 3} in low
        assert (await order(app, tea_assam=1)).status == 201


async def test_a_feature_that_nobody_requires_can_be_taken_away(tmp_path: Path) -> None:
    """Removing the file removes the feature, and that is all."""
    shop = copy_of_the_shop(tmp_path)
    (shop / "domains/reports/report_sales.py").unlink()
    async with open_shop(shop, strict=True) as (app, _):
        assert (await app.http.get("/reports/sales")).status == 404
        assert (await order(app, tea_assam=1)).status == 201


@pytest.mark.parametrize("broken", ["def broken(:\n", "raise RuntimeError('broken')\n"])
async def test_a_broken_feature_leaves_the_others_serving(tmp_path: Path, broken: str) -> None:
    """Its own route is refused, and one record says which file and why."""
    shop = copy_of_the_shop(tmp_path)
    with (shop / "domains/catalogue/add_product.py").open("a") as file:
        file.write(broken)
    async with open_shop(shop) as (app, _):
        assert [finding.file for finding in app.findings] == ["domains/catalogue/add_product.py"]
        assert app.health.state == "degraded"
        lost = [p for d in app.status.domains for p in d.plugins if p.state == "quarantined"]
        assert [plugin.id for plugin in lost] == ["catalogue.add_product"]
        assert lost[0].reason.startswith("domains/catalogue/add_product.py:")
        assert "\n" not in lost[0].reason  # one line, where it stands in a table
        assert (await order(app, tea_assam=1)).status == 201
        assert (await app.http.get("/products")).status == 200
        assert (await app.http.get("/reports/sales")).status == 200


@pytest.mark.parametrize("broken", ["def broken(:\n", "raise RuntimeError('broken')\n"])
async def test_an_order_waits_for_a_broken_inventory_and_can_be_cancelled(
    tmp_path: Path, broken: str
) -> None:
    """The order is pending, as it says, and nothing is taken for it."""
    shop = copy_of_the_shop(tmp_path)
    with (shop / "domains/inventory/hold_stock.py").open("a") as file:
        file.write(broken)
    async with open_shop(shop) as (app, bank):
        assert (await settled_order(app, card="tok_visa", tea_assam=1))["status"] == "pending"
        assert bank.charged == []  # nothing is paid for that is not held
        assert (await post(app, "/orders/1/cancel")).status == 200
        assert (await shown(app, 1))["status"] == "cancelled"
        assert await available(app, "tea-assam") == 120

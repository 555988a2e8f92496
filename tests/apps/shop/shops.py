"""Where the shop is, copies of it to break, and orders for it."""

import shutil
from pathlib import Path

from ringfence.testing import TestApplication
from ringfence.testing.http import HttpResponse

SHOP = Path(__file__).parents[3] / "apps" / "shop"


def copy_of_the_shop(folder: Path) -> Path:
    """Return a copy of the shop's sources that a test may change."""
    unwanted = shutil.ignore_patterns("data", ".ringfence", "__pycache__")
    return Path(shutil.copytree(SHOP, folder / "shop", ignore=unwanted))


async def order(app: TestApplication, **quantities: int) -> HttpResponse:
    """Order over HTTP: `order(app, tea_assam=2)`."""
    lines = [{"sku": sku.replace("_", "-"), "quantity": n} for sku, n in quantities.items()]
    return await app.http.post("/orders", json={"lines": lines})


async def available(app: TestApplication, sku: str) -> object:
    """Return how many pieces of a product can be ordered."""
    level = (await app.http.get(f"/stock/{sku}")).json(into=dict[str, object])
    return level["available"]

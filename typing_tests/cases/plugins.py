"""A plugin made by hand takes a fake for each of its fields, of the field's type."""

from typing import Protocol, cast

from msgspec import Struct

from ringfence import Plugin, requires
from ringfence.tools.db import Database


class StockLevel(Struct):
    available: int


@requires("inventory.stock_level")
class StockLevelOf(Protocol):
    async def __call__(self, *, sku: str) -> StockLevel: ...


class PlaceOrder(Plugin):
    db: Database
    stock_level: StockLevelOf


async def seven(*, sku: str) -> StockLevel:
    return StockLevel(7)


async def text(*, sku: str) -> str:
    return sku


fake = cast("Database", object())

PlaceOrder(db=fake, stock_level=seven)
PlaceOrder(db=fake)  # error: mypy, pyright
PlaceOrder(db=fake, stock_level=text)  # error: mypy, pyright
PlaceOrder(db="a file", stock_level=seven)  # error: mypy, pyright
PlaceOrder(db=fake, stock_level=seven, clock=fake)  # error: mypy, pyright

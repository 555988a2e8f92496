"""What the three endpoints take and give, for the peers that work with msgspec."""

from typing import Annotated

from msgspec import Meta, Struct


class Widget(Struct):
    """What GET /widgets/{id} answers."""

    id: int
    name: str
    price: float
    tags: list[str]


class NewOrder(Struct, forbid_unknown_fields=True):
    """What POST /orders takes."""

    sku: Annotated[str, Meta(min_length=1, max_length=40)]
    quantity: Annotated[int, Meta(gt=0, le=1000)]


class Order(Struct):
    """What POST /orders answers."""

    id: int
    sku: str
    quantity: int


class StockLevel(Struct):
    """What GET /stock/{sku} answers."""

    sku: str
    available: int


def widget(number: int) -> Widget:
    return Widget(number, f"widget {number}", 9.5, ["new", "blue"])


async def stock_level(sku: str) -> StockLevel:
    return StockLevel(sku, 7)

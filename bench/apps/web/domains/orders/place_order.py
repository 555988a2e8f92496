"""Take an order."""

from typing import Annotated

from msgspec import Meta, Struct

from ringfence import Plugin
from ringfence.tools.http import post


class NewOrder(Struct):
    sku: Annotated[str, Meta(min_length=1, max_length=40)]
    quantity: Annotated[int, Meta(gt=0, le=1000)]


class Order(Struct):
    id: int
    sku: str
    quantity: int


class PlaceOrder(Plugin):
    @post("/orders", status=201)
    async def place(self, order: NewOrder) -> Order:
        return Order(1, order.sku, order.quantity)

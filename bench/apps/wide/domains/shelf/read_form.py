"""Take an order from a form."""

from typing import Annotated

from msgspec import Meta, Struct

from ringfence import Plugin
from ringfence.tools.http import Form, post


class Order(Struct):
    id: int
    sku: str
    quantity: int


class ReadForm(Plugin):
    @post("/forms", status=201)
    async def read_form(
        self,
        sku: Form[Annotated[str, Meta(min_length=1, max_length=40)]],
        quantity: Form[Annotated[int, Meta(gt=0, le=1000)]],
    ) -> Order:
        return Order(1, sku, quantity)

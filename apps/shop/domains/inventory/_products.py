"""What the inventory's features ask the catalogue: whether it knows a product at all."""

from typing import Protocol

from msgspec import Struct

from ringfence import requires


class Product(Struct):
    sku: str


@requires("catalogue.product")
class ProductOf(Protocol):
    async def __call__(self, *, sku: str) -> Product: ...

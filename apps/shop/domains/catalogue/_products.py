"""What the catalogue's features share: a product, and how its absence is told."""

from msgspec import Struct

from ringfence import NotFound


class Product(Struct):
    sku: str
    name: str
    description: str
    price_cents: int


class NoSuchProduct(NotFound, code="catalogue.no_such_product"):
    """The catalogue has no product of that sku."""

    def __init__(self, sku: str) -> None:
        super().__init__(f"{sku}: no such product.", hint="GET /products lists the catalogue.")

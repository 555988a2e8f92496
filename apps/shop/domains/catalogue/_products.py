"""What the catalogue's features share: a product, the shape of its fields, and its absence."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from ringfence import NotFound

Category = Literal["tea", "coffee", "brewing", "ware", "pantry"]
# `$` would let a line break through at the end.
Sku = Annotated[str, Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$(?!\n)", max_length=40)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Description = Annotated[str, Meta(max_length=1000)]
PriceCents = Annotated[int, Meta(gt=0, le=10_000_000)]


class Product(Struct):
    """A product. `picture` is where its picture is, and changes with it; None where it has none."""

    sku: str
    name: str
    category: Category
    description: str
    price_cents: int
    picture: str | None = None


class NoSuchProduct(NotFound, code="catalogue.no_such_product"):
    """The catalogue has no product of that sku."""

    def __init__(self, sku: str) -> None:
        super().__init__(f"{sku}: no such product.", hint="GET /products lists the catalogue.")

"""Change a product's name, text or price; what is left out stays.

Two people who change one product do not overwrite each other: a change says which version it is
for, by `If-Match` with the ETag of what its author has read.
"""

from msgspec import UNSET, Struct, UnsetType, structs

from domains.catalogue._products import Description, Name, NoSuchProduct, PriceCents, Product
from ringfence import Plugin
from ringfence.tools.db import Database, Transaction
from ringfence.tools.http import IfMatch, Reply, get, patch


class Change(Struct):
    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    price_cents: PriceCents | UnsetType = UNSET


class Draft(Struct):
    """A product as its editors see it."""

    sku: str
    name: str
    description: str
    price_cents: int
    version: int


class ChangeProduct(Plugin):
    db: Database

    @get("/products/{sku}/draft")
    async def show(self, sku: str) -> Reply[Draft]:
        """Show what can be changed, with its version as ETag."""
        draft = await self.db.fetch_one(_DRAFT, sku, into=Draft)
        if draft is None:
            raise NoSuchProduct(sku)
        return Reply(draft, etag=str(draft.version))

    @patch("/products/{sku}")
    async def change(
        self, sku: str, change: Change, match: IfMatch, tx: Transaction
    ) -> Reply[Product]:
        """Change a product.

        Example: {"price_cents": 990}
        """
        draft = await tx.fetch_one(_DRAFT, sku, into=Draft)
        if draft is None:
            raise NoSuchProduct(sku)
        match.require(str(draft.version), required=True)
        changed = structs.replace(draft, version=draft.version + 1, **_said(change))
        await tx.execute(_WRITE, *structs.astuple(changed))
        product = await tx.fetch_one("SELECT * FROM products WHERE sku = $1", sku, into=Product)
        assert product is not None  # it was there in the same transaction
        return Reply(product, etag=str(changed.version))


def _said(change: Change) -> dict[str, object]:
    return {name: value for name, value in structs.asdict(change).items() if value is not UNSET}


_DRAFT = "SELECT * FROM products WHERE sku = $1"
_WRITE = """
    UPDATE products SET name = $2, description = $3, price_cents = $4, version = $5 WHERE sku = $1
"""

"""Answers in pages: `Page[T]`, and `Paged`, the query that asks for one.

A cursor says where the last page ended, by the key of its last row and not by a count, so that
rows which come and go in between move nothing. It is opaque to clients and never trusted: it is
bounded, read as the type that the feature gives, and good only for the filters that it was made
with.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Annotated, Generic, TypeVar

from msgspec import DecodeError, Meta, Raw, Struct, ValidationError, json

from ringfence.errors import Fault, Invalid

T = TypeVar("T")
K = TypeVar("K")
MAX_CURSOR_CHARS = 2048  # a quarter of the target that a request may have by default
_LARGEST = 1 << 63  # what databases call an integer ends here


class Page(Struct, Generic[T]):
    """Some items of many. `next` is the cursor of the next page, None where this is the last."""

    items: list[T]
    next: str | None = None


class Paged(Struct, kw_only=True, forbid_unknown_fields=True):
    """The query for a page. A feature derives its own, with its filters and its orders:

        class Search(Paged):
            color: str | None = None
            sort: Literal["id", "-price"] = "id"

        @get("/products")
        async def products(self, search: Search) -> Page[Product]:
            last = search.after(int) or 0
            rows = await self.db.fetch_all(
                "SELECT id, name, price FROM products"
                " WHERE id > $1 AND ($2 IS NULL OR color = $2) ORDER BY id LIMIT $3",
                last, search.color, search.limit + 1, into=Product,
            )
            return search.page(rows, key=lambda product: product.id)

    An order by something that is not unique needs a key that ends with what is, here
    `-price`: `search.after(tuple[int, int])`, `WHERE (price, id) < ($1, $2)`, `ORDER BY price DESC,
    id DESC`, `key=lambda product: (product.price, product.id)`.

    Args:
        limit: Items on a page, 1 to 100.
        cursor: Of the page, as `next` of the one before says; None for the first page.
    """

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    cursor: str | None = None

    def after(self, kind: type[K]) -> K | None:
        """Return the key of the row that the page begins after; None for the first page.

        Args:
            kind: The type of the key, as `page` is given it: `int`, `tuple[str, int]`.

        Raises:
            Invalid: The cursor is malformed, or of other filters or another order.
        """
        if not self.cursor:
            return None
        if len(self.cursor) > MAX_CURSOR_CHARS:
            raise _refused("is too long")
        try:
            padded = self.cursor + "=" * (-len(self.cursor) % 4)
            made_for, key = json.decode(_unpacked(padded), type=tuple[str, Raw])
            position = json.decode(key, type=kind)
        except (binascii.Error, ValueError, DecodeError, ValidationError, RecursionError):
            raise _refused("is no cursor that an answer gave") from None
        if made_for != self._fingerprint():
            raise _refused("is of other filters, or of another order")
        if not _is_storable(position):
            raise _refused("is no cursor that an answer gave")
        return position

    def page(self, rows: Sequence[T], key: Callable[[T], object]) -> Page[T]:
        """Return the page that rows make.

        Args:
            rows: In their order; one more than `limit` were asked for, to see whether there are.
            key: Says where a row stands in that order: a scalar, or a tuple of scalars.

        Raises:
            ValueError: A key is longer than a cursor may be.
        """
        items = list(rows[: self.limit])
        if len(rows) <= self.limit:
            return Page(items)
        text = json.encode((self._fingerprint(), key(items[-1])))
        cursor = urlsafe_b64encode(text).decode().rstrip("=")
        if len(cursor) > MAX_CURSOR_CHARS:
            raise ValueError(
                f"{type(self).__name__}.page: the key of a row is too long for a cursor; expected"
                f" at most {MAX_CURSOR_CHARS} characters, got {len(cursor)}. Order by less text."
            )
        return Page(items, cursor)

    def _fingerprint(self) -> str:
        """Name what a cursor is good for: every field but where the page is, and how long."""
        fields = {
            name: getattr(self, name)
            for name in self.__struct_fields__
            if name not in ("limit", "cursor")
        }
        content = json.encode(fields, order="deterministic")
        return blake2b(content, digest_size=6).hexdigest()


def _unpacked(cursor: str) -> bytes:
    return urlsafe_b64decode(cursor.encode("ascii"))


def _is_storable(position: object) -> bool:
    parts = position if isinstance(position, tuple | list) else (position,)
    return all(-_LARGEST <= part < _LARGEST for part in parts if isinstance(part, int))


def _refused(what: str) -> Invalid:
    fault = Fault("query.cursor", f"{what}; leave it out to begin with the first page")
    return Invalid("the page does not exist", faults=(fault,))

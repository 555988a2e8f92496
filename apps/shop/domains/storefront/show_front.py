"""The front page: the catalogue, to look through and to search."""

from typing import Annotated, Literal, Protocol
from urllib.parse import urlencode

from msgspec import Meta, Struct

from domains.storefront._page import Product, Sales, page, picture
from lib import money
from lib.markup import Html, html, joined
from ringfence import Plugin, requires
from ringfence.tools.http import Reply, get

Category = Literal["tea", "coffee", "brewing", "ware", "pantry"]
PAGE = 24


class Shelf(Struct):
    category: Category
    products: int


class Found(Struct):
    items: list[Product]
    next: str | None


@requires("catalogue.categories")
class Shelves(Protocol):
    async def __call__(self) -> list[Shelf]: ...


@requires("catalogue.search")
class Search(Protocol):
    async def __call__(
        self, *, search: str, category: Category | None, limit: int, cursor: str | None
    ) -> Found: ...


class ShowFront(Plugin):
    sales: Sales
    shelves: Shelves
    search: Search

    @get("/")
    async def front(
        self,
        search: Annotated[str, Meta(max_length=100)] = "",
        category: Category | None = None,
        cursor: str | None = None,
    ) -> Reply[str]:
        """Show the products that somebody looks for, or all."""
        shelves = await self.shelves()
        found = await self.search(search=search, category=category, limit=PAGE, cursor=cursor)
        content = html(
            _FRONT,
            search=search,
            category=_kept(category),
            shelves=joined(_shelf(shelf, category, search) for shelf in shelves),
            cards=joined(self._card(product) for product in found.items) or _NOTHING,
            more=_more(found.next, search, category),
        )
        return page("Leaf & Bean", content)

    def _card(self, product: Product) -> Html:
        return html(
            _CARD,
            sku=product.sku,
            picture=picture(product),
            name=product.name,
            description=product.description,
            price=money.shown(product.price_cents, self.sales.currency),
        )


def _kept(category: Category | None) -> Html:
    """Return what keeps a search within the category that was chosen."""
    if category is None:
        return Html()
    return html('<input type="hidden" name="category" value="{category}">', category=category)


def _shelf(shelf: Shelf, chosen: Category | None, search: str) -> Html:
    is_chosen = shelf.category == chosen
    query = _query(search, None if is_chosen else shelf.category)
    return html(
        '<a class="shelf{chosen}" href="/?{query}">{name} <small>{count}</small></a>',
        chosen=" chosen" if is_chosen else "",
        query=query,
        name=shelf.category,
        count=shelf.products,
    )


def _more(cursor: str | None, search: str, category: Category | None) -> Html:
    if cursor is None:
        return Html()
    query = _query(search, category, cursor)
    return html('<p class="more"><a href="/?{query}">More</a></p>', query=query)


def _query(search: str, category: Category | None, cursor: str | None = None) -> str:
    asked = {"search": search, "category": category, "cursor": cursor}
    return urlencode({name: value for name, value in asked.items() if value})


_FRONT = """<form class="search" action="/">
<input type="search" name="search" value="{search}" maxlength="100" aria-label="Search"
 placeholder="Earl Grey, mug, honey …">{category}
<button>Search</button>
</form>
<nav>{shelves}</nav>
<section class="cards">{cards}</section>
{more}"""

_CARD = """<a class="card" href="/shop/products/{sku}">{picture}
<strong>{name}</strong><span>{description}</span><b>{price}</b></a>
"""

_NOTHING = html("<p>Nothing is called that. Look for something else?</p>")

"""The page of one product: what it is, whether it is there, and a form to order it."""

from typing import Protocol
from uuid import uuid4

from msgspec import Struct

from domains.storefront._page import Product, Sales, page, picture
from lib import money, pricing
from lib.markup import Html, html, joined
from ringfence import Plugin, requires
from ringfence.tools.http import Reply, get


class StockLevel(Struct):
    available: int


@requires("catalogue.product")
class ProductOf(Protocol):
    async def __call__(self, *, sku: str) -> Product: ...


@requires("inventory.stock_level")
class StockLevelOf(Protocol):
    async def __call__(self, *, sku: str) -> StockLevel: ...


class ShowProductPage(Plugin):
    sales: Sales
    product: ProductOf
    stock_level: StockLevelOf

    @get("/shop/products/{sku}")
    async def show(self, sku: str) -> Reply[str]:
        product = await self.product(sku=sku)
        left = (await self.stock_level(sku=sku)).available
        many = pricing.unit_price(product.price_cents, pricing.BULK_QUANTITY)
        content = html(
            _PRODUCT,
            picture=picture(product),
            name=product.name,
            category=product.category,
            description=product.description,
            price=money.shown(product.price_cents, self.sales.currency),
            bulk=pricing.BULK_QUANTITY,
            many=money.shown(many, self.sales.currency),
            stock=f"{left} in stock" if left else "Sold out",
            form=_form(sku) if left else "",
        )
        return page(product.name, content)


def _form(sku: str) -> Html:
    # The key makes a form that is sent twice one order.
    cards = joined(html('<option value="{c}">{n}</option>', c=c, n=n) for c, n in _CARDS)
    return html(_FORM, sku=sku, key=uuid4(), cards=cards)


# The cards that the payment provider knows; a real one would show a form of its own for them.
_CARDS = (
    ("tok_visa", "Card"),
    ("", "Invoice"),
    ("tok_declined", "Card that is declined"),
    ("tok_lost", "Card whose answer is lost on the way"),
    ("tok_stall", "Card that the provider takes long for"),
    ("tok_down", "Card that the provider fails on"),
)

_PRODUCT = """<article class="product">{picture}
<div><h1>{name}</h1>
<p><a href="/?category={category}">{category}</a></p>
<p>{description}</p>
<p class="price"><b>{price}</b> <small>from {bulk} pieces {many} each</small></p>
<p>{stock}</p>
{form}</div>
</article>"""

_FORM = """<form class="buy" method="post" action="/shop/checkout">
<input type="hidden" name="sku" value="{sku}"><input type="hidden" name="key" value="{key}">
<label>Pieces <input type="number" name="quantity" value="1" min="1" max="1000"></label>
<label>Paid by <select name="card">{cards}</select></label>
<button>Order</button>
</form>"""

"""Take the form of a product's page, order, and lead on to the page of the order."""

from typing import Annotated, Protocol

from msgspec import Meta, Struct

from domains.storefront._page import page
from lib.markup import html
from ringfence import AppError, Plugin, requires
from ringfence.tools.http import Form, Reply, post


class Checkout(Struct):
    sku: str
    key: Annotated[str, Meta(min_length=1, max_length=100)]
    quantity: Annotated[int, Meta(gt=0, le=1000)] = 1
    card: Annotated[str, Meta(pattern="^(tok_[a-z_]+)?$", max_length=40)] = ""


class NewLine(Struct):
    sku: str
    quantity: Annotated[int, Meta(gt=0, le=1000)]


class NewOrder(Struct):
    lines: Annotated[list[NewLine], Meta(min_length=1, max_length=50)]
    card: Annotated[str, Meta(pattern="^tok_[a-z_]+$", max_length=40)] | None


class Order(Struct):
    id: int


@requires("orders.place")
class PlaceOrder(Protocol):
    async def __call__(self, *, new: NewOrder, idempotency_key: str) -> Order: ...


class CheckOut(Plugin):
    place: PlaceOrder

    @post("/shop/checkout")
    async def check_out(self, form: Form[Checkout]) -> Reply[str]:
        new = NewOrder([NewLine(form.sku, form.quantity)], form.card or None)
        try:
            order = await self.place(new=new, idempotency_key=form.key)
        except AppError as refusal:
            return page("Not ordered", html(_REFUSED, why=refusal.message, sku=form.sku))
        place = {"location": f"/shop/orders/{order.id}"}
        return Reply("", status=303, headers=place, media_type="text/html")


_REFUSED = """<h1>Not ordered</h1>
<p>{why}</p>
<p><a href="/shop/products/{sku}">Back to the product</a></p>"""

"""The pages: found by links and forms, as a browser goes, and safe whatever a text has in it."""

import re
from html import unescape

import pytest

from ringfence.testing import TestApplication
from tests.apps.shop.shops import open_shop, post, settled_order

pytestmark = pytest.mark.anyio


async def page(app: TestApplication, path: str) -> str:
    """Return a page; the links on it are in the order of the text."""
    answer = await app.http.get(path)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    return answer.text


async def test_a_customer_searches_chooses_orders_and_follows_the_order() -> None:
    """A form that is sent twice is one order."""
    async with open_shop(strict=True) as (app, bank):
        front = await page(app, "/?search=assam&category=tea")
        links = re.findall('href="(/shop/products/[^"]+)"', front)
        product = await page(app, links[-1])
        hidden = dict(re.findall('name="([a-z]+)" value="([^"]*)"', product))
        form = {"sku": hidden["sku"], "key": hidden["key"], "quantity": "2", "card": "tok_visa"}
        for _ in range(2):
            sent = await app.http.post("/shop/checkout", data=form)
            assert (sent.status, sent.headers["location"]) == (303, "/shop/orders/1")
        await app.settled()
        shown = await page(app, "/shop/orders/1")
        assert "We are packing it" in shown
        assert "2 × Assam" in shown
        assert bank.charged == ["order-1"]


async def test_every_page_of_the_catalogue_is_reached_by_its_links(shop: TestApplication) -> None:
    """`More` leads on to the last one, within the category."""
    path, found = "/?category=brewing", 0
    while path:
        front = await page(shop, path)
        found += front.count('class="card"')
        more = re.search('class="more"><a href="([^"]+)"', front)
        path = unescape(more[1]) if more else ""
    assert found == 30


async def test_a_refusal_is_a_page_that_says_why() -> None:
    """And leads back."""
    async with open_shop() as (app, _):
        form = {"sku": "grinder-hand", "key": "k", "quantity": "1", "card": ""}
        refused = await app.http.post("/shop/checkout", data=form)
        assert "grinder-hand: 1 asked for, 0 left." in refused.text
        assert 'href="/shop/products/grinder-hand"' in refused.text
        assert "Sold out" in await page(app, "/shop/products/grinder-hand")


async def test_an_order_that_is_not_settled_says_so_and_loads_again() -> None:
    """Until it is."""
    async with open_shop() as (app, bank):
        bank.is_away = True
        await settled_order(app, card="tok_visa", tea_assam=1)
        assert 'http-equiv="refresh"' in await page(app, "/shop/orders/1")
        await post(app, "/orders/1/cancel")
        cancelled = await page(app, "/shop/orders/1")
        assert "cancelled on request" in cancelled
        assert 'http-equiv="refresh"' not in cancelled


async def test_no_text_becomes_markup(shop: TestApplication) -> None:
    """Neither of a product nor of a search."""
    evil = "<script>alert(1)</script>\"'{price}"
    new = {"sku": "new-evil", "name": evil, "category": "tea", "price_cents": 1}
    await shop.http.post("/products", json={**new, "description": evil})
    for path in ("/shop/products/new-evil", "/?search=%3Cscript%3E"):
        shown = await page(shop, path)
        assert "<script" not in shown
        assert "&lt;script&gt;" in shown
        answer = await shop.http.get(path)
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


async def test_the_style_sheet_is_there(shop: TestApplication) -> None:
    """Under the path that pages say."""
    style = await shop.http.get("/static/shop.css")
    assert (style.status, style.headers["content-type"].partition(";")[0]) == (200, "text/css")

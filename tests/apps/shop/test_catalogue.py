"""The catalogue: what it has, how it is searched, changed, filled and pictured."""

import pytest

from ringfence.testing import TestApplication
from tests.apps.shop.shops import available, code

pytestmark = pytest.mark.anyio
PNG = b"\x89PNG\r\n\x1a\n and the rest"


async def products(shop: TestApplication, query: str) -> list[dict[str, object]]:
    """Return all pages of a search."""
    found: list[dict[str, object]] = []
    cursor = ""
    while True:
        page = (await shop.http.get(f"/products?limit=100&{query}{cursor}")).json()
        assert isinstance(page, dict)
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


async def test_there_are_a_few_hundred_products_and_all_were_counted(
    shop: TestApplication,
) -> None:
    """Catalogue and inventory have the same ones, though neither reads the other's table."""
    skus = [str(product["sku"]) for product in await products(shop, "")]
    assert len(skus) > 300
    sold_out = [sku for sku in skus if not sku.startswith("new") and not await available(shop, sku)]
    assert sold_out == ["grinder-hand"]


async def test_a_search_goes_by_words_category_and_price(shop: TestApplication) -> None:
    """Cheapest first, in any case; what is special to SQL is not special to who searches."""
    found = await products(shop, "search=EARL&category=tea&max_price_cents=900")
    prices = [int(str(product["price_cents"])) for product in found]
    assert "tea-earl-grey" in {product["sku"] for product in found}
    assert prices == sorted(prices)
    assert prices[-1] <= 900
    assert await products(shop, "search=_") == []
    assert {product["category"] for product in await products(shop, "search=70%20%25")} == {
        "pantry"
    }


async def test_a_change_is_for_the_version_that_was_read(shop: TestApplication) -> None:
    """Of two who change one product, the second is told."""
    draft = await shop.http.get("/products/tea-sencha/draft")
    match = {"if-match": draft.headers["etag"]}
    first = await shop.http.patch("/products/tea-sencha", json={"price_cents": 990}, headers=match)
    assert first.json(into=dict[str, object])["price_cents"] == 990
    second = await shop.http.patch("/products/tea-sencha", json={"name": "S"}, headers=match)
    assert code(second) == (412, "precondition_failed")
    shown = (await shop.http.get("/products/tea-sencha")).json(into=dict[str, object])
    assert (shown["name"], shown["price_cents"]) == ("Sencha", 990)


async def test_a_spreadsheet_is_imported_but_for_the_rows_that_are_wrong(
    shop: TestApplication,
) -> None:
    """A row that the database refuses undoes itself alone."""
    sheet = (
        "sku,name,category,price_cents\n"
        "new-a,A,tea,100\n"
        "tea-assam,Twice,tea,100\n"
        "new-b,B,tee,100\n"
        "new-c,C,tea,100,more\n"
        "new-d,D,ware,250\n"
    )
    files = {"sheet": ("new.csv", sheet.encode(), "text/csv")}
    answer = (await shop.http.post("/imports/products", files=files)).json()
    assert isinstance(answer, dict)
    assert answer["added"] == 2
    assert [refused["line"] for refused in answer["refused"]] == [3, 4, 5]
    assert "the catalogue has it already" in answer["refused"][0]["why"]
    assert (await shop.http.get("/products/new-d")).status == 200
    binary = {"sheet": ("new.csv", PNG, "text/csv")}
    assert code(await shop.http.post("/imports/products", files=binary)) == (422, "invalid")


async def test_a_picture_is_kept_and_shown_with_its_product(shop: TestApplication) -> None:
    """By what it is, not by what it is called; a browser may keep it for ever."""
    wrong = {"picture": ("a.png", b"<script>", "image/png")}
    refused = await shop.http.put("/products/tea-oolong/picture", files=wrong)
    assert code(refused) == (422, "invalid")
    right = {"picture": ("a.html", PNG, "text/html")}
    kept = (await shop.http.put("/products/tea-oolong/picture", files=right)).json()
    product = (await shop.http.get("/products/tea-oolong")).json(into=dict[str, object])
    assert kept == {"picture": product["picture"]}
    picture = await shop.http.get(str(product["picture"]))
    assert (picture.body, picture.headers["content-type"]) == (PNG, "image/png")
    assert "immutable" in picture.headers["cache-control"]
    assert code(await shop.http.put("/products/none/picture", files=right))[0] == 404

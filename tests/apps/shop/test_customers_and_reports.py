"""Customers and what they are told; what is reported of orders."""

import csv
from io import StringIO
from typing import cast

import pytest

from ringfence.testing import TestApplication
from ringfence.tools.files import Files
from tests.apps.shop.shops import NO_NETWORK, code, open_shop, post, settled_order

pytestmark = pytest.mark.anyio
ADA = "0b8f5c1e-4c1b-4a53-9d0c-3a7a1d3f0001"
EVENING = {**NO_NETWORK, "clock": {"start": "2026-03-01T23:58:00Z"}}


async def letters(app: TestApplication, customer_id: str) -> list[tuple[object, bool]]:
    """Return what a customer was told, newest first, and whether it was sent."""
    found = (await app.http.get(f"/customers/{customer_id}/notices")).json()
    assert isinstance(found, dict)
    return [(each["kind"], each["sent_at"] is not None) for each in found["items"]]


async def test_a_customer_registers_and_changes(shop: TestApplication) -> None:
    """No two have one address for mail; a line break cannot hide in it."""
    new = {"name": "Emmy Noether", "email": "emmy@example.com"}
    registered = (await shop.http.post("/customers", json=new)).json()
    assert isinstance(registered, dict)
    path = f"/customers/{registered['id']}"
    changed = await shop.http.patch(path, json={"address": "Göttingen"})
    assert changed.json() == {**registered, "address": "Göttingen"}
    assert (await shop.http.get(path)).json() == changed.json()
    taken = await shop.http.patch(path, json={"email": "ada@example.com"})
    assert code(taken) == (409, "customers.email_taken")
    for email in ("nobody", "a@example.com\n", "a@example.com\nBcc: b@example.com"):
        refused = await shop.http.post("/customers", json={**new, "email": email})
        assert code(refused) == (422, "invalid")


async def test_a_customer_is_told_of_each_step_once_and_by_mail() -> None:
    """Letters are written at once, and handed to the mail server within seconds."""
    async with open_shop() as (app, _):
        await settled_order(app, customer_id=ADA, tea_assam=1)
        assert await letters(app, ADA) == [("placed", False)]
        for _ in range(2):
            assert (await post(app, "/orders/1/ship")).status == 200
        await app.clock.elapse(30)
        assert await letters(app, ADA) == [("shipped", True), ("placed", True)]
        mail = cast(Files, app.tool("mail"))
        letter = (await mail.read("1.eml")).decode()
        assert "To: ada@example.com\r\n" in letter
        assert "Dear Ada Lovelace,\r\n" in letter
        assert code(await post(app, "/orders/1/cancel")) == (409, "orders.shipped_already")


async def test_only_what_is_placed_is_shipped() -> None:
    """And it leaves the stock for good."""
    async with open_shop() as (app, _):
        await settled_order(app, tea_assam=5)
        await settled_order(app, tea_assam=5)
        await post(app, "/orders/2/cancel")
        assert code(await post(app, "/orders/2/ship")) == (409, "orders.not_placed")
        await post(app, "/orders/1/ship")
        level = (await app.http.get("/stock/tea-assam")).json()
        assert level == {"sku": "tea-assam", "available": 115, "held": 0}


async def test_orders_are_exported_and_each_day_is_closed() -> None:
    """The export has all orders; a day has those that were placed on it, and stays as it is."""
    async with open_shop(overrides={"tools": EVENING}) as (app, _):
        await settled_order(app, tea_assam=2, mug_stoneware=1)
        await settled_order(app, card="tok_poor", mug_stoneware=1)
        answer = await app.http.get("/orders.csv")
        assert answer.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(StringIO(answer.text)))
        assert [(row["id"], row["status"], row["goods_cents"]) for row in rows] == [
            ("1", "placed", "3180"),
            ("2", "cancelled", "1600"),
        ]
        await app.clock.elapse(8 * 60)
        await post(app, "/orders/1/cancel")
        days = (await app.http.get("/reports/days")).json()
        day = {"day": "2026-03-01", "orders": 1, "goods_cents": 3180, "shipping_cents": 490}
        assert days == {"items": [day], "next": None}

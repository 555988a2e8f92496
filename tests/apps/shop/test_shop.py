"""The shop from end to end: kernel, database and HTTP are real; only the port is missing."""

import asyncio
from collections import Counter

import pytest

from ringfence import Conflict, Invalid, NotFound
from ringfence.testing import TestApplication
from tests.apps.shop.shops import available, code, open_shop, order, post, settled_order, shown

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("call_path", ["fused", "plain"])
async def test_an_order_is_placed_and_shown_with_its_lines(call_path: str) -> None:
    """What was ordered is held, priced with the discount for ten, and read back whole."""
    overrides = {"kernel": {"call_path": call_path}}
    async with open_shop(overrides=overrides, strict=True) as (app, _):
        taken = (await order(app, tea_assam=10, mug_stoneware=1)).json(into=dict[str, object])
        assert (taken["status"], taken["currency"]) == ("pending", "EUR")
        await app.settled()
        shown = (await app.http.get(f"/orders/{taken['id']}")).json(into=dict[str, object])
        placed = {**taken, "status": "placed"}
        assert shown["lines"] == [
            {"sku": "mug-stoneware", "quantity": 1, "unit_cents": 1600},
            {"sku": "tea-assam", "quantity": 10, "unit_cents": 751},
        ]
        assert (shown["goods_cents"], shown["total_cents"]) == (9110, 9110)
        assert (await app.http.get("/orders")).json() == {"items": [placed], "next": None}
        level = (await app.http.get("/stock/tea-assam")).json()
        assert level == {"sku": "tea-assam", "available": 110, "held": 10}


async def test_what_is_out_of_stock_is_refused_at_once() -> None:
    """Nothing is written down, and nothing held."""
    async with open_shop() as (app, _):
        answer = await order(app, tea_assam=2, grinder_hand=1)
        problem = answer.json(into=dict[str, object])
        assert (answer.status, problem["code"]) == (409, "orders.out_of_stock")
        assert problem["detail"] == "grinder-hand: 1 asked for, 0 left."
        assert await available(app, "tea-assam") == 120
        assert (await app.http.get("/orders")).json() == {"items": [], "next": None}


async def test_the_last_pieces_are_sold_once_however_many_ask_at_once() -> None:
    """Of twelve orders for three pieces three are placed; the others are refused or cancelled, and
    what else they wanted is not held."""
    async with open_shop() as (app, _):
        answers = await asyncio.gather(
            *(order(app, tea_assam=1, tea_darjeeling=1) for _ in range(12))
        )
        await app.settled()
        refused = Counter(answer.status for answer in answers)[409]
        found = (await app.http.get("/orders")).json()
        assert isinstance(found, dict)
        statuses = Counter(each["status"] for each in found["items"])
        assert (statuses["placed"], statuses["cancelled"] + refused) == (3, 9)
        whys = {each["why"] for each in found["items"] if each["status"] == "cancelled"}
        assert whys <= {"tea-darjeeling: 1 asked for, 0 left."}
        assert await available(app, "tea-darjeeling") == 0
        assert await available(app, "tea-assam") == 117


async def test_a_cancelled_order_gives_its_stock_back_once() -> None:
    """Cancelling twice is harmless."""
    async with open_shop() as (app, _):
        await settled_order(app, tea_assam=5)
        for _ in range(2):
            assert (await post(app, "/orders/1/cancel")).status == 200
            assert (await shown(app, 1))["status"] == "cancelled"
            assert await available(app, "tea-assam") == 120


async def test_an_event_that_comes_twice_does_its_work_once() -> None:
    """Whoever publishes it again: stock is held once, and given back once."""
    async with open_shop() as (app, bank):
        await settled_order(app, card="tok_visa", tea_assam=4)
        again = [{"sku": "tea-assam", "quantity": 4, "unit_cents": 790}]
        await app.publish("orders.received", order_id=1, lines=again)
        await app.publish("orders.payable", order_id=1, cents=1, currency="EUR", card="tok_visa")
        await app.settled()
        assert (await available(app, "tea-assam"), len(bank.charged)) == (116, 1)
        await post(app, "/orders/1/cancel")
        await app.publish("orders.cancelling", order_id=1)
        await app.settled()
        assert (await available(app, "tea-assam"), bank.charged) == (120, [])


@pytest.mark.parametrize("end", ["orders.cancelling", "orders.shipping"])
async def test_nothing_is_held_any_more_for_an_order_that_was_released_or_shipped(end: str) -> None:
    """Whoever comes too late holds nothing."""
    async with open_shop() as (app, _):
        await app.publish(end, order_id=7)
        await app.settled()
        lines = [{"sku": "tea-assam", "quantity": 4, "unit_cents": 790}]
        await app.publish("orders.received", order_id=7, lines=lines)
        await app.settled()
        assert await available(app, "tea-assam") == 120
        assert await app.dead_letters() == []


async def test_an_invalid_order_is_told_every_fault_at_once(shop: TestApplication) -> None:
    """Missing, wrong and unknown fields of all lines come in one answer."""
    lines = [{"sku": "tea-assam"}, {"sku": 5, "quantity": 0}]
    answer = await shop.http.post("/orders", json={"lines": lines, "coupon": "x"})
    assert answer.status == 422
    errors = answer.json(into=dict[str, object])["errors"]
    assert errors == [
        {"path": "$.lines[0].quantity", "message": "is missing"},
        {"path": "$.lines[1].sku", "message": "Expected `str`, got `int`"},
        {"path": "$.lines[1].quantity", "message": "Expected `int` >= 1"},
        {"path": "$.coupon", "message": "unknown field"},
    ]


NEW_TEA = {"sku": "tea-assam", "name": "Another", "category": "tea", "price_cents": 1}
UNKNOWN_LINE = {"lines": [{"sku": "none", "quantity": 1}]}
NOBODY = "00000000-0000-4000-8000-000000000000"
FOR_NOBODY = {"lines": [{"sku": "tea-assam", "quantity": 1}], "customer_id": NOBODY}
ADA = {"name": "Another Ada", "email": "ada@example.com"}


@pytest.mark.parametrize(
    "request_line, json, status, expected",
    [
        ("GET /orders/999", None, 404, "orders.no_such_order"),
        ("POST /orders/999/cancel", None, 404, "orders.no_such_order"),
        ("POST /orders/999/ship", None, 404, "orders.no_such_order"),
        ("GET /payments/999", None, 404, "payments.no_such_payment"),
        (f"GET /customers/{NOBODY}", None, 404, "customers.no_such_customer"),
        (f"PATCH /customers/{NOBODY}", {}, 404, "customers.no_such_customer"),
        ("POST /orders", FOR_NOBODY, 404, "customers.no_such_customer"),
        ("PATCH /products/none", {}, 404, "catalogue.no_such_product"),
        ("PATCH /products/tea-assam", {"price_cents": 1}, 428, "precondition_required"),
        (f"GET /pictures/{32 * '0'}.png", None, 404, "files.missing"),
        ("POST /customers", ADA, 409, "customers.email_taken"),
        ("GET /products/none", None, 404, "catalogue.no_such_product"),
        ("GET /products/none/price", None, 404, "catalogue.no_such_product"),
        ("POST /stock/none/receipts", {"quantity": 1}, 404, "catalogue.no_such_product"),
        ("POST /orders", UNKNOWN_LINE, 404, "catalogue.no_such_product"),
        ("POST /products", NEW_TEA, 409, "catalogue.product_exists"),
        ("POST /products", {**NEW_TEA, "sku": "tea-a\n"}, 422, "invalid"),
        ("GET /orders/first", None, 422, "invalid"),
        ("GET /products?limit=0", None, 422, "invalid"),
        ("GET /nothing", None, 404, "no_such_route"),
        ("DELETE /orders", None, 405, "method_not_allowed"),
    ],
)
async def test_what_cannot_be_done_is_answered_with_a_stable_code(
    shop: TestApplication, request_line: str, json: object, status: int, expected: str
) -> None:
    """The feature that knows says so, whichever one was asked."""
    answer = await shop.http.request(*request_line.split(), json=json)
    assert code(answer) == (status, expected)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_new_product_is_sold_once_it_has_arrived() -> None:
    """It is added to the catalogue, received by the inventory, and then ordered."""
    async with open_shop() as (app, _):
        new = {"sku": "tea-new", "name": "New Tea", "category": "tea", "price_cents": 100}
        assert (await app.http.post("/products", json=new)).status == 201
        assert (await order(app, tea_new=1)).status == 409
        for expected in (3, 6):
            receipt = await app.http.post("/stock/tea-new/receipts", json={"quantity": 3})
            assert receipt.status == 201
            assert receipt.json(into=dict[str, object])["available"] == expected
        assert (await order(app, tea_new=6)).status == 201


async def test_the_report_of_a_def_handler_counts_placed_orders_alone() -> None:
    """It runs in a thread, reads in one transaction, and asks the catalogue for names."""
    async with open_shop() as (app, _):
        await settled_order(app, tea_assam=2, mug_stoneware=1)
        await settled_order(app, tea_assam=1)
        await post(app, "/orders/2/cancel")
        report = (await app.http.get("/reports/sales?top=1")).json()
        best = {"sku": "tea-assam", "name": "Assam Second Flush", "pieces": 2, "goods_cents": 1580}
        assert report == {
            "totals": {"orders": 1, "goods_cents": 3180, "shipping_cents": 490},
            "best_sellers": [best],
        }


async def test_settings_come_from_the_configuration() -> None:
    """Currency and shipping are the operator's to choose."""
    sales = {"currency": "CHF", "shipping_cents": 900, "free_shipping_from_cents": 100_000}
    async with open_shop(overrides={"settings": {"sales": sales}}) as (app, _):
        placed = (await order(app, scale_barista=2)).json(into=dict[str, object])
        assert (placed["currency"], placed["shipping_cents"]) == ("CHF", 900)


async def test_services_are_called_by_name_with_the_same_errors() -> None:
    """A call from outside HTTP meets the same validation and the same refusals."""
    async with open_shop() as (app, _):
        with pytest.raises(NotFound, match="none: no such product"):
            await app.call("catalogue.quote", sku="none")
        new = {"lines": [{"sku": "pot-cast-iron", "quantity": 500}]}
        with pytest.raises(Conflict, match="500 asked for, 8 left"):
            await app.call("orders.place", new=new)
        with pytest.raises(Invalid) as refused:
            await app.call("orders.place", new={"lines": [{"sku": "a", "quantity": 0}]})
        assert [fault.path for fault in refused.value.faults] == ["$.new.lines[0].quantity"]


async def test_the_trace_of_an_order_shows_what_it_caused() -> None:
    """The order carries the id of its trace; deliveries belong to it as calls do."""
    async with open_shop() as (app, _):
        placed = await settled_order(app, card="tok_visa", tea_assam=1)
        spans = [span for span in app.spans if span.trace_id == placed["trace_id"]]
        root = next(span for span in spans if not span.parent_span_id)
        assert (root.origin, root.plugin) == ("POST /orders", "orders.place_order")
        called = ["catalogue.quote", "inventory.stock_level"]
        assert [name for name in _below(app, root.span_id) if name in called] == called
        assert {span.plugin for span in spans} >= {
            "inventory.hold_stock",
            "orders.move_order",
            "payments.charge_order",
            "notifications.send_notice",
        }


async def test_the_trace_of_a_refused_order_names_the_line_that_refused_it() -> None:
    """A file, and its line."""
    async with open_shop() as (app, _):
        problem = (await order(app, grinder_hand=1)).json(into=dict[str, object])
        [failure] = [
            span.failure
            for span in app.spans
            if span.trace_id == problem["trace_id"] and span.failure
        ]
        assert failure.kind == "OutOfStock"
        assert "orders/place_order.py" in failure.where


def _below(app: TestApplication, span_id: str) -> list[str]:
    """Return what a span caused directly, in order."""
    found = [span for span in app.spans if span.parent_span_id == span_id]
    return [span.operation for span in sorted(found, key=lambda s: s.span_id)]

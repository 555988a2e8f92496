"""Orders and payments when something is away or ends too early: nothing is lost or done twice."""

import asyncio
from collections.abc import Coroutine
from itertools import product

import pytest

from ringfence.testing import TestApplication
from ringfence.testing.http import HttpResponse
from tests.apps.shop.shops import (
    ProviderDouble,
    available,
    elapse,
    open_shop,
    order,
    post,
    settled_order,
    shown,
)

pytestmark = pytest.mark.anyio


async def test_a_card_is_charged_and_given_its_money_back_when_the_order_is_cancelled() -> None:
    """The provider sees goods and shipping, under the number of the order."""
    async with open_shop() as (app, bank):
        assert (await settled_order(app, card="tok_visa", tea_assam=2))["status"] == "placed"
        assert bank.charged == ["order-1"]
        assert bank.provider.charges["order-1"].cents == 2 * 790 + 490
        payment = (await app.http.get("/payments/1")).json(into=dict[str, object])
        assert (payment["state"], payment["cents"]) == ("paid", 2070)
        await post(app, "/orders/1/cancel")
        assert bank.charged == []


async def test_a_declined_card_cancels_the_order_and_says_why() -> None:
    """Its stock is free again, and the reason is that of the provider."""
    async with open_shop() as (app, bank):
        ended = await settled_order(app, card="tok_poor", tea_assam=2)
        assert ended["status"] == "cancelled"
        assert ended["why"] == "payment declined: the card has not enough on it"
        assert (await available(app, "tea-assam"), bank.charged) == (120, [])


async def test_an_order_waits_for_a_provider_that_is_away_and_is_placed_when_it_is_back() -> None:
    """It is pending and holds its stock; its customer need not do anything."""
    async with open_shop() as (app, bank):
        bank.is_away = True
        waiting = await settled_order(app, card="tok_visa", tea_assam=2)
        assert waiting["status"] == "pending"
        await elapse(app, 3)
        assert (await shown(app, 1))["status"] == "pending"
        assert await available(app, "tea-assam") == 118
        bank.is_away = False
        await elapse(app, 3)
        assert (await shown(app, 1))["status"] == "placed"
        assert bank.charged == ["order-1"]


async def test_an_order_that_cannot_be_paid_for_is_given_up() -> None:
    """After half an hour; a provider that is away even then is told as soon as it is back."""
    async with open_shop() as (app, bank):
        bank.is_away = True
        await order(app, card="tok_visa", tea_assam=2)
        await elapse(app, 33)
        assert (await shown(app, 1))["status"] == "cancelled"
        assert await available(app, "tea-assam") == 120
        bank.is_away = False
        await elapse(app, 3)
        payment = (await app.http.get("/payments/1")).json(into=dict[str, object])
        assert payment["state"] == "refunded"
        assert bank.provider.charges == {}


@pytest.mark.parametrize("card", ["tok_lost", "tok_flaky"])
async def test_a_charge_whose_answer_was_lost_is_made_once(card: str) -> None:
    """The same key asks for it again, and finds it done."""
    async with open_shop() as (app, bank):
        assert (await settled_order(app, card=card, tea_assam=1))["status"] == "pending"
        await elapse(app, 3)
        assert (await shown(app, 1))["status"] == "placed"
        assert list(bank.provider.charges) == bank.charged == ["order-1"]


async def test_orders_that_always_fail_keep_no_other_waiting() -> None:
    """However many of its kind there are: who was tried longest ago is next."""
    async with open_shop() as (app, bank):
        for _ in range(22):
            await settled_order(app, card="tok_down", tea_assam=1)
        bank.is_away = True
        await settled_order(app, card="tok_visa", tea_assam=1)
        bank.is_away = False
        await elapse(app, 4)
        assert bank.charged == ["order-23"]


async def test_a_payment_that_nobody_can_make_is_a_dead_letter_and_no_other_order_waits() -> None:
    """The provider does not know the card: that is for an operator to mend."""
    async with open_shop() as (app, bank):
        await settled_order(app, card="tok_unknown", tea_assam=1)
        [dead] = await app.dead_letters()
        assert (dead.subscription, dead.attempts) == ("payments.charge_order.charge", 1)
        assert "422" in dead.state.error
        assert (await settled_order(app, card="tok_visa", tea_assam=1))["status"] == "placed"
        assert (await shown(app, 1))["status"] == "pending"
        await app.publish("orders.payable", order_id=1, cents=1280, currency="EUR", card="tok_visa")
        await app.settled()
        assert (await shown(app, 1))["status"] == "placed"
        assert bank.charged == ["order-2", "order-1"]


async def test_an_order_that_is_sent_twice_is_one() -> None:
    """By its key, also where both come at once."""
    async with open_shop() as (app, bank):
        both = [order(app, key="k", card="tok_visa", tea_assam=1) for _ in range(2)]
        answers = await asyncio.gather(*both)
        await app.settled()
        ids = {answer.json(into=dict[str, object])["id"] for answer in answers}
        assert (len(ids), bank.charged) == (1, ["order-1"])
        assert await available(app, "tea-assam") == 119


@pytest.mark.timeout(60)
async def test_wherever_the_work_on_orders_ends_they_are_completed_later() -> None:
    """Placing, cancelling and shipping are cut off in every step; nothing is left half done."""
    async with open_shop() as (app, bank):
        for calls, turns in product(range(5), (0, 2, 5, 9, 40)):
            await _cut_off(app, order(app, card="tok_visa", tea_rooibos=1), calls, turns)
        await elapse(app, 3)
        placed = await _ids(app, "placed")
        ways = product((2, 1, 0), (1, 4), ("ship", "cancel"))
        for order_id, (calls, turns, verb) in zip(placed, ways, strict=False):
            await _cut_off(app, app.http.post(f"/orders/{order_id}/{verb}"), calls, turns)
        await elapse(app, 3)
        await _is_in_order(app, bank)


async def _cut_off(
    app: TestApplication, work: Coroutine[object, object, HttpResponse], calls: int, turns: int
) -> None:
    """Cancel a request some turns of the loop after it has ended so many calls of services."""
    before = len(app.spans)
    task = asyncio.create_task(work)
    for _ in range(1_000_000):  # a bound that only a fault reaches
        if len(app.spans) - before >= calls or task.done():
            break
        await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _ids(app: TestApplication, status: str) -> list[int]:
    found = (await app.http.get(f"/orders?limit=100&status={status}")).json(into=dict[str, object])
    items = found["items"]
    assert isinstance(items, list)
    return [item["id"] for item in items]


async def _is_in_order(app: TestApplication, bank: ProviderDouble) -> None:
    """Compare orders, stock and money with each other."""
    placed, shipped, cancelled = [
        await _ids(app, status) for status in ("placed", "shipped", "cancelled")
    ]
    on_their_way = [await _ids(app, each) for each in ("pending", "shipping", "cancelling")]
    assert on_their_way == [[], [], []]
    assert min(len(shipped), len(cancelled)) > 0
    level = (await app.http.get("/stock/tea-rooibos")).json(into=dict[str, object])
    assert (level["held"], level["available"]) == (len(placed), 200 - len(placed) - len(shipped))
    assert sorted(bank.charged) == sorted(f"order-{n}" for n in placed + shipped)

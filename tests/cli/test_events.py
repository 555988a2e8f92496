"""What an operator sees of events, and does about them, from the command line."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ringfence.app import Application, boot, load
from ringfence.cli import invoke
from ringfence.control import ControlServer
from tests.kernel.apps import feature, write

pytestmark = pytest.mark.anyio

PLACE = feature("""
@event("orders.placed", key="sku")
class Placed(Struct, frozen=True):
    order_id: int
    sku: str
    quantity: int


class Place(Plugin):
    db: Database

    @service("orders.place")
    async def place(self, order_id: int, quantity: int) -> None:
        async with self.db.transaction() as tx:
            tx.publish(Placed(order_id, "tea", quantity))
""")
HOLD = feature("""
class Placed(Struct):
    order_id: int
    quantity: int


class Hold(Plugin):
    db: Database

    @on("orders.placed", retries=0)
    async def hold(self, placed: Placed, tx: Transaction) -> None:
        await tx.execute("INSERT INTO held VALUES ($1, $2)", placed.order_id, placed.quantity)
""")
FILES = {
    "domains/orders/place.py": PLACE,
    "domains/inventory/hold.py": HOLD,
    "domains/inventory/migrations/20260101000000_held.sql": (
        "CREATE TABLE held (order_id BIGINT PRIMARY KEY, quantity BIGINT CHECK (quantity > 0));"
    ),
}
HOLDER = "inventory.hold.hold"


@pytest.fixture
async def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Application]:
    root = write(tmp_path, FILES)
    monkeypatch.chdir(root)
    tools = {"http": {"driver": "memory"}, "log": {"driver": "memory"}}
    application = await boot(load(root, {"tools": tools}))
    server = ControlServer(application, root)
    await server.start()
    yield application
    await server.stop()
    await application.stop()


async def said(
    capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0
) -> tuple[str, str]:
    """Do a command, beside the application; return what it wrote."""
    assert await asyncio.to_thread(invoke, arguments) == code
    out, err = capsys.readouterr()
    return out, err


async def settled(shop: Application) -> None:
    await shop.deliveries.dispatcher.settled()


async def test_what_was_published_is_listed(
    shop: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest at the end, by topic where that is asked for."""
    for order_id in (1, 2, 3):
        await shop.call("orders.place", {"order_id": order_id, "quantity": 1})
    out, _ = await said(capsys, "events", "--limit", "2", "--json")
    payloads = [json.loads(event["payload"]) for event in json.loads(out)["events"]]
    assert [payload["order_id"] for payload in payloads] == [2, 3]
    out, _ = await said(capsys, "events", "--topic", "orders.placed")
    assert len(out.splitlines()) == 3
    out, _ = await said(capsys, "events", "--topic", "orders.lost")
    assert out == "no event of orders.lost is stored\n"


async def test_an_event_is_published_as_its_class_says(
    shop: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    """What does not fit, and what nobody publishes, is refused with what was probably meant."""
    values = ("order_id=7", "sku=tea", "quantity=2")
    await said(capsys, "publish", "orders.placed", *values)
    await settled(shop)
    out, _ = await said(capsys, "subscriptions", "--json")
    (one,) = json.loads(out)["subscriptions"]
    assert (one["name"], one["delivered"], one["waiting"]) == (HOLDER, 1, 0)
    _, err = await said(capsys, "publish", "orders.plced", *values, code=1)
    assert "did you mean 'orders.placed'?" in err
    _, err = await said(capsys, "publish", "orders.placed", "order_id=x", code=1)
    assert "$.order_id: Expected `int`, got `str`" in err


async def test_a_dead_letter_is_shown_mended_and_replayed(
    shop: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the beginning of its id; it arrives with what was changed."""
    await shop.call("orders.place", {"order_id": 1, "quantity": -1})
    await settled(shop)
    out, _ = await said(capsys, "dead", "list", "--json")
    (letter,) = json.loads(out)["dead"]
    assert letter["subscription"] == HOLDER
    out, _ = await said(capsys, "dead", "show", letter["id"][:20])
    assert "CHECK constraint failed" in out
    await said(capsys, "dead", "edit", letter["id"], "quantity=5")
    await said(capsys, "dead", "replay", letter["id"])
    await settled(shop)
    assert await said(capsys, "dead", "list") == ("no dead letter\n", "")
    _, err = await said(capsys, "dead", "replay", letter["id"], code=1)
    assert "no dead letter's id begins so" in err


async def test_an_edit_that_its_subscription_could_not_read_is_refused(
    shop: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be dead again at once."""
    await shop.call("orders.place", {"order_id": 1, "quantity": -1})
    await settled(shop)
    (letter,) = await shop.deliveries.letters()
    _, err = await said(capsys, "dead", "edit", letter.id, "quantity=many", code=1)
    assert "quantity" in err
    assert json.loads((await shop.deliveries.letters())[0].event.payload)["quantity"] == -1


async def test_dead_letters_are_dropped_by_a_filter(
    shop: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that it lets through, and only if that is said."""
    for order_id in (1, 2):
        await shop.call("orders.place", {"order_id": order_id, "quantity": -1})
    await settled(shop)
    await said(capsys, "dead", "drop", code=2)
    out, _ = await said(capsys, "dead", "drop", "--all", "--topic", "orders.lost")
    assert out == "no dead letter is like that\n"
    out, _ = await said(capsys, "dead", "drop", "--all", "--subscription", HOLDER, "--json")
    assert json.loads(out)["count"] == 2
    assert await shop.deliveries.letters() == []


async def test_a_subscription_is_paused_and_resumed(
    shop: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its events wait meanwhile, and are delivered afterwards."""
    await said(capsys, "subscriptions", "pause", HOLDER)
    await shop.call("orders.place", {"order_id": 1, "quantity": 1})
    out, _ = await said(capsys, "subscriptions")
    assert "paused" in out
    assert "1 waiting" in out
    await said(capsys, "subscriptions", "resume", HOLDER)
    await settled(shop)
    (one,) = await shop.deliveries.subscriptions()
    assert (one.state, one.waiting, one.delivered) == ("active", 0, 1)
    _, err = await said(capsys, "subscriptions", "forget", HOLDER, code=1)
    assert "it is declared" in err
    _, err = await said(capsys, "subscriptions", "pause", "inventory.hold.hald", code=1)
    assert f"did you mean {HOLDER!r}?" in err


async def test_why_leads_from_a_dead_letter_to_the_call(
    shop: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    """The call, its event, the delivery, the attempt and the line that failed, each below its
    cause."""
    await shop.call("orders.place", {"order_id": 1, "quantity": -1})
    await settled(shop)
    (letter,) = await shop.deliveries.letters()
    out, _ = await said(capsys, "why", letter.id, "--json")
    steps = {step["id"]: step for step in json.loads(out)["steps"]}
    chain = [steps[letter.id]]
    while chain[-1]["cause"] in steps:
        chain.append(steps[chain[-1]["cause"]])
    assert [step["what"] for step in chain] == [
        HOLDER,
        "orders.placed",
        "db.transaction",
        "call orders.place",
    ]
    attempts = [step for step in steps.values() if step["cause"] == letter.id]
    assert [step["state"] for step in attempts] == ["failed"]
    assert "hold.py" in attempts[0]["where"]
    out, _ = await said(capsys, "why", letter.id)
    assert "to inventory.hold.hold  dead" in out
    _, err = await said(capsys, "why", "ffffffffffff", code=1)
    assert "nothing that is kept has it" in err


async def test_what_changes_something_is_on_record(
    shop: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who published, paused, mended; of payloads the names alone."""
    await said(capsys, "publish", "orders.placed", "order_id=7", "sku=tea", "quantity=2")
    await said(capsys, "subscriptions", "pause", HOLDER)
    out, _ = await said(capsys, "audit", "--json")
    records = json.loads(out)["records"]
    assert [record["what"] for record in records] == [
        "publish orders.placed",
        f"subscriptions pause {HOLDER}",
    ]
    assert records[0]["arguments"] == ["order_id", "sku", "quantity"]

"""What is wrong with events and subscriptions, RF122 to RF127, found before anything starts."""

from pathlib import Path

import pytest

from ringfence.app import check
from tests.kernel.apps import feature, found, running, write

ORDERS = "domains/orders/place.py"
STOCK = "domains/stock/hold.py"
HELPER = """
from msgspec import Struct

from ringfence import event


@event("orders.placed")
class Placed(Struct):
    sku: str
"""


def publisher(
    declared: str = '"orders.placed", key="sku"', fields: str = "sku: str; n: int", more: str = ""
) -> str:
    """Return a feature that may publish one event."""
    return feature(f"""
@event({declared})
class Placed(Struct):
    {fields}

{more}

class Place(Plugin):
    @service("orders.one")
    async def one(self) -> int:
        return 1
""")


def subscriber(
    on: str = '"orders.placed"', parameters: str = "placed: Placed", fields: str = "sku: str"
) -> str:
    """Return a feature of another domain that subscribes."""
    return feature(f"""
class Placed(Struct):
    {fields}

class Hold(Plugin):
    db: Database

    @on({on})
    async def hold(self, {parameters}) -> None: ...
""")


def told(root: Path, orders: str, stock: str) -> list[tuple[str, str]]:
    """Return rule and message of each finding."""
    return [(f.rule, f.message) for f in found(root, {ORDERS: orders, STOCK: stock})]


def test_a_publisher_and_its_subscriber_have_no_findings(tmp_path: Path) -> None:
    """A reader takes the fields that it needs, and no more."""
    assert told(tmp_path, publisher(), subscriber()) == []


@pytest.mark.parametrize(
    "orders, said",
    [
        (publisher('"orders.placed", key="skü"'), "no field 'skü' to be its key"),
        (publisher('"orders.placed", key="skuu"'), "did you mean 'sku'?"),
        (publisher('"orders.placed", version=0'), "expected a version from 1 on, got 0"),
        (publisher('"orders.placed", when_full="wait"'), "drop_oldest, drop_newest, got 'wait'"),
        (publisher(fields="sku: str; n: 'Nowhere'"), "a field of no schema"),
        (
            publisher(more='@upcast("orders.placed", 1)\ndef up(old: dict) -> dict: ...'),
            "@upcast on up: expected a version before 1, got 1",
        ),
        (
            publisher(more='@upcast("orders.place", 1)\ndef up(old: dict) -> dict: ...'),
            "no event here has the topic orders.place; did you mean 'orders.placed'?",
        ),
        (
            publisher(
                '"orders.placed", version=2',
                more='@upcast("orders.placed", 1)\ndef up(old: dict) -> dict: ...\n'
                '@upcast("orders.placed", 1)\ndef again(old: dict) -> dict: ...',
            ),
            "there is another step from version 1",
        ),
    ],
)
def test_a_wrong_event_costs_its_plugin(tmp_path: Path, orders: str, said: str) -> None:
    """It is quarantined, and its subscribers do not count as wrong."""
    ((rule, message),) = told(tmp_path, orders, subscriber())
    assert rule == "RF122"
    assert said in message


@pytest.mark.parametrize(
    "stock, said",
    [
        (subscriber(parameters=""), "it takes no event"),
        (subscriber(parameters="a: str, b: int"), "one parameter for it, got a, b"),
        (subscriber(parameters="placed: Placed, user: Principal"), "nobody asks for a delivery"),
        (subscriber('"orders.placed", retries=-1'), "expected retries from 0 to 100, got -1"),
        (subscriber('"orders.placed", concurrency=65'), "concurrency from 1 to 64, got 65"),
        (subscriber('"Orders.placed"'), "'Orders.placed' is no pattern of topics"),
        (subscriber('"orders.**.x"'), "'orders.**.x' is no pattern of topics"),
        (
            subscriber('"orders.placed", broadcast=True', "placed: Placed, tx: Transaction"),
            "a broadcast is not stored, and cannot end with a Transaction",
        ),
        (
            subscriber('"orders.placed")\n    @on("orders.*"'),
            "it has two @on",
        ),
        (
            subscriber('"orders.placed")\n    @service("stock.hold"', "delivery: Delivery"),
            "a delivery comes in by @on alone",
        ),
    ],
)
def test_a_handler_that_cannot_be_one_costs_its_plugin(
    tmp_path: Path, stock: str, said: str
) -> None:
    """With what to write instead."""
    ((rule, message),) = told(tmp_path, publisher(), stock)
    assert rule == "RF127"
    assert said in message


@pytest.mark.parametrize(
    "orders, stock, rule, said",
    [
        (
            publisher('"placed"'),
            subscriber('"*"'),
            "RF123",
            "'placed' is no topic; expected orders",
        ),
        (publisher('"stock.placed"'), subscriber('"stock.*"'), "RF123", "belongs to domain stock"),
        (publisher(), subscriber('"orders.plced"'), "RF125", "did you mean 'orders.placed'?"),
        (publisher(), subscriber('"order.**"'), "RF125", "which nobody here publishes"),
        (publisher(), subscriber(fields="sku: str; count: int"), "RF126", "count"),
        (publisher(), subscriber(fields="sku: int"), "RF126", "sku"),
        (
            publisher(),
            subscriber('"orders.**"', fields="sku: int"),
            "RF126",
            "view of orders.placed",
        ),
    ],
)
def test_what_does_not_meet_refuses_the_start(
    tmp_path: Path, orders: str, stock: str, rule: str, said: str
) -> None:
    """Topics outside their domain, patterns that meet nothing, views that do not fit."""
    findings = told(tmp_path, orders, stock)
    assert [r for r, _ in findings] == [rule]
    assert said in findings[0][1]


def test_two_classes_for_one_topic_refuse_the_start(tmp_path: Path) -> None:
    """Whoever publishes it from two features keeps its class in a helper of the domain."""
    files = {ORDERS: publisher(), "domains/orders/again.py": publisher().replace(".one", ".two")}
    (one,) = found(tmp_path, files)
    assert one.rule == "RF124"
    assert "domains/orders/again.py" in one.message
    shared = feature("""
        from domains.orders._events import Placed

        class Place(Plugin):
            @service("orders.{name}")
            async def one(self) -> int:
                return 1
    """)
    files = {
        "domains/orders/_events.py": HELPER,
        ORDERS: shared.replace("{name}", "one"),
        "domains/orders/again.py": shared.replace("{name}", "two"),
    }
    assert found(tmp_path / "shared", files) == []


def test_a_topic_of_a_file_that_does_not_load_is_not_missing(tmp_path: Path) -> None:
    """Its name is known from its text; of one that cannot be parsed, its domain counts."""
    broken = publisher() + "\nimport nothing_of_that_name\n"
    assert [rule for rule, _ in told(tmp_path, broken, subscriber())] == ["RF102"]
    unread = publisher() + "\ndef (:\n"
    assert [rule for rule, _ in told(tmp_path / "unread", unread, subscriber())] == ["RF102"]


@pytest.mark.anyio
async def test_a_shared_event_is_published_by_each_feature_of_its_domain(tmp_path: Path) -> None:
    """And everybody who subscribes gets what any of them publishes."""
    shared = feature("""
        from ringfence.tools.events import Events
        from domains.orders._events import Placed

        class Place(Plugin):
            events: Events

            @service("orders.{name}")
            async def one(self) -> None:
                await self.events.publish(Placed("{name}"))
    """)
    files = {
        "domains/orders/_events.py": HELPER,
        ORDERS: shared.replace("{name}", "one"),
        "domains/orders/again.py": shared.replace("{name}", "two"),
        STOCK: subscriber(),
    }
    async with running(tmp_path, files) as app:
        await app.call("orders.one")
        await app.call("orders.two")
        await app.settled()
        assert app.published("orders.placed") == [{"sku": "one"}, {"sku": "two"}]
        assert (await app.subscriptions())["stock.hold.hold"].delivered == 2


def test_findings_are_told_without_starting_anything(tmp_path: Path) -> None:
    """No database is made by `ringfence check`."""
    root = write(tmp_path, {ORDERS: publisher(), STOCK: subscriber()})
    assert check(root) == []
    assert not (root / "data").exists()

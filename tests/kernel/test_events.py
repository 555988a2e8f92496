"""Events from publisher to handler: order, retries, dead letters, pauses, windows, and stops.

The store is a double in memory, which the test can look into, stop and crash; what real databases
add is tested in `tests/faults`. Time is the fake clock's.
"""

import asyncio
import sys
import types
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent, indent

import pytest

from ringfence.errors import BudgetExceeded, Invalid, NotFound, NotGranted, ToolUnavailable
from ringfence.kernel.lane import WINDOW
from ringfence.kernel.ports import Dead, Done, Pending, Running
from ringfence.testing import TestApplication
from tests.kernel.apps import feature, running
from tests.kernel.store import MemoryStore

pytestmark = pytest.mark.anyio

DRIVER = """
from typing import ClassVar
from msgspec import Struct
import stage

class Config(Struct, frozen=True):
    pass

class Driver:
    Config: ClassVar[type[Struct]] = Config
    def __init__(self, config, env): ...
    async def start(self): ...
    async def stop(self): ...
    def handle(self, grant): raise NotImplementedError
    def events(self): return stage.store
"""
ORDERS = feature("""
    from ringfence.tools.events import Events

    @event("orders.placed", key="sku")
    class Placed(Struct, frozen=True):
        sku: str
        n: int = 0

    @event("orders.shipped")
    class Shipped(Struct, frozen=True):
        n: int

    @event("orders.seen", durable=False)
    class Seen(Struct, frozen=True):
        n: int

    class Place(Plugin):
        events: Events

        @service("orders.place")
        async def place(self, sku: str, n: int) -> str:
            return await self.events.publish(Placed(sku, n))

        @service("orders.ship")
        async def ship(self, n: int, delay_s: float | None = None) -> str:
            return await self.events.publish(Shipped(n), delay_s=delay_s)

        @service("orders.ship_many")
        async def ship_many(self, many: int) -> None:
            for n in range(many):
                await self.events.publish(Shipped(n))
""")
READERS = """
    import stage

    class Placed(Struct):
        sku: str
        n: int

    class Numbered(Struct):
        n: int
"""


class Stage(types.ModuleType):
    """What features of a test share with it: a list to write to, and what a test lets them do."""

    def __init__(self) -> None:
        super().__init__("stage")
        self.said: list[object] = []
        self.store = MemoryStore()
        self.failing: dict[object, Exception] = {}
        self.gate = asyncio.Event()
        self.running = 0
        self.most = 0

    async def hear(self, what: object) -> None:
        """What a handler does: fail as the test wants, or write down what it got."""
        if what in self.failing:
            self.said.append(f"failed {what}")
            raise self.failing[what]
        self.said.append(what)

    async def linger(self, what: object) -> None:
        """Stay until the test opens the gate."""
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate.wait()
            self.said.append(what)
        finally:
            self.running -= 1


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage()
    monkeypatch.setitem(sys.modules, "stage", made)
    return made


def listening(body: str) -> str:
    """Return a feature of another domain with these methods."""
    methods = indent(dedent(body).strip(), "    ")
    return feature(f"{dedent(READERS)}\n\nclass Listen(Plugin):\n{methods}\n")


PLACED = listening("""
@on("orders.placed", retries=2)
async def take(self, placed: Placed) -> None:
    await stage.hear((placed.sku, placed.n))
""")
SHIPPED = listening("""
@on("orders.shipped", retries=2, concurrency=4)
async def take(self, shipped: Numbered) -> None:
    await stage.hear(shipped.n)
""")
SLOW = listening("""
@on("orders.shipped", concurrency=4)
async def take(self, shipped: Numbered) -> None:
    await stage.linger(shipped.n)
""")


@asynccontextmanager
async def shop(
    root: Path, listener: str, *, drain_timeout: float = 0.1, **tables: Mapping[str, object]
) -> AsyncIterator[TestApplication]:
    """Boot the orders and one listener, with a store in memory."""
    files = {
        "domains/orders/place.py": ORDERS,
        "domains/stock/listen.py": listener,
        "tools/db/drivers/memory.py": DRIVER,
    }
    outbox = {"tools": {"outbox": {"tool": "db", "driver": "memory"}}}
    given = {**outbox, **tables}
    async with running(root, files, overrides=given, drain_timeout=drain_timeout) as app:
        yield app


# ---- from publisher to handler


async def test_what_is_published_reaches_its_subscription(tmp_path: Path, stage: Stage) -> None:
    """In the reader's own class, with the fields that it wants."""
    async with shop(tmp_path, SHIPPED) as app:
        await app.call("orders.ship", n=7)
        await app.settled()
        assert stage.said == [7]
        assert [row.state for row in stage.store.rows] == [Done(app.clock.now())]
        assert app.published("orders.*") == [{"n": 7}]


async def test_a_wildcard_meets_every_topic_that_fits_and_tells_them_apart(
    tmp_path: Path, stage: Stage
) -> None:
    """By the delivery, which knows topic, payload and how often it was tried."""
    listener = listening("""
    @on("orders.**")
    async def take(self, delivery: Delivery) -> None:
        stage.said.append((delivery.topic, delivery.attempt, delivery.read(dict)))
    """)
    async with shop(tmp_path, listener) as app:
        await app.call("orders.ship", n=1)
        await app.call("orders.place", sku="a", n=2)
        await app.settled()
        assert stage.said == [
            ("orders.shipped", 1, {"n": 1}),
            ("orders.placed", 1, {"sku": "a", "n": 2}),
        ]


async def test_a_def_handler_gets_its_deliveries_on_a_thread(tmp_path: Path, stage: Stage) -> None:
    """With the same values as an async one."""
    listener = listening("""
    @on("orders.shipped")
    def take(self, shipped: Numbered, delivery: Delivery, ctx: Context) -> None:
        stage.said.append((shipped.n, delivery.publisher, ctx.operation))
    """)
    async with shop(tmp_path, listener) as app:
        await app.call("orders.ship", n=1)
        await app.settled()
        assert stage.said == [(1, "orders.place", "stock.listen.take")]


async def test_a_delivery_goes_on_with_the_trace_of_its_event(tmp_path: Path, stage: Stage) -> None:
    """Its root is caused by the span that published, and says which event it delivers."""
    async with shop(tmp_path, SHIPPED) as app:
        event_id = await app.call("orders.ship", n=1)
        await app.settled()
        by_operation = {span.operation: span for span in app.spans}
        cause, effect = by_operation["orders.ship"], by_operation["stock.listen.take"]
        assert effect.trace_id == cause.trace_id
        assert effect.parent_span_id == cause.span_id
        assert effect.origin == "on orders.shipped"
        assert (effect.event, effect.attempt) == (f"orders.shipped {event_id}", 1)


async def test_a_delayed_event_waits_for_its_time(tmp_path: Path, stage: Stage) -> None:
    """And not a moment longer."""
    async with shop(tmp_path, SHIPPED) as app:
        await app.call("orders.ship", n=1, delay_s=60.0)
        await app.clock.elapse(59)
        assert stage.said == []
        await app.clock.elapse(1)
        await app.settled()
        assert stage.said == [1]


async def test_an_event_of_another_domain_cannot_be_published(tmp_path: Path, stage: Stage) -> None:
    """Nor anything that is no event."""
    listener = feature("""
        from ringfence.tools.events import Events

        @event("stock.held")
        class Held(Struct):
            n: int

        class Theirs(Struct):
            n: int

        class Cheat(Plugin):
            events: Events

            @service("stock.cheat")
            async def cheat(self) -> None:
                await self.events.publish(Theirs(1))

            @service("stock.hold")
            async def hold(self) -> None:
                await self.events.publish(Held(1))
    """)
    async with shop(tmp_path, listener) as app:
        with pytest.raises(NotGranted, match=r'published Theirs.*\n?.*@event\("stock\.'):
            await app.call("stock.cheat")
        await app.call("stock.hold")
        assert app.published("**") == [{"n": 1}]


async def test_the_test_kit_publishes_as_features_do(tmp_path: Path, stage: Stage) -> None:
    """A wrong topic and a wrong payload are told at once."""
    async with shop(tmp_path, SHIPPED) as app:
        await app.publish("orders.shipped", n=3)
        with pytest.raises(NotFound, match=r"did you mean .orders.shipped."):
            await app.publish("orders.shiped", n=3)
        with pytest.raises(Invalid):
            await app.publish("orders.shipped", n="three")
        await app.settled()
        assert stage.said == [3]


# ---- order, retries, dead letters


async def test_of_one_key_deliveries_run_in_order_retries_included(
    tmp_path: Path, stage: Stage
) -> None:
    """While one is tried again its followers wait, and other keys go on."""
    async with shop(tmp_path, PLACED) as app:
        stage.failing["a", 1] = RuntimeError("not yet")
        for sku, n in [("a", 1), ("a", 2), ("b", 1), ("a", 3), ("b", 2)]:
            await app.call("orders.place", sku=sku, n=n)
        await app.settled()
        assert stage.said == ["failed ('a', 1)", ("b", 1), ("b", 2)]
        stage.failing.clear()
        await app.clock.elapse(2)
        await app.settled()
        assert stage.said[3:] == [("a", 1), ("a", 2), ("a", 3)]


async def test_what_fails_too_often_is_a_dead_letter_and_its_key_goes_on(
    tmp_path: Path, stage: Stage
) -> None:
    """It says why, and can be repaired and replayed."""
    async with shop(tmp_path, PLACED) as app:
        stage.failing["a", 1] = RuntimeError("it is poisoned")
        for n in (1, 2):
            await app.call("orders.place", sku="a", n=n)
        for _ in range(3):
            await app.settled()
            await app.clock.elapse(300)
        await app.settled()
        assert stage.said == ["failed ('a', 1)"] * 3 + [("a", 2)]
        (letter,) = await app.dead_letters()
        assert letter.state.error == "RuntimeError: it is poisoned"
        assert (letter.attempts, letter.subscription) == (3, "stock.listen.take")
        assert (await app.subscriptions())["stock.listen.take"].dead == 1
        stage.failing.clear()
        await stage.store.replay([letter.id])
        await app.settled()
        assert stage.said[-1] == ("a", 1)
        assert not await app.dead_letters()


async def test_a_payload_that_does_not_fit_is_a_dead_letter_at_once(
    tmp_path: Path, stage: Stage
) -> None:
    """No later attempt reads it either; its fault is named, and its failure is in its trace."""
    listener = listening("""
    @on("orders.shipped")
    async def take(self, shipped: Numbered) -> None:
        await stage.hear(shipped.n)
    """).replace(
        "class Numbered(Struct):\n    n: int",
        ("class Numbered(Struct):\n    n: Annotated[int, Meta(le=5)]"),
    )
    async with shop(tmp_path, listener) as app:
        await app.call("orders.ship", n=6)
        await app.settled()
        (letter,) = await app.dead_letters()
        assert "$.n: Expected `int` <= 5" in letter.state.error
        assert letter.attempts == 1
        failed = [span for span in app.spans if span.failure]
        assert [span.trace_id for span in failed] == [letter.envelope.trace_id]


async def test_events_that_cause_each_other_without_end_are_stopped(
    tmp_path: Path, stage: Stage
) -> None:
    """After sixteen deliveries in a row; the dead letter shows the circle."""
    listener = feature("""
        from ringfence.tools.events import Events
        import stage

        @event("stock.echo")
        class Echo(Struct):
            n: int

        class Listen(Plugin):
            events: Events

            @on("orders.shipped")
            async def first(self, delivery: Delivery) -> None:
                await self.events.publish(Echo(0))

            @on("stock.echo")
            async def again(self, echo: Echo) -> None:
                stage.said.append(echo.n)
                await self.events.publish(Echo(echo.n + 1))
    """)
    async with shop(tmp_path, listener) as app:
        await app.call("orders.ship", n=1)
        await app.settled()
        assert stage.said == list(range(15))
        (letter,) = await app.dead_letters()
        assert "16 deliveries from its origin" in letter.state.error
        assert "orders.shipped → stock.echo → stock.echo" in letter.state.error


async def test_events_that_multiply_are_stopped_by_their_allowance(
    tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one event may cause is split among its effects, however few hops they are away."""
    monkeypatch.setattr("ringfence.kernel.publisher.ALLOWANCE", 100)
    listener = feature("""
        from ringfence.tools.events import Events
        import stage

        @event("stock.spawn")
        class Spawn(Struct):
            n: int

        class Listen(Plugin):
            events: Events

            @on("orders.shipped")
            async def first(self, delivery: Delivery) -> None:
                await self.events.publish(Spawn(0))

            @on("stock.spawn")
            async def again(self, spawn: Spawn) -> None:
                stage.said.append(spawn.n)
                for _ in range(6):
                    await self.events.publish(Spawn(spawn.n + 1))
    """)
    async with shop(tmp_path, listener) as app:
        await app.call("orders.ship", n=1)
        await app.settled()
        assert 10 < len(stage.said) <= 500, "at most its allowance at each of a few hops"
        letters = await app.dead_letters()
        assert {letter.state.error.partition(":")[0] for letter in letters} == {
            "the events that its origin may cause are spent"
        }


# ---- infrastructure


async def test_a_subscription_whose_infrastructure_fails_is_paused_probed_and_resumed(
    tmp_path: Path, stage: Stage
) -> None:
    """Nothing is charged, nothing is lost: what waited is delivered when it is back."""
    async with shop(tmp_path, SHIPPED) as app:
        down = ToolUnavailable("the warehouse does not answer", subject="fetch")
        stage.failing |= dict.fromkeys(range(20), down)
        for n in range(20):
            await app.call("orders.ship", n=n)
        await app.settled()
        status = (await app.subscriptions())["stock.listen.take"]
        assert (status.state, status.waiting, status.dead) == ("paused", 20, 0)
        assert "the warehouse does not answer" in status.reason
        tried = len(stage.said)
        assert tried < 10
        await app.clock.elapse(3600)
        await app.settled()
        assert len(stage.said) - tried < 60, "a paused subscription is probed, not hammered"
        stage.failing.clear()
        await app.clock.elapse(900)
        await app.settled()
        assert sorted(n for n in stage.said if isinstance(n, int)) == list(range(20))
        assert (await app.subscriptions())["stock.listen.take"].state == "active"
        assert not await app.dead_letters()


async def test_a_store_that_is_down_at_the_start_is_waited_for(
    tmp_path: Path, stage: Stage
) -> None:
    """The application starts, refuses to publish, and delivers once the store is back."""
    stage.store.down = True
    async with shop(tmp_path, SHIPPED) as app:
        with pytest.raises(ToolUnavailable):
            await app.call("orders.ship", n=1)
        stage.store.down = False
        await app.clock.elapse(2)
        await app.call("orders.ship", n=1)
        await app.settled()
        assert stage.said == [1]


async def test_what_cannot_be_written_down_is_not_forgotten(tmp_path: Path, stage: Stage) -> None:
    """The store fails between the handler and its mark: it is tried until it succeeds."""
    async with shop(tmp_path, SLOW) as app:
        await app.call("orders.ship", n=1)
        await app.clock.settle()
        stage.store.down = True
        stage.gate.set()
        await app.clock.settle()
        assert [row.state for row in stage.store.rows] == [Running()]
        stage.store.down = False
        await app.clock.elapse(2)
        await app.settled()
        assert stage.said == [1]
        assert isinstance(stage.store.rows[0].state, Done)


# ---- windows


async def test_a_slow_handler_holds_a_window_of_a_flood_and_no_more(
    tmp_path: Path, stage: Stage
) -> None:
    """The rest stays in the store; the publisher is not held up; all of it is delivered."""
    async with shop(tmp_path, SLOW, budgets={"default": {"events": 10_000}}) as app:
        await app.call("orders.ship_many", many=1000)
        await app.clock.settle()
        in_hand = sum(row.state == Running() for row in stage.store.rows)
        assert in_hand <= WINDOW
        assert stage.most == 4
        stage.gate.set()
        await app.settled()
        assert sorted(stage.said) == list(range(1000))  # type: ignore[type-var]
        assert stage.most == 4


async def test_a_key_that_is_tried_again_holds_one_place_of_the_window(
    tmp_path: Path, stage: Stage
) -> None:
    """Hundreds of its followers stay in the store, and the good ones are delivered."""
    async with shop(tmp_path, PLACED) as app:
        stage.failing["hot", 0] = RuntimeError("no")
        for n in range(300):
            await app.call("orders.place", sku="hot", n=n)
        for n in range(100):
            await app.call("orders.place", sku=f"good{n}", n=n)
        await app.settled()
        assert len(stage.said) == 101
        stage.failing.clear()
        await app.clock.elapse(2)
        await app.settled()
        assert stage.said[101:] == [("hot", n) for n in range(300)]


async def test_what_is_not_stored_is_dropped_beyond_the_window(
    tmp_path: Path, stage: Stage
) -> None:
    """The oldest first, unless the event says otherwise; what was dropped is counted."""
    listener = listening("""
    @on("orders.seen", concurrency=1)
    async def take(self, seen: Numbered) -> None:
        await stage.linger(seen.n)
    """)
    async with shop(tmp_path, listener) as app:
        for n in range(100):
            await app.publish("orders.seen", n=n)
        await app.clock.settle()
        assert stage.store.rows == []
        stage.gate.set()
        await app.settled()
        assert stage.said == [0, *range(100 - WINDOW, 100)]
        status = (await app.subscriptions())["stock.listen.take"]
        assert (status.delivered, status.dropped) == (WINDOW + 1, 99 - WINDOW)


async def test_a_broadcast_reaches_this_process_and_leaves_nothing_in_the_store(
    tmp_path: Path, stage: Stage
) -> None:
    """It gets what is published from now on, once."""
    listener = listening("""
    @on("orders.shipped", broadcast=True)
    async def take(self, shipped: Numbered) -> None:
        await stage.hear(shipped.n)
    """)
    async with shop(tmp_path, listener) as app:
        await app.call("orders.ship", n=1)
        await app.settled()
        assert stage.said == [1]
        assert stage.store.rows == []
        assert stage.store.subscriptions == {}


# ---- ends and beginnings


async def test_a_stop_gives_back_what_is_in_hand(tmp_path: Path, stage: Stage) -> None:
    """Uncharged: the next process delivers it as if nothing had been."""
    async with shop(tmp_path, SLOW) as app:
        for n in range(10):
            await app.call("orders.ship", n=n)
        await app.clock.settle()
        assert stage.running == 4
    assert stage.running == 0
    assert [(row.state, row.attempts) for row in stage.store.rows] == [(Pending(), 0)] * 10
    stage.gate.set()
    async with shop(tmp_path, SLOW) as app:
        await app.settled()
    assert sorted(stage.said) == list(range(10))  # type: ignore[type-var]


async def test_after_a_crash_suspects_run_one_at_a_time_and_alone_are_charged(
    tmp_path: Path, stage: Stage
) -> None:
    """Each attempt is written down before it begins; what never ran is charged nothing."""
    async with shop(tmp_path, SLOW) as app:
        for n in range(6):
            await app.call("orders.ship", n=n)
        await app.clock.settle()
        crashed = stage.store.crash()
    stage.store, stage.gate, stage.most = crashed, asyncio.Event(), 0
    async with shop(tmp_path, SLOW) as app:
        await app.clock.settle()
        assert [row.attempts for row in crashed.rows] == [1, 0, 0, 0, 0, 0]
        await app.call("orders.ship", n=6)
        await app.clock.settle()
        assert stage.most == 1, "nothing runs beside a suspect"
        stage.gate.set()
        await app.settled()
        assert sorted(stage.said) == list(range(7))  # type: ignore[type-var]


async def test_a_suspect_that_has_killed_too_many_processes_is_a_dead_letter(
    tmp_path: Path, stage: Stage
) -> None:
    """Its neighbours are delivered."""
    async with shop(tmp_path, SLOW) as app:
        for n in range(2):
            await app.call("orders.ship", n=n)
        await app.clock.settle()
        crashed = stage.store.crash()
    crashed.rows[0].attempts = 6  # of five retries
    stage.store = crashed
    stage.gate.set()
    async with shop(tmp_path, SLOW) as app:
        await app.settled()
        (letter,) = await app.dead_letters()
        assert letter.state.error == "the process ended 6 times while it ran"
    assert stage.said == [1]


async def test_a_quarantined_plugin_keeps_its_subscription_and_its_backlog(
    tmp_path: Path, stage: Stage
) -> None:
    """Paused, it says why; once the file is mended, all of it is delivered."""
    broken = SHIPPED.replace("import stage", "import stage, nothing_of_that_name")
    async with shop(tmp_path, broken) as app:
        await app.call("orders.ship", n=1)
        await app.settled()
        status = (await app.subscriptions())["stock.listen.take"]
        assert (status.state, status.waiting) == ("paused", 1)
        assert status.reason == "stock.listen is quarantined"
    async with shop(tmp_path, SHIPPED) as app:
        await app.settled()
    assert stage.said == [1]


async def test_a_plugin_that_fails_to_start_gets_no_deliveries(
    tmp_path: Path, stage: Stage
) -> None:
    """Its subscription is paused like that of one that cannot be imported."""
    broken = SHIPPED + "\n    def start(self) -> None:\n        raise OSError('no licence')\n"
    async with shop(tmp_path, broken) as app:
        await app.call("orders.ship", n=1)
        await app.settled()
        assert (await app.subscriptions())["stock.listen.take"].state == "paused"
    assert stage.said == []


async def test_a_subscription_that_is_gone_is_shown_with_what_it_left(
    tmp_path: Path, stage: Stage
) -> None:
    """Until an operator forgets it."""
    async with shop(tmp_path, SLOW) as app:
        await app.call("orders.ship", n=1)
    renamed = SHIPPED.replace("def take", "def hold")
    async with shop(tmp_path, renamed) as app:
        found = await app.subscriptions()
        assert found["stock.listen.hold"].state == "active"
        assert (found["stock.listen.take"].state, found["stock.listen.take"].waiting) == (
            "removed",
            1,
        )


async def test_a_new_subscription_begins_now_or_on_request_at_the_beginning(
    tmp_path: Path, stage: Stage
) -> None:
    """Of what is kept."""
    async with shop(tmp_path, SHIPPED) as app:
        await app.call("orders.ship", n=1)
        await app.settled()
    stage.said.clear()
    since = listening("""
    @on("orders.shipped", since="beginning")
    async def again(self, shipped: Numbered) -> None:
        await stage.hear(shipped.n)

    @on("orders.shipped")
    async def late(self, shipped: Numbered) -> None:
        await stage.hear(f"late {shipped.n}")
    """)
    async with shop(tmp_path, since) as app:
        await app.settled()
        assert stage.said == [1]


async def test_what_a_plugin_publishes_in_its_start_is_kept(tmp_path: Path, stage: Stage) -> None:
    """Subscriptions are known before the first plugin starts; deliveries come after the last."""
    starting = SHIPPED + ("\n    def start(self) -> None:\n        stage.said.append('started')\n")
    orders = ORDERS + "\n    async def start(self) -> None:\n        await self.ship(9)\n"
    files = {
        "domains/orders/place.py": orders,
        "domains/stock/listen.py": starting,
        "tools/db/drivers/memory.py": DRIVER,
    }
    outbox = {"tools": {"outbox": {"tool": "db", "driver": "memory"}}}
    async with running(tmp_path, files, overrides=outbox) as app:
        await app.settled()
        assert stage.said == ["started", 9]


async def test_an_application_without_events_has_no_store_and_no_timers(tmp_path: Path) -> None:
    """Nothing of it runs."""
    plain = feature("""
        class Plain(Plugin):
            @service("plain.one")
            async def one(self) -> int:
                return 1
    """)
    async with running(tmp_path, {"domains/plain/one.py": plain}) as app:
        assert app.clock.waiting == 0
        assert app.published("**") == []
        await app.settled()
        with pytest.raises(NotFound, match="declares no event and no subscription"):
            await app.publish("plain.done")


async def test_an_older_payload_is_brought_up_to_the_version_of_today(
    tmp_path: Path, stage: Stage
) -> None:
    """Step by step; where a step is missing, the dead letter says which."""
    async with shop(tmp_path, SLOW) as app:
        await app.call("orders.ship", n=1)
    newer = ORDERS.replace('@event("orders.shipped")', '@event("orders.shipped", version=3)')
    newer = newer.replace(
        "class Shipped(Struct, frozen=True):\n    n: int",
        "class Shipped(Struct, frozen=True):\n    number: int",
    )
    steps = """
class One(Struct):
    n: int

@upcast("orders.shipped", 1)
def named(old: One) -> dict[str, int]:
    return {"called": old.n}
"""
    last = """
@upcast("orders.shipped", 2)
def numbered(old: dict[str, int]) -> Shipped:
    return Shipped(old["called"])
"""
    listener = SHIPPED.replace("    n: int", "    number: int").replace(
        "shipped.n)", "shipped.number)"
    )
    outbox = {"tools": {"outbox": {"tool": "db", "driver": "memory"}}}
    files = {
        "domains/orders/place.py": newer + steps,
        "domains/stock/listen.py": listener,
        "tools/db/drivers/memory.py": DRIVER,
    }
    async with running(tmp_path, files, overrides=outbox) as app:
        await app.settled()
        (letter,) = await app.dead_letters()
        assert "nothing leads from there to 3" in letter.state.error
        assert '@upcast("orders.shipped", 2)' in letter.state.error
    files["domains/orders/place.py"] = newer + steps + last
    async with running(tmp_path, files, overrides=outbox) as app:
        await stage.store.replay([letter.id])
        await app.settled()
    assert stage.said == [1]
    assert not isinstance(stage.store.rows[0].state, Dead)


# ---- what must not happen


async def test_a_reader_that_raises_whatever_it_likes_makes_a_dead_letter(
    tmp_path: Path, stage: Stage
) -> None:
    """A payload is read by its author's code as well; the subscription goes on."""
    listener = listening("""
    @on("orders.shipped")
    async def take(self, shipped: Numbered) -> None:
        await stage.hear(shipped.n)
    """).replace(
        "class Numbered(Struct):\n    n: int",
        "class Numbered(Struct):\n    n: int\n\n    def __post_init__(self) -> None:\n"
        "        if self.n == 1:\n            raise KeyError('no such number')",
    )
    async with shop(tmp_path, listener) as app:
        for n in (1, 2):
            await app.call("orders.ship", n=n)
        await app.settled()
        (letter,) = await app.dead_letters()
        assert letter.state.error == "KeyError: 'no such number'"
        assert stage.said == [2]


async def test_a_store_that_breaks_in_its_own_way_loses_nothing(
    tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver is somebody's code: what it raises is logged, and everything is tried again."""

    def broken(what: str) -> None:
        raise KeyError(what)

    async with shop(tmp_path, SLOW) as app:
        await app.call("orders.ship", n=1)
        await app.clock.settle()
        with monkeypatch.context() as breaking:
            breaking.setattr(stage.store, "_up", broken)
            stage.gate.set()
            await app.clock.elapse(3)
        await app.clock.elapse(2)
        await app.settled()
        assert isinstance(stage.store.rows[0].state, Done)
        await app.call("orders.ship", n=2)
        await app.settled()
        assert stage.said == [1, 2]


async def test_what_is_not_stored_cannot_be_delayed(tmp_path: Path, stage: Stage) -> None:
    """It would be lost without a word."""
    orders = ORDERS.replace(
        "async def ship(self, n: int, delay_s: float | None = None) -> str:\n"
        "        return await self.events.publish(Shipped(n)",
        "async def ship(self, n: int, delay_s: float | None = None) -> str:\n"
        "        return await self.events.publish(Seen(n)",
    )
    files = {"domains/orders/place.py": orders, "tools/db/drivers/memory.py": DRIVER}
    outbox = {"tools": {"outbox": {"tool": "db", "driver": "memory"}}}
    async with running(tmp_path, files, overrides=outbox) as app:
        await app.call("orders.ship", n=1)
        with pytest.raises(NotGranted, match=r"published orders\.seen with a delay"):
            await app.call("orders.ship", n=1, delay_s=5.0)


async def test_a_tree_of_contexts_publishes_no_more_than_its_budget(
    tmp_path: Path, stage: Stage
) -> None:
    """The budget of a request bounds its events; each delivery has one of its own."""
    limits = {"default": {"events": 3}, "events": {"events": 1}}
    async with shop(tmp_path, SHIPPED, budgets=limits) as app:
        with pytest.raises(BudgetExceeded, match="events"):
            await app.call("orders.ship_many", many=4)
        await app.settled()
        assert stage.said == [0, 1, 2]


async def test_a_delivery_that_takes_too_long_is_cancelled_and_tried_again(
    tmp_path: Path, stage: Stage
) -> None:
    """By the timeout of its `@on`, or by the wall time of the budget of events."""
    listener = listening("""
    @on("orders.shipped", timeout=2, retries=1)
    async def take(self, shipped: Numbered) -> None:
        await stage.linger(shipped.n)
    """)
    async with shop(tmp_path, listener) as app:
        await app.call("orders.ship", n=1)
        await app.clock.elapse(2)
        assert stage.running == 0
        await app.clock.elapse(10)
        await app.settled()
        (letter,) = await app.dead_letters()
        assert letter.state.error.startswith("DeadlineExceeded")
        assert letter.attempts == 2


async def test_settled_says_what_does_not_end(
    tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler that waits for the clock, or for ever, does not hang the test."""
    monkeypatch.setattr("ringfence.testing.PATIENCE_S", 0.05)
    async with shop(tmp_path, SLOW) as app:
        await app.call("orders.ship", n=1)
        with pytest.raises(TimeoutError, match=r"at work: stock\.listen\.take"):
            await app.settled()

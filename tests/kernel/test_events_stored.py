"""Events in the application's own database: with the data, exactly once, across restarts."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from ringfence.errors import TransactionHeld
from ringfence.kernel.ports import Settled, Taken
from ringfence.testing import TestApplication
from ringfence.tools.db.outbox import Outbox
from tests.kernel.apps import feature, found, running
from tests.kernel.test_events import Stage

pytestmark = pytest.mark.anyio

ORDERS = feature("""
    from ringfence.tools.events import Events

    @event("orders.placed", key="sku")
    class Placed(Struct, frozen=True):
        sku: str
        n: int

    class NoLuck(Conflict, code="orders.no_luck"):
        pass

    class Place(Plugin):
        db: Database
        events: Events

        @service("orders.place")
        async def place(self, sku: str, n: int, fail: bool, tx: Transaction) -> str:
            await tx.execute("INSERT INTO orders (sku, n) VALUES ($1, $2)", sku, n)
            id = tx.publish(Placed(sku, n))
            if fail:
                raise NoLuck("not today")
            return id

        @service("orders.tell")
        async def tell(self, sku: str, n: int) -> str:
            return await self.events.publish(Placed(sku, n))

        @service("orders.confuse")
        async def confuse(self, tx: Transaction) -> None:
            await self.events.publish(Placed("a", 1))

        @service("orders.count")
        async def count(self) -> int:
            return await self.db.fetch_value("SELECT count(*) FROM orders", into=int)
""")
STOCK = """
    import stage

    @event("stock.held")
    class Held(Struct):
        n: int

    class Placed(Struct):
        sku: str
        n: int

    class Hold(Plugin):
        db: Database

        @on("orders.placed", retries=3)
        {method}

        @service("stock.held")
        async def held(self) -> list[int]:
            rows = await self.db.fetch_all("SELECT n FROM held ORDER BY id")
            return [row["n"] for row in rows]
"""
ASYNC = """async def hold(self, placed: Placed, tx: Transaction) -> None:
            await tx.execute("INSERT INTO held (n) VALUES ($1)", placed.n)
            tx.publish(Held(placed.n))
            await stage.hear(placed.n)
"""
SYNC = """def hold(self, placed: Placed, tx: Transaction) -> None:
            wait(tx.execute("INSERT INTO held (n) VALUES ($1)", placed.n))
            tx.publish(Held(placed.n))
            if placed.n in stage.failing:
                raise stage.failing[placed.n]
"""
FILES = {
    "domains/orders/place.py": ORDERS,
    "domains/orders/migrations/20300101000000_orders.sql": (
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, sku TEXT NOT NULL, n INTEGER NOT NULL);\n"
    ),
    "domains/stock/migrations/20300101000000_held.sql": (
        "CREATE TABLE held (id INTEGER PRIMARY KEY, n INTEGER NOT NULL);\n"
    ),
}
KINDS = pytest.mark.parametrize("method", [ASYNC, SYNC], ids=["async def", "def"])


def stock(method: str) -> dict[str, str]:
    return {**FILES, "domains/stock/hold.py": feature(STOCK.replace("{method}", method))}


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage()
    monkeypatch.setitem(sys.modules, "stage", made)
    return made


async def held(app: TestApplication) -> list[int]:
    return msgspec.convert(await app.call("stock.held"), list[int])


async def place(app: TestApplication, sku: str, n: int, *, fail: bool = False) -> object:
    return await app.call("orders.place", sku=sku, n=n, fail=fail)


@KINDS
async def test_an_event_appears_with_its_data_and_reaches_its_handler_once(
    tmp_path: Path, stage: Stage, method: str
) -> None:
    """What the handler writes and publishes is kept with the mark that it is done."""
    async with running(tmp_path, stock(method)) as app:
        await asyncio.gather(*(place(app, f"s{n}", n) for n in range(40)))
        await app.settled()
        assert sorted(await held(app)) == list(range(40))
        assert len(app.published("orders.placed")) == len(app.published("stock.held")) == 40
        assert not await app.dead_letters()


async def test_an_event_of_a_transaction_that_is_rolled_back_has_never_been(
    tmp_path: Path, stage: Stage
) -> None:
    """Nor is anything delivered."""
    async with running(tmp_path, stock(ASYNC)) as app:
        with pytest.raises(Exception, match="not today"):
            await place(app, "a", 1, fail=True)
        await app.settled()
        assert await app.call("orders.count") == 0
        assert app.published("**") == []
        assert await held(app) == []


@KINDS
async def test_a_delivery_is_done_when_its_transaction_commits(
    tmp_path: Path, stage: Stage, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written down afterwards that a crash could prevent; the next of its key follows
    in the same transaction."""

    async def settle(store: Outbox, settled: Sequence[Settled]) -> Sequence[Taken]:
        raise AssertionError(f"settled beside its transaction: {settled}")

    monkeypatch.setattr(Outbox, "settle", settle)
    async with running(tmp_path, stock(method)) as app:
        for n in range(5):
            await place(app, "a", n)
        await app.settled()
        assert await held(app) == list(range(5))
        assert (await app.subscriptions())["stock.hold.hold"].waiting == 0


@KINDS
async def test_a_handler_that_fails_leaves_nothing_and_is_tried_again_in_order(
    tmp_path: Path, stage: Stage, method: str
) -> None:
    """Neither its writes nor its events; the followers of its key wait."""
    async with running(tmp_path, stock(method)) as app:
        stage.failing[1] = RuntimeError("not yet")
        for n in (1, 2, 3):
            await place(app, "a", n)
        await app.settled()
        assert await held(app) == []
        assert app.published("stock.*") == []
        stage.failing.clear()
        await app.clock.elapse(5)
        await app.settled()
        assert await held(app) == [1, 2, 3]
        assert app.published("stock.*") == [{"n": 1}, {"n": 2}, {"n": 3}]


async def test_the_mark_is_the_deliverys_own_and_not_that_of_a_service_it_calls(
    tmp_path: Path, stage: Stage
) -> None:
    """A service with a transaction, called by a delivery that fails after it, is called again."""
    caller = feature("""
        import stage

        @requires("ledger.book")
        class Book(Protocol):
            async def __call__(self, *, n: int) -> None: ...

        class Placed(Struct):
            n: int

        class Hold(Plugin):
            book: Book

            @on("orders.placed", retries=3)
            async def hold(self, placed: Placed) -> None:
                await self.book(n=placed.n)
                await stage.hear(placed.n)
    """)
    ledger = feature("""
        @event("ledger.asked")
        class Entry(Struct):
            n: int

        class Ledger(Plugin):
            db: Database

            @service("ledger.book")
            @on("ledger.asked")
            async def book(self, entry: Entry, tx: Transaction) -> None:
                await tx.execute("INSERT INTO booked (n) VALUES ($1)", entry.n)

            @service("ledger.booked")
            async def booked(self) -> int:
                return await self.db.fetch_value("SELECT count(*) FROM booked", into=int)
    """)
    files = {
        **FILES,
        "domains/stock/hold.py": caller,
        "domains/ledger/book.py": ledger,
        "domains/ledger/migrations/20300101000000_booked.sql": (
            "CREATE TABLE booked (n INTEGER NOT NULL);\n"
        ),
    }
    async with running(tmp_path, files) as app:
        stage.failing[1] = RuntimeError("after the booking")
        await place(app, "a", 1)
        await app.settled()
        assert await app.call("ledger.booked") == 1
        stage.failing.clear()
        await app.clock.elapse(5)
        await app.settled()
        assert await app.call("ledger.booked") == 2
        assert stage.said == ["failed 1", 1]


async def test_the_events_tool_is_refused_inside_a_transaction(
    tmp_path: Path, stage: Stage
) -> None:
    """It says what to use there."""
    async with running(tmp_path, stock(ASYNC)) as app:
        with pytest.raises(TransactionHeld, match=r"tx\.publish\(event\)"):
            await app.call("orders.confuse")
        await app.call("orders.tell", sku="a", n=1)
        await app.settled()
        assert await held(app) == [1]


async def test_what_waits_for_a_retry_survives_a_restart(tmp_path: Path, stage: Stage) -> None:
    """With its place in the order of its key."""
    kept = {"tools": {"db": {"path": str(tmp_path / "kept.db")}}}
    stage.failing[1] = RuntimeError("not yet")
    async with running(tmp_path, stock(ASYNC), overrides=kept) as app:
        for n in (1, 2):
            await place(app, "a", n)
        await app.settled()
    stage.failing.clear()
    async with running(tmp_path, stock(ASYNC), overrides=kept) as app:
        await app.clock.elapse(5)
        await app.settled()
        assert await held(app) == [1, 2]


async def test_a_database_of_its_own_keeps_the_events_and_takes_part_in_no_other_transaction(
    tmp_path: Path, stage: Stage
) -> None:
    """A handler whose `tx` is elsewhere could be done without its mark: that refuses the start."""
    files = {
        **stock(ASYNC),
        "ringfence.toml": '[tools.outbox]\ntool = "db"\npath = "data/outbox.db"\n',
    }
    wrong = [finding for finding in found(tmp_path, files) if finding.rule == "RF128"]
    (one,) = wrong
    assert "stock.hold.hold: tx is a transaction of db, and deliveries are kept in outbox" in (
        one.message
    )

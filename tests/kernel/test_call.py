"""What bounds and ends a call: depth, budget, deadline, cancellation, transactions, quarantine.

Everything holds on the generated call path and on the plain one; time is the fake clock's.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from ringfence import DeadlineExceeded, Invalid, PluginQuarantined, Principal, Unauthenticated
from ringfence.errors import BudgetExceeded, Overloaded, PluginFailed, TransactionHeld
from tests.kernel.apps import feature, on_both_paths, running

pytestmark = [pytest.mark.anyio, on_both_paths]


def budget(**limits: object) -> Mapping[str, object]:
    """Return the tables that give every root context this budget."""
    return {"budgets": {"default": limits}}


# ---- depth

CIRCLE = {
    f"domains/{mine}/ping.py": feature(f"""
        class Ping(Plugin):
            @service("{mine}.ping", calls=("{other}.ping",))
            async def ping(self, ctx: Context) -> None:
                await ctx.call("{other}.ping", {{}})
    """)
    for mine, other in (("a", "b"), ("b", "a"))
}


async def test_calls_in_a_circle_end_at_the_depth_limit(tmp_path: Path, call_path: str) -> None:
    """The chain is printed, so that the circle can be seen."""
    async with running(tmp_path, CIRCLE, call_path, overrides=budget(depth=3)) as app:
        with pytest.raises(BudgetExceeded) as ended:
            await app.call("a.ping")
        assert "a.ping → b.ping → a.ping → b.ping → a.ping" in ended.value.message
        assert "4 calls deep; its budget allows 3" in ended.value.message
        assert len([s for s in app.spans if s.trace_id == ended.value.trace_id]) == 4


async def test_a_long_chain_is_printed_by_its_ends(tmp_path: Path, call_path: str) -> None:
    """The default depth of 32 does not fill a screen."""
    async with running(tmp_path, CIRCLE, call_path) as app:
        with pytest.raises(BudgetExceeded, match="→ … →") as ended:
            await app.call("a.ping")
        assert "its budget allows 32" in ended.value.message


async def test_depth_is_counted_along_a_chain_not_across_it(tmp_path: Path, call_path: str) -> None:
    """Any number of calls side by side is one deep."""
    async with running(tmp_path, SPENDING, call_path, overrides=budget(depth=1)) as app:
        assert await app.call("orders.spend", many=30) == 30


# ---- budgets

SPENDING = {
    "domains/stock/count.py": feature("""
        class Count(Plugin):
            db: Database
            clock: Clock

            def start(self) -> None:
                self.seen = []

            @service("stock.one")
            async def one(self) -> int:
                return 1

            @service("stock.query")
            async def query(self) -> int:
                return await self.db.fetch_value("SELECT 1", into=int)

            @service("stock.few", budget=Budget(calls=2), calls=("stock.one",))
            async def few(self, ctx: Context, many: int, swallow: bool = False) -> str:
                for _ in range(many):
                    try:
                        await ctx.call("stock.one", {})
                    except RingfenceError:
                        if not swallow:
                            raise
                return "fine"

            @service("stock.rows", budget=Budget(queries=3))
            async def rows(self, many: int) -> int:
                for _ in range(many):
                    await self.db.fetch_value("SELECT 1")
                return many

            @service("stock.tx")
            async def in_a_transaction(self, many: int, tx: Transaction) -> int:
                await tx.execute("INSERT INTO stock_note VALUES (1)")
                for _ in range(many):
                    await tx.fetch_value("SELECT 1")
                return many

            @service("stock.notes")
            async def notes(self) -> int:
                return await self.db.fetch_value("SELECT count(*) FROM stock_note", into=int)

            @service("stock.gathered", budget=Budget(calls=5), calls=("stock.waiting",))
            async def gathered(self, ctx: Context) -> None:
                await asyncio.gather(*(ctx.call("stock.waiting", {}) for _ in range(10)))

            @service("stock.waiting")
            async def waiting(self) -> None:
                try:
                    await self.clock.sleep(1000)
                except asyncio.CancelledError:
                    self.seen.append("cancelled")
                    raise

            @service("stock.seen")
            async def was_seen(self) -> Any:
                return self.seen
    """),
    "domains/stock/migrations/20260101000000_first.sql": "CREATE TABLE stock_note (id INTEGER);",
    "domains/orders/spend.py": feature("""
        CALLS = tuple("stock." + n for n in ("one", "query", "few", "rows", "tx", "gathered"))

        class Spend(Plugin):
            clock: Clock

            @service("orders.spend", calls=CALLS)
            async def spend(self, ctx: Context, many: int, what: str = "stock.one") -> int:
                for _ in range(many):
                    await ctx.call(what, {})
                return many

            @service("orders.hand", calls=CALLS)
            async def hand(self, ctx: Context, what: str, payload: dict[str, Any]) -> Any:
                try:
                    answer = await ctx.call(what, payload)
                except RingfenceError as error:
                    answer = error.code
                return [answer, await ctx.call("stock.one", {})]

            @service("orders.swallow", calls=CALLS)
            async def swallow(self, ctx: Context, seconds: float = 0) -> str:
                try:
                    await self.spend(ctx, 9)
                except RingfenceError:
                    pass
                if seconds:
                    await self.clock.sleep(seconds)
                return "fine"
    """),
}


async def test_calls_past_the_budget_end_the_root_with_an_itemised_bill(
    tmp_path: Path, call_path: str
) -> None:
    """It says which limit, how much, and who spent it."""
    async with running(tmp_path, SPENDING, call_path, overrides=budget(calls=3)) as app:
        assert await app.call("orders.spend", many=3) == 3
        with pytest.raises(BudgetExceeded) as ended:
            await app.call("orders.spend", many=4)
        assert "calls: more than the budget of 3 was spent" in ended.value.message
        assert "3 calls by stock.one" in ended.value.message
        assert ended.value.subject == "orders.spend"
        assert ended.value.trace_id


async def test_the_bill_names_calls_alone(tmp_path: Path, call_path: str) -> None:
    """A transaction is a span too, but nothing that was called."""
    async with running(tmp_path, SPENDING, call_path, overrides=budget(calls=3)) as app:
        with pytest.raises(BudgetExceeded) as ended:
            await app.call("orders.spend", many=4, what="stock.query")
        assert "3 calls by stock.query" in ended.value.message
        payload = {"what": "stock.tx", "payload": {"many": 1}}
    async with running(tmp_path, SPENDING, call_path, overrides=budget(calls=1)) as app:
        with pytest.raises(BudgetExceeded) as ended:
            await app.call("orders.hand", **payload)
        assert "1 calls by stock.tx" in ended.value.message
        assert "db.transaction" not in ended.value.message


async def test_queries_of_the_whole_subtree_are_counted(tmp_path: Path, call_path: str) -> None:
    """What a provider asks the database is spent by whoever called it."""
    async with running(tmp_path, SPENDING, call_path, overrides=budget(queries=3)) as app:
        assert await app.call("orders.spend", many=3, what="stock.query") == 3
        with pytest.raises(BudgetExceeded) as ended:
            await app.call("orders.spend", many=4, what="stock.query")
        assert "queries: more than the budget of 3 was spent" in ended.value.message
        assert "4 queries by stock.query" in ended.value.message


async def test_a_service_may_have_a_budget_of_its_own(tmp_path: Path, call_path: str) -> None:
    """Its breach ends that call alone; its caller and its siblings go on."""
    async with running(tmp_path, SPENDING, call_path) as app:
        hand = "orders.hand"
        assert await app.call(hand, what="stock.few", payload={"many": 2}) == ["fine", 1]
        assert await app.call(hand, what="stock.few", payload={"many": 3}) == ["budget_exceeded", 1]
        assert await app.call(hand, what="stock.rows", payload={"many": 3}) == [3, 1]
        assert await app.call(hand, what="stock.rows", payload={"many": 4}) == [
            "budget_exceeded",
            1,
        ]


async def test_an_own_budget_holds_from_outside_as_well(tmp_path: Path, call_path: str) -> None:
    """Called as a root, a service has the tighter of both budgets."""
    async with running(tmp_path, SPENDING, call_path) as app:
        with pytest.raises(BudgetExceeded, match="calls: more than the budget of 2"):
            await app.call("stock.few", many=3)


async def test_what_an_own_budget_spends_is_spent_from_the_callers_too(
    tmp_path: Path, call_path: str
) -> None:
    """A purse inside a purse: the outer one's breach ends the outer context."""
    async with running(tmp_path, SPENDING, call_path, overrides=budget(calls=2)) as app:
        with pytest.raises(BudgetExceeded, match="more than the budget of 2") as ended:
            await app.call("orders.hand", what="stock.few", payload={"many": 2})
        assert ended.value.subject == "orders.hand"
    async with running(tmp_path, SPENDING, call_path, overrides=budget(queries=2)) as app:
        with pytest.raises(BudgetExceeded, match="more than the budget of 2") as ended:
            await app.call("orders.hand", what="stock.rows", payload={"many": 3})
        assert ended.value.subject == "orders.hand"


async def test_a_breach_that_is_swallowed_still_ends_its_context(
    tmp_path: Path, call_path: str
) -> None:
    """A handler cannot carry on by catching it."""
    async with running(tmp_path, SPENDING, call_path, overrides=budget(calls=3)) as app:
        with pytest.raises(BudgetExceeded, match="more than the budget of 3"):
            await app.call("orders.swallow")
    async with running(tmp_path, SPENDING, call_path) as app:
        payload = {"many": 3, "swallow": True}
        answer = await app.call("orders.hand", what="stock.few", payload=payload)
        assert answer == ["budget_exceeded", 1]


async def test_a_swallowed_breach_ends_the_next_wait(tmp_path: Path, call_path: str) -> None:
    """The context is over: nothing is waited for in it any more."""
    async with running(tmp_path, SPENDING, call_path, overrides=budget(calls=3)) as app:
        asked = asyncio.create_task(app.call("orders.swallow", seconds=1000))
        await app.clock.settle()
        assert asked.done()
        with pytest.raises(BudgetExceeded):
            await asked
        assert asked.cancelling() == 0
        assert app.clock.waiting == 0


async def test_a_breach_in_one_task_ends_the_others_of_that_branch(
    tmp_path: Path, call_path: str
) -> None:
    """Ten calls at once with a budget of five: all end, and the caller goes on."""
    async with running(tmp_path, SPENDING, call_path) as app:
        answer = await app.call("orders.hand", what="stock.gathered", payload={})
        assert answer == ["budget_exceeded", 1]
        assert await app.call("stock.seen") == ["cancelled"] * 5


async def test_a_breach_rolls_the_transaction_back(tmp_path: Path, call_path: str) -> None:
    """What the branch had written is gone."""
    async with running(tmp_path, SPENDING, call_path, overrides=budget(queries=3)) as app:
        assert await app.call("stock.tx", many=2) == 2
        with pytest.raises(BudgetExceeded):
            await app.call("stock.tx", many=3)
        assert await app.call("stock.notes") == 1


# ---- deadlines

WAITING = {
    "domains/stock/wait.py": feature("""
        class Wait(Plugin):
            clock: Clock

            def start(self) -> None:
                self.seen = []

            async def sleep(self, seconds: float, name: str) -> str:
                try:
                    await self.clock.sleep(seconds)
                except BaseException as error:
                    self.seen.append(f"{name} {type(error).__name__}")
                    raise
                self.seen.append(f"{name} done")
                return name

            @service("stock.wait")
            async def wait(self, seconds: float) -> str:
                return await self.sleep(seconds, "wait")

            @service("stock.short", timeout_s=2)
            async def short(self, seconds: float) -> str:
                return await self.sleep(seconds, "short")

            @service("stock.stubborn", timeout_s=2)
            async def stubborn(self, seconds: float) -> str:
                try:
                    await self.sleep(seconds, "stubborn")
                except asyncio.CancelledError:
                    pass
                return "fine"

            @service("stock.translating", timeout_s=2)
            async def translating(self, seconds: float) -> str:
                try:
                    await self.sleep(seconds, "translating")
                except asyncio.CancelledError:
                    raise Conflict("something else")

            @service("stock.gathered", timeout_s=2)
            async def gathered(self, seconds: float) -> None:
                await asyncio.gather(*(self.sleep(seconds, f"child {n}") for n in range(3)))

            @service("stock.orphan")
            async def orphan(self, seconds: float) -> str:
                asyncio.create_task(self.sleep(seconds, "orphan"), name="orphan")
                await asyncio.sleep(0)
                return "answered"

            @service("stock.shielded", timeout_s=2)
            async def shielded(self, seconds: float) -> None:
                await asyncio.shield(self.sleep(seconds, "shielded"))

            @service("stock.timed", timeout_s=20)
            async def timed(self) -> str:
                try:
                    async with asyncio.timeout(0):
                        await self.sleep(10, "timed")
                except TimeoutError:
                    return "timed out"
                return "fine"

            @service("stock.seen")
            async def was_seen(self) -> Any:
                return self.seen
    """),
    "domains/orders/ask.py": feature("""
        NAMES = (
            "wait", "short", "stubborn", "translating", "gathered", "orphan", "shielded"
        )
        CALLS = tuple(f"stock.{name}" for name in NAMES)

        class Ask(Plugin):
            clock: Clock

            @service("orders.ask", calls=CALLS)
            async def ask(self, ctx: Context, what: str, seconds: float = 1000) -> Any:
                try:
                    answer = await ctx.call(what, {"seconds": seconds})
                except DeadlineExceeded as error:
                    answer = f"late {error.subject}"
                return [answer, asyncio.current_task().cancelling()]

            @service("orders.later", calls=CALLS)
            async def later(self, ctx: Context, what: str) -> Any:
                answer = await self.ask(ctx, what)
                await self.clock.sleep(1)
                return [*answer, "went on"]
    """),
}


async def test_a_root_ends_at_its_deadline(tmp_path: Path, call_path: str) -> None:
    """Its work is cancelled at that moment, and the caller is told how long it had."""
    async with running(tmp_path, WAITING, call_path, overrides=budget(wall="5s")) as app:
        asked = asyncio.create_task(app.call("stock.wait", seconds=1000))
        await app.clock.elapse(4.9)
        assert not asked.done()
        await app.clock.elapse(0.1)
        assert asked.done()
        with pytest.raises(DeadlineExceeded, match="within 5 s") as ended:
            await asked
        assert ended.value.subject == "stock.wait"
        assert await app.call("stock.seen") == ["wait CancelledError"]
        assert [s.duration_s for s in app.spans if s.operation == "stock.wait"] == [5]


async def test_a_deadline_reaches_the_calls_below(tmp_path: Path, call_path: str) -> None:
    """The root's time is up for all that it caused; nobody below may catch that and go on."""
    async with running(tmp_path, WAITING, call_path, overrides=budget(wall="5s")) as app:
        asked = asyncio.create_task(app.call("orders.ask", what="stock.wait"))
        await app.clock.elapse(5)
        with pytest.raises(DeadlineExceeded) as ended:
            await asked
        assert ended.value.subject == "orders.ask"
        assert await app.call("stock.seen") == ["wait CancelledError"]


async def test_work_that_is_done_in_time_leaves_no_timer(tmp_path: Path, call_path: str) -> None:
    """A deadline is taken back when its context ends."""
    async with running(tmp_path, WAITING, call_path) as app:
        before = app.clock.waiting
        asked = asyncio.create_task(app.call("orders.ask", what="stock.short", seconds=1))
        await app.clock.elapse(1)
        assert await asked == ["short", 0]
        assert app.clock.waiting == before


async def test_a_nested_deadline_ends_that_call_alone(tmp_path: Path, call_path: str) -> None:
    """The caller may answer it, with its own task not cancelled, and wait for other things."""
    async with running(tmp_path, WAITING, call_path) as app:
        asked = asyncio.create_task(app.call("orders.later", what="stock.short"))
        await app.clock.elapse(3)
        assert await asked == ["late stock.short", 0, "went on"]


async def test_a_deadline_only_shrinks(tmp_path: Path, call_path: str) -> None:
    """A service with two seconds, called by a root with one, has one, and so has its caller."""
    async with running(tmp_path, WAITING, call_path, overrides=budget(wall="1s")) as app:
        asked = asyncio.create_task(app.call("orders.later", what="stock.short"))
        await app.clock.elapse(1)
        with pytest.raises(DeadlineExceeded) as ended:
            await asked
        assert ended.value.subject == "orders.later"
        assert await app.call("stock.seen") == ["short CancelledError"]


async def test_two_deadlines_at_one_moment_end_the_outer_context(
    tmp_path: Path, call_path: str
) -> None:
    """Both are over; the task is not left cancelled."""
    async with running(tmp_path, WAITING, call_path, overrides=budget(wall="2s")) as app:

        async def ask() -> int:
            with pytest.raises(DeadlineExceeded) as ended:
                await app.call("orders.later", what="stock.short")
            assert ended.value.subject == "orders.later"
            task = asyncio.current_task()
            assert task is not None
            return task.cancelling()

        asked = asyncio.create_task(ask())
        await app.clock.elapse(2)
        assert await asked == 0


@pytest.mark.parametrize("what", ["stock.stubborn", "stock.translating"])
async def test_a_cancellation_that_is_swallowed_still_ends_its_context(
    tmp_path: Path, call_path: str, what: str
) -> None:
    """A handler can neither answer nor raise anything else once its time is up."""
    async with running(tmp_path, WAITING, call_path) as app:
        asked = asyncio.create_task(app.call("orders.later", what=what))
        await app.clock.elapse(3)
        assert await asked == [f"late {what}", 0, "went on"]


async def test_children_of_a_gather_are_cancelled(tmp_path: Path, call_path: str) -> None:
    """All of them, before the caller is told."""
    async with running(tmp_path, WAITING, call_path) as app:
        asked = asyncio.create_task(app.call("orders.ask", what="stock.gathered"))
        await app.clock.elapse(2)
        assert await asked == ["late stock.gathered", 0]
        assert await app.call("stock.seen") == [f"child {n} CancelledError" for n in range(3)]


async def test_a_task_ends_with_the_context_that_started_it(
    tmp_path: Path, call_path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer leaves only when the tasks behind it have ended; the log names them."""
    async with running(tmp_path, WAITING, call_path) as app:
        assert await app.call("orders.ask", what="stock.orphan") == ["answered", 0]
        assert await app.call("stock.seen") == ["orphan CancelledError"]
        assert "stock.orphan: 1 task(s) were not awaited" in caplog.text
        assert await app.call("stock.orphan", seconds=9) == "answered"
        assert await app.call("stock.seen") == ["orphan CancelledError"] * 2


async def test_shielded_work_ends_with_its_context_too(tmp_path: Path, call_path: str) -> None:
    """A shield holds off the cancellation of who waits, not the end of the context."""
    async with running(tmp_path, WAITING, call_path) as app:
        asked = asyncio.create_task(app.call("orders.ask", what="stock.shielded"))
        await app.clock.elapse(2)
        assert await asked == ["late stock.shielded", 0]
        assert await app.call("stock.seen") == ["shielded CancelledError"]


async def test_a_timeout_of_the_handlers_own_works_as_ever(tmp_path: Path, call_path: str) -> None:
    """`asyncio.timeout` inside a handler is none of the kernel's business."""
    async with running(tmp_path, WAITING, call_path) as app:
        assert await app.call("stock.timed") == "timed out"


# ---- cancellation from outside


async def test_a_cancellation_from_outside_stays_one(tmp_path: Path, call_path: str) -> None:
    """It is no deadline and no failure of the plugin; its span is recorded all the same."""
    async with running(tmp_path, WAITING, call_path) as app:
        asked = asyncio.create_task(app.call("orders.ask", what="stock.short"))
        await app.clock.elapse(1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert asked.cancelled()
        assert asked.cancelling() == 1
        spans = {s.operation: s.failure for s in app.spans}
        assert spans["stock.short"] is not None
        assert spans["orders.ask"] is not None
        assert spans["orders.ask"].kind == "CancelledError"


async def test_a_cancellation_from_outside_wins_over_a_deadline_at_the_same_moment(
    tmp_path: Path, call_path: str
) -> None:
    """Who cancelled the task is not told that it is late instead."""
    async with running(tmp_path, WAITING, call_path) as app:
        asked = asyncio.create_task(app.call("orders.ask", what="stock.short"))
        await app.clock.elapse(1)
        app.clock.advance(1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert asked.cancelling() == 1
        assert await app.call("stock.seen") == ["short CancelledError"]


async def test_a_cancelled_call_gives_everything_back(tmp_path: Path, call_path: str) -> None:
    """Its place in the bulkhead is free again."""
    async with running(tmp_path, WAITING, call_path, plugin_concurrency=1) as app:
        for _ in range(3):
            asked = asyncio.create_task(app.call("orders.ask", what="stock.wait"))
            await app.clock.settle()
            with pytest.raises(Overloaded, match=r"stock\.wait: 1 calls are in progress"):
                await app.call("stock.wait", seconds=1)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
        assert await app.call("orders.ask", what="stock.orphan") == ["answered", 0]


# ---- transactions

HOLDING = {
    "domains/stock/level.py": feature("""
        class Level(Plugin):
            @service("stock.level")
            async def level(self) -> int:
                return 7
    """),
    "domains/orders/place.py": feature("""
        @requires("stock.level")
        class LevelOf(Protocol):
            async def __call__(self) -> int: ...

        class Place(Plugin):
            db: Database
            level: LevelOf

            @service("orders.block")
            async def block(self, ctx: Context, by_name: bool = False) -> int:
                async with self.db.transaction() as tx:
                    await tx.execute("INSERT INTO orders_note VALUES (1)")
                    return await (ctx.call("stock.level", {}) if by_name else self.level())

            @service("orders.parameter")
            async def parameter(self, tx: Transaction) -> int:
                await tx.execute("INSERT INTO orders_note VALUES (1)")
                return await self.level()

            @service("orders.after")
            async def after(self) -> int:
                async with self.db.transaction() as tx:
                    await tx.execute("INSERT INTO orders_note VALUES (1)")
                return await self.level()

            @service("orders.notes")
            async def notes(self) -> int:
                return await self.db.fetch_value("SELECT count(*) FROM orders_note", into=int)
    """),
    "domains/orders/migrations/20260101000000_first.sql": "CREATE TABLE orders_note (id INTEGER);",
}


@pytest.mark.parametrize(
    "service, payload",
    [("orders.block", {}), ("orders.block", {"by_name": True}), ("orders.parameter", {})],
)
async def test_no_service_is_called_inside_a_transaction(
    tmp_path: Path, call_path: str, service: str, payload: dict[str, object]
) -> None:
    """At once, naming the holder and what it called; what it wrote is rolled back."""
    async with running(tmp_path, HOLDING, call_path) as app:
        with pytest.raises(TransactionHeld) as refused:
            await app.call(service, **payload)
        assert refused.value.subject == "stock.level"
        assert "orders.place" in refused.value.message
        assert await app.call("orders.notes") == 0
        assert await app.call("orders.after") == 7
        assert await app.call("orders.notes") == 1


# ---- who asks

SIGNED = {
    "domains/orders/mine.py": feature("""
        class Mine(Plugin):
            @service("orders.mine")
            async def mine(self, user: Principal, sku: str = "tea") -> str:
                return f"{user.id} {sku}"

            @service("orders.thread")
            def thread(self, user: Principal) -> str:
                return user.id

            @service("orders.through", calls=("orders.mine",))
            async def through(self, ctx: Context) -> Any:
                return await ctx.call("orders.mine", {"sku": "pot"})
    """)
}


@pytest.mark.parametrize("service", ["orders.mine", "orders.thread", "orders.through"])
async def test_a_handler_that_takes_a_user_is_refused_to_nobody(
    tmp_path: Path, call_path: str, service: str
) -> None:
    """The kernel fills the parameter in; where nobody is signed in, there is nothing to fill in."""
    async with running(tmp_path, SIGNED, call_path) as app:
        with pytest.raises(Unauthenticated):
            await app.call(service)
        answer = await app.call_as(Principal("user:ada"), service)
        assert str(answer).startswith("user:ada")


async def test_a_user_in_the_payload_is_nobody(tmp_path: Path, call_path: str) -> None:
    """Who asks never comes from the payload."""
    async with running(tmp_path, SIGNED, call_path) as app:
        with pytest.raises(Invalid):
            await app.call("orders.mine", user={"id": "user:root"})
        with pytest.raises(Unauthenticated):
            await app.call("orders.mine")
        eve = Principal("user:eve")
        assert await app.call_as(eve, "orders.mine") == "user:eve tea"


# ---- quarantine

CONSUMER = feature("""
    @requires("stock.level")
    class LevelOf(Protocol):
        async def __call__(self) -> int: ...

    class Place(Plugin):
        level: LevelOf

        @service("orders.ask")
        async def ask(self) -> int:
            return await self.level()

        @service("orders.named", calls=("stock.level",))
        async def named(self, ctx: Context) -> Any:
            return await ctx.call("stock.level", {})

        @service("orders.other")
        async def other(self) -> str:
            return "served"
""")
PROVIDER = """
    class Level(Plugin):
        {hook}

        @service("stock.level")
        async def level(self) -> int:
            return 7
"""
LOST = {
    "cannot be parsed": "class Level(:\n",
    "fails at import": feature(PROVIDER.format(hook="pass")) + "\nraise LookupError('at import')\n",
    "exits at import": feature(PROVIDER.format(hook="pass")) + "\nraise SystemExit(3)\n",
    "cannot be read": feature(PROVIDER.format(hook="colour: str")),
    "fails when constructed": feature(PROVIDER.format(hook="def __init__(self): 1 / 0")),
    "fails to start": feature(PROVIDER.format(hook="async def start(self): raise OSError('down')")),
    "fails to start on a thread": feature(PROVIDER.format(hook="def start(self): exit(1)")),
}


@pytest.mark.parametrize("text", LOST.values(), ids=LOST.keys())
async def test_a_plugin_that_is_lost_takes_nobody_with_it(
    tmp_path: Path, call_path: str, text: str
) -> None:
    """Its consumers serve what does not need it; the calls that do are told why they fail."""
    written = {"domains/orders/place.py": CONSUMER, "domains/stock/level.py": text}
    async with running(tmp_path, written, call_path) as app:
        assert await app.call("orders.other") == "served"
        for service in ("orders.ask", "orders.named", "stock.level"):
            if service == "stock.level" and text.startswith("class Level(:"):
                continue  # nothing says that this file would have provided it
            with pytest.raises(PluginQuarantined) as refused:
                await app.call(service)
            assert refused.value.subject == "stock.level"
            assert refused.value.retry_after_s
        assert app.health.state == "degraded"
        assert [f.file for f in app.findings] == ["domains/stock/level.py"]
        assert app.status.domains[1].plugins[0].state == "quarantined"


async def test_the_reason_of_a_quarantine_is_not_told_to_callers(
    tmp_path: Path, call_path: str
) -> None:
    """It is in the findings, for whoever may know."""
    written = {
        "domains/orders/place.py": CONSUMER,
        "domains/stock/level.py": LOST["fails to start"],
    }
    async with running(tmp_path, written, call_path) as app:
        with pytest.raises(PluginQuarantined) as refused:
            await app.call("orders.ask")
        assert "down" not in str(refused.value)
        assert "OSError: down" in app.findings[0].message


# ---- both paths agree on what is said first


async def test_where_it_was_called_is_said_before_what_does_not_fit(
    tmp_path: Path, call_path: str
) -> None:
    """An invalid payload inside a transaction: both paths refuse for the same reason."""
    written = {
        "domains/stock/level.py": feature("""
            class Level(Plugin):
                @service("stock.level")
                async def level(self, least: Annotated[int, Meta(gt=0)]) -> int:
                    return 7
        """),
        "domains/orders/place.py": feature("""
            class Place(Plugin):
                @service("orders.block", calls=("stock.level",))
                async def block(self, ctx: Context, tx: Transaction) -> Any:
                    return await ctx.call("stock.level", {"least": 0})

                db: Database
        """),
    }
    async with running(tmp_path, written, call_path) as app:
        with pytest.raises(TransactionHeld):
            await app.call("orders.block")


async def test_a_bug_of_a_provider_reaches_its_caller_as_it_is(
    tmp_path: Path, call_path: str
) -> None:
    """Between plugins an exception is an exception; only the way out hides it."""
    written = {
        "domains/stock/fail.py": feature("""
            class Fail(Plugin):
                @service("stock.fail")
                async def fail(self) -> None:
                    raise LookupError("no shelf")
        """),
        "domains/orders/ask.py": feature("""
            class Ask(Plugin):
                @service("orders.ask", calls=("stock.fail",))
                async def ask(self, ctx: Context) -> str:
                    try:
                        await ctx.call("stock.fail", {})
                    except LookupError as error:
                        return str(error)
        """),
    }
    async with running(tmp_path, written, call_path) as app:
        assert await app.call("orders.ask") == "no shelf"
        with pytest.raises(PluginFailed) as failed:
            await app.call("stock.fail")
        assert "shelf" not in str(failed.value)
        assert isinstance(failed.value.__cause__, LookupError)

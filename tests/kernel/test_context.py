"""A context: what it lets a handler call and spawn, what it inherits, the span that it leaves."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from ringfence import Invalid, PluginQuarantined, Principal
from ringfence.errors import NoSuchService, NotGranted, PluginFailed
from ringfence.report import Span
from ringfence.testing import TestApplication
from tests.kernel.apps import feature, on_both_paths, running

pytestmark = [pytest.mark.anyio, on_both_paths]

INVENTORY = feature("""
    import datetime
    from decimal import Decimal

    class Stock(Struct):
        sku: str
        counted: datetime.date
        price: Decimal

    class Wanted(Struct):
        sku: str
        quantity: Annotated[int, Meta(gt=0)] = 1

    class Provide(Plugin):
        @service("inventory.stock")
        async def stock(self, sku: str, least: Annotated[int, Meta(ge=0)] = 0) -> Stock:
            return Stock(sku, datetime.date(2030, 1, 1), Decimal("1.50"))

        @service("inventory.hold")
        async def hold(self, wanted: Wanted) -> list[Wanted]:
            return [wanted]

        @service("inventory.who")
        async def who(self, ctx: Context) -> tuple[str, str]:
            return (ctx.principal.id if ctx.principal else "nobody"), str(ctx.tenant)
""")


def caller(body: str, calls: str = '"inventory.stock", "inventory.hold", "inventory.who"') -> str:
    """Return a feature whose service `orders.ask` does `body`, with `ctx` and `sku`."""
    return feature(f"""
    class Level(Struct):
        sku: str

    class Ask(Plugin):
        @service("orders.ask", calls=({calls},))
        async def ask(self, ctx: Context, sku: str = "tea") -> Any:
            {body}

        @service("orders.other")
        async def other(self, ctx: Context) -> Any:
            return await ctx.call("inventory.hold", {{"sku": "tea"}})
    """)


def files(body: str, *calls: str) -> dict[str, str]:
    return {
        "domains/inventory/provide.py": INVENTORY,
        "domains/orders/ask.py": caller(body, *calls),
    }


# ---- ctx.call


async def test_a_call_by_name_answers_in_plain_data(tmp_path: Path, call_path: str) -> None:
    """Dicts, lists and scalars; dates and decimals stay what they are."""
    body = 'return await ctx.call("inventory.stock", {"sku": sku})'
    async with running(tmp_path, files(body), call_path) as app:
        answer = await app.call("orders.ask")
        assert repr(answer) == (
            "{'sku': 'tea', 'counted': datetime.date(2030, 1, 1), 'price': Decimal('1.50')}"
        )


async def test_a_call_by_name_passes_the_fields_of_a_lone_struct(
    tmp_path: Path, call_path: str
) -> None:
    """A service whose only payload is one Struct takes that Struct's fields, defaults too."""
    body = 'return await ctx.call("inventory.hold", {"sku": sku})'
    async with running(tmp_path, files(body), call_path) as app:
        assert await app.call("orders.ask") == [{"sku": "tea", "quantity": 1}]


async def test_a_call_by_name_is_read_into_the_type_that_is_asked_for(
    tmp_path: Path, call_path: str
) -> None:
    """`into=` gives the caller's own class."""
    body = 'return await ctx.call("inventory.stock", {"sku": sku}, into=Level)'
    async with running(tmp_path, files(body), call_path) as app:
        assert repr(await app.call("orders.ask")) == "Level(sku='tea')"


@pytest.mark.parametrize(
    "payload, paths",
    [
        ('{"sku": 7, "least": -1}', ["$.least", "$.sku"]),
        ('{"least": "x"}', ["$.least", "$.sku"]),
        ("{}", ["$.sku"]),
    ],
)
async def test_a_payload_that_does_not_fit_is_refused_with_every_fault(
    tmp_path: Path, call_path: str, payload: str, paths: list[str]
) -> None:
    """A call by name is checked as a typed one, or as one from outside."""
    async with running(
        tmp_path, files(f'return await ctx.call("inventory.stock", {payload})'), call_path
    ) as app:
        with pytest.raises(Invalid) as refused:
            await app.call("orders.ask")
        assert sorted(fault.path for fault in refused.value.faults) == paths


@pytest.mark.parametrize(
    "payload, paths",
    [
        ({"sku": 7, "quantity": 0}, ["$.quantity", "$.sku"]),
        ({"quantity": None}, ["$.quantity", "$.sku"]),
    ],
)
async def test_a_payload_from_outside_is_refused_with_every_fault(
    tmp_path: Path, call_path: str, payload: dict[str, object], paths: list[str]
) -> None:
    """As a call by name."""
    async with running(tmp_path, files("return None"), call_path) as app:
        with pytest.raises(Invalid) as refused:
            await app.call("inventory.hold", **payload)
        assert sorted(fault.path for fault in refused.value.faults) == paths


async def test_a_service_that_is_not_declared_is_not_reached(
    tmp_path: Path, call_path: str
) -> None:
    """What a plugin may call is written down; the error says what to write."""
    body = 'return await ctx.call("inventory.stock", {"sku": sku})'
    async with running(tmp_path, files(body, '"inventory.who"'), call_path) as app:
        with pytest.raises(NotGranted, match=r'orders\.ask → .*calls=\("inventory\.stock",\)'):
            await app.call("orders.ask")


async def test_a_grant_is_the_plugins(tmp_path: Path, call_path: str) -> None:
    """What one method declares, the plugin's others may call as well."""
    async with running(tmp_path, files("return None"), call_path) as app:
        assert await app.call("orders.other") == [{"sku": "tea", "quantity": 1}]


async def test_a_requirement_grants_the_call_by_name_too(tmp_path: Path, call_path: str) -> None:
    """A name under @requires is declared; the context may call it."""
    asking = feature("""
        @requires("inventory.who")
        class Who(Protocol):
            async def __call__(self) -> tuple[str, str]: ...

        class Ask(Plugin):
            who: Who

            @service("orders.ask")
            async def ask(self, ctx: Context) -> Any:
                return await ctx.call("inventory.who", {})
    """)
    written = {"domains/inventory/provide.py": INVENTORY, "domains/orders/ask.py": asking}
    async with running(tmp_path, written, call_path) as app:
        assert await app.call("orders.ask") == ("nobody", "None")


async def test_a_name_that_nobody_provides_is_told_with_the_nearest(
    tmp_path: Path, call_path: str
) -> None:
    """From outside, where no grant is asked for."""
    async with running(tmp_path, files("return None"), call_path) as app:
        with pytest.raises(NoSuchService, match=r"did you mean 'inventory\.stock'\?"):
            await app.call("inventory.stok", sku="tea")


async def test_an_answer_that_is_not_what_the_caller_wants_is_no_fault_of_the_input(
    tmp_path: Path, call_path: str
) -> None:
    """`into=` a type that the answer does not fit is a bug, not an invalid request."""
    body = 'return await ctx.call("inventory.stock", {"sku": sku}, into=int)'
    async with running(tmp_path, files(body), call_path) as app:
        with pytest.raises(PluginFailed, match=r"answer of inventory\.stock"):
            await app.call("orders.ask")


# ---- what is inherited


async def test_principal_and_tenant_are_inherited(tmp_path: Path, call_path: str) -> None:
    """Whoever asked is known in every call, task and thread that this causes."""
    body = """
            return [
                await ctx.call("inventory.who", {}),
                *await asyncio.gather(ctx.call("inventory.who", {})),
            ]"""
    ada = Principal("user:ada", tenant="acme")
    async with running(tmp_path, files(body), call_path) as app:
        assert await app.call_as(ada, "orders.ask") == [("user:ada", "acme")] * 2
        assert await app.call("orders.ask") == [("nobody", "None")] * 2


async def test_calls_at_the_same_time_do_not_mix(tmp_path: Path, call_path: str) -> None:
    """Each request has its own context, whatever is interleaved."""
    body = """
            await asyncio.sleep(0)
            who = await ctx.call("inventory.who", {})
            await asyncio.sleep(0)
            return who[0]"""
    names = [f"user:{n}" for n in range(20)]
    async with running(tmp_path, files(body), call_path) as app:
        asked = [app.call_as(Principal(name), "orders.ask") for name in names]
        assert await asyncio.gather(*asked) == names


# ---- spans

TREE = {
    "domains/a/first.py": feature("""
        @requires("b.second")
        class Second(Protocol):
            async def __call__(self) -> None: ...

        class First(Plugin):
            second: Second
            db: Database

            @service("a.first", calls=("c.third",))
            async def first(self, ctx: Context) -> None:
                await self.second()
                await ctx.call("c.third", {})
                async with self.db.transaction() as tx:
                    await tx.fetch_value("SELECT 1")
                    await tx.fetch_value("SELECT 2")
    """),
    "domains/b/second.py": feature("""
        @requires("c.third")
        class Third(Protocol):
            async def __call__(self) -> None: ...

        class Second(Plugin):
            third: Third

            @service("b.second")
            async def second(self) -> None:
                await self.third()
                await self.third()
    """),
    "domains/c/third.py": feature("""
        class Third(Plugin):
            @service("c.third")
            async def third(self) -> None:
                pass
    """),
}


def traced(app: TestApplication, root: str) -> list[Span]:
    """Return the spans of the newest trace whose root ran `root`."""
    newest = next(s for s in reversed(app.spans) if s.operation == root and not s.parent_span_id)
    return [span for span in app.spans if span.trace_id == newest.trace_id]


def drawn(spans: Sequence[Span]) -> list[str]:
    """Return `path operation` of each span, its root's number left out, in the order of paths."""
    return sorted(f"{'.'.join(['', *s.path.split('.')[1:]])} {s.operation}" for s in spans)


async def test_a_trace_is_the_tree_of_what_one_request_caused(
    tmp_path: Path, call_path: str
) -> None:
    """Every call and transaction is a span below its cause, under one trace id."""
    async with running(tmp_path, TREE, call_path) as app:
        await app.call("a.first")
        spans = traced(app, "a.first")
    assert drawn(spans) == [
        " a.first",
        ".1 b.second",
        ".1.1 c.third",
        ".1.2 c.third",
        ".2 c.third",
        ".3 db.transaction",
    ]
    by_path = {span.path: span for span in spans}
    for span in spans:
        parent = span.path.rpartition(".")[0]
        assert span.parent_span_id == (by_path[parent].span_id if parent else "")
        assert span.origin == ("" if parent else "call a.first")
        assert len(span.trace_id) == 32
        assert len(span.span_id) == 16
    assert len({span.span_id for span in spans}) == len(spans)
    plugins = {span.operation: span.plugin for span in spans}
    assert plugins == {
        "a.first": "a.first",
        "b.second": "b.second",
        "c.third": "c.third",
        "db.transaction": "a.first",
    }
    assert {s.operation: s.queries for s in spans if s.queries} == {"db.transaction": 2}


async def test_two_requests_are_two_traces(tmp_path: Path, call_path: str) -> None:
    """Nothing of one is in the other."""
    async with running(tmp_path, TREE, call_path) as app:
        await app.call("b.second")
        first = {span.span_id for span in traced(app, "b.second")}
        await app.call("b.second")
        second = {span.span_id for span in traced(app, "b.second")}
    assert len(first) == len(second) == 3
    assert not first & second


async def test_a_failure_is_kept_as_text_in_each_span_that_it_passed(
    tmp_path: Path, call_path: str
) -> None:
    """Its kind, its message and its place, in the provider's span and in the caller's."""
    written = {
        "domains/orders/ask.py": caller(
            'return await ctx.call("inventory.fail", {})', '"inventory.fail", "inventory.hold"'
        ),
        "domains/inventory/provide.py": INVENTORY,
        "domains/inventory/fail.py": feature("""
            class Fail(Plugin):
                @service("inventory.fail")
                async def fail(self) -> None:
                    raise LookupError("no such shelf")
        """),
    }
    async with running(tmp_path, written, call_path) as app:
        with pytest.raises(PluginFailed) as failed:
            await app.call("orders.ask")
        spans = {span.operation: span for span in app.spans}
    for operation in ("orders.ask", "inventory.fail"):
        failure = spans[operation].failure
        assert failure is not None
        assert (failure.kind, failure.message) == ("LookupError", "no such shelf")
        assert "fail.py" in failure.where
    assert "shelf" not in str(failed.value)
    assert failed.value.trace_id == spans["orders.ask"].trace_id


async def test_as_many_spans_are_kept_as_the_configuration_says(
    tmp_path: Path, call_path: str
) -> None:
    """The ring buffer drops the oldest."""
    async with running(tmp_path, TREE, call_path, spans=4) as app:
        await app.call("c.third")
        await app.call("b.second")
        assert [s.operation for s in app.spans] == ["c.third", "c.third", "c.third", "b.second"]


# ---- ctx.spawn

SPAWNING = feature("""
    class Work(Plugin):
        clock: Clock
        db: Database

        def start(self) -> None:
            self.seen = []

        @service("orders.seen")
        async def was_seen(self) -> Any:
            return self.seen

        async def sleep(self, seconds: float) -> None:
            try:
                await self.clock.sleep(seconds)
                self.seen.append("done")
            except BaseException as error:
                self.seen.append(type(error).__name__)
                raise

        async def fail(self) -> None:
            raise LookupError("no shelf")

        async def call(self, ctx: Context) -> None:
            self.seen.append(await ctx.call("orders.who", {}))

        @service("orders.who")
        async def who(self, ctx: Context) -> str:
            return f"{ctx.principal.id if ctx.principal else None} {ctx.path.count('.')}"

        @service("orders.spawn", calls=("orders.who",))
        async def spawn(
            self, ctx: Context, what: str, wall_s: float | None = None, held: bool = False
        ) -> str:
            work = {
                "sleep": lambda: self.sleep(10),
                "fail": self.fail,
                "call": lambda: self.call(ctx),
            }[what]
            if held:
                async with self.db.transaction():
                    ctx.spawn(work(), wall_s=wall_s)
            else:
                ctx.spawn(work(), wall_s=wall_s)
            return "answered"
""")
SPAWN = {"domains/orders/work.py": SPAWNING}


async def test_background_work_runs_after_the_answer(tmp_path: Path, call_path: str) -> None:
    """It outlives the context that started it, and is a span below it."""
    async with running(tmp_path, SPAWN, call_path) as app:
        assert await app.call("orders.spawn", what="sleep") == "answered"
        assert await app.call("orders.seen") == []
        await app.clock.elapse(10)
        assert await app.call("orders.seen") == ["done"]
        spans = traced(app, "orders.spawn")
        assert drawn(spans) == [" orders.spawn", ".1 orders.spawn.background"]
        assert spans[-1].parent_span_id == spans[0].span_id
        assert spans[-1].duration_s == 10


async def test_background_work_has_a_deadline_of_its_own(tmp_path: Path, call_path: str) -> None:
    """It is cancelled when that has passed, and its span and a log record say so."""
    async with running(tmp_path, SPAWN, call_path) as app:
        await app.call("orders.spawn", what="sleep", wall_s=3)
        await app.clock.elapse(2.9)
        assert await app.call("orders.seen") == []
        await app.clock.elapse(0.1)
        assert await app.call("orders.seen") == ["CancelledError"]
        failure = traced(app, "orders.spawn")[-1].failure
        assert failure is not None
        assert failure.kind == "DeadlineExceeded"


async def test_background_work_by_default_has_a_roots_deadline(
    tmp_path: Path, call_path: str
) -> None:
    """Not what was left of its cause's."""
    walls = {"budgets": {"default": {"wall": "4s"}}}
    async with running(tmp_path, SPAWN, call_path, overrides=walls) as app:
        await app.call("orders.spawn", what="sleep")
        await app.clock.elapse(4)
        assert await app.call("orders.seen") == ["CancelledError"]


async def test_a_failure_of_background_work_is_recorded(
    tmp_path: Path, call_path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody awaits it: its span has the failure, and the log its trace."""
    async with running(tmp_path, SPAWN, call_path) as app:
        await app.call("orders.spawn", what="fail")
        await app.clock.settle()
        span = traced(app, "orders.spawn")[-1]
        assert span.failure is not None
        assert (span.failure.kind, span.failure.message) == ("LookupError", "no shelf")
        said = [r for r in caplog.records if span.trace_id in r.getMessage()]
        assert len(said) == 1
        assert "orders.spawn.background" in said[0].getMessage()


async def test_background_work_ends_with_the_application(tmp_path: Path, call_path: str) -> None:
    """Stopping cancels it and waits for it."""
    async with running(tmp_path, SPAWN, call_path) as app:
        seen = await app.call("orders.seen")
        await app.call("orders.spawn", what="sleep")
        await app.clock.settle()
    assert seen == ["CancelledError"]


async def test_background_work_that_has_not_begun_ends_with_the_application(
    tmp_path: Path, call_path: str
) -> None:
    """Its coroutine is closed, not forgotten."""
    async with running(tmp_path, SPAWN, call_path) as app:
        await app.call("orders.spawn", what="sleep")


async def test_background_work_asks_in_the_name_of_whoever_caused_it(
    tmp_path: Path, call_path: str
) -> None:
    """Principal and trace are inherited; its calls are below its cause's."""
    async with running(tmp_path, SPAWN, call_path) as app:
        await app.call_as(Principal("user:ada"), "orders.spawn", what="call")
        await app.clock.settle()
        assert await app.call("orders.seen") == ["user:ada 2"]


async def test_background_work_does_not_inherit_a_transaction(
    tmp_path: Path, call_path: str
) -> None:
    """Started inside one, it is outside of it: it may call services, and is not waited for."""
    async with running(tmp_path, SPAWN, call_path) as app:
        await app.call("orders.spawn", what="call", held=True)
        await app.clock.settle()
        assert await app.call("orders.seen") == ["None 2"]
        assert traced(app, "orders.spawn")[-1].failure is None


async def test_a_quarantined_name_is_told_to_whoever_calls_it_by_name(
    tmp_path: Path, call_path: str
) -> None:
    """A file that cannot be parsed counts for the names of its domain that nobody else declares."""
    written = {
        "domains/orders/ask.py": caller(
            'return await ctx.call("inventory.stock", {"sku": sku})',
            '"inventory.stock", "inventory.hold"',
        ),
        "domains/inventory/provide.py": "def broken(:\n",
    }
    async with running(tmp_path, written, call_path) as app:
        with pytest.raises(PluginQuarantined, match=r"inventory\.provide"):
            await app.call("orders.ask")

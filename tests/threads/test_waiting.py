"""`wait`: async things used from `def` code, on the kernel's threads and in a plain unit test."""

import asyncio
import contextlib
import threading
import types
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.errors import DeadlineExceeded, RingfenceError
from ringfence.threads.pool import Pool, Share
from ringfence.threads.waiting import wait
from tests.kernel.apps import feature, on_both_paths, running

anyio = pytest.mark.anyio


async def plus(number: int, turns: int = 1) -> int:
    for _ in range(turns):
        await asyncio.sleep(0)
    return number + 1


class Ledger:
    """An async context manager that writes down what happens to it."""

    def __init__(self, *, swallows: bool = False) -> None:
        self.said: list[str] = []
        self.tasks: set[object] = set()
        self.swallows = swallows

    async def __aenter__(self) -> "Ledger":
        await asyncio.sleep(0)
        self.tasks.add(asyncio.current_task())
        self.said.append("begin")
        return self

    async def write(self, word: str) -> None:
        await asyncio.sleep(0)
        self.tasks.add(asyncio.current_task())
        self.said.append(word)

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> bool:
        await asyncio.sleep(0)
        self.tasks.add(asyncio.current_task())
        self.said.append("commit" if kind is None else f"rollback: {kind.__name__}")
        return self.swallows


async def three() -> AsyncIterator[int]:
    try:
        for number in range(3):
            await asyncio.sleep(0)
            yield number
    finally:
        await asyncio.sleep(0)


def loans(books: list[str]) -> contextlib.AbstractAsyncContextManager[str]:
    @contextlib.asynccontextmanager
    async def lend() -> AsyncIterator[str]:
        books.append("lent")
        try:
            yield "a book"
        except BaseException as error:
            books.append(f"lost: {type(error).__name__}")
            raise
        finally:
            await asyncio.sleep(0)
            books.append("back")

    return lend()


# ---- what holds on a worker and in a plain unit test alike


def write_and_fail(ledger: Ledger) -> None:
    wait(ledger.write("one"))
    raise KeyError("no")


def use_everything() -> tuple[object, ...]:
    ledger, failing, books = Ledger(), Ledger(), list[str]()
    with wait(ledger) as tx:
        wait(tx.write("one"))
        wait(tx.write("two"))
    with pytest.raises(KeyError), wait(failing) as tx:
        write_and_fail(tx)
    with wait(Ledger(swallows=True)) as tx:
        write_and_fail(tx)
    with wait(loans(books)) as book:
        books.append(book)
    with pytest.raises(ZeroDivisionError), wait(loans(books)):
        books.append(str(1 / 0))
    return (
        wait(plus(1)) + wait(plus(2, turns=5)),
        list(wait(three())),
        ledger.said,
        failing.said,
        books,
    )


EVERYTHING = (
    5,
    [0, 1, 2],
    ["begin", "one", "two", "commit"],
    ["begin", "one", "rollback: KeyError"],
    ["lent", "a book", "back", "lent", "lost: ZeroDivisionError", "back"],
)


@anyio
async def test_a_worker_waits_for_awaitables_managers_and_iterators() -> None:
    """Values, commits, rollbacks and swallowed errors are as with `await` and `async with`."""
    assert await Pool(1).run(Share("a", 1), use_everything, ()) == EVERYTHING


def test_a_plain_unit_test_waits_for_the_same() -> None:
    """Without a kernel, `wait` drives what it is given itself."""
    assert use_everything() == EVERYTHING


@anyio
async def test_all_that_one_job_waits_for_runs_in_one_task() -> None:
    """A transaction belongs to the task that opened it: the next waits must be in it."""
    ledger = Ledger()

    def work() -> None:
        with wait(ledger) as tx:
            wait(tx.write("one"))

    await Pool(1).run(Share("a", 1), work, ())
    assert len(ledger.tasks) == 1


@anyio
async def test_what_a_wait_is_for_sees_the_callers_context() -> None:
    """Context variables are the same on the loop as in the handler."""
    who = ContextVar("who", default="nobody")
    who.set("anna")

    async def ask() -> str:
        return who.get()

    assert await Pool(1).run(Share("a", 1), lambda: wait(ask()), ()) == "anna"


@anyio
async def test_a_failed_wait_raises_where_it_was_asked_and_the_job_goes_on() -> None:
    """The very exception; the next wait is served as ever."""
    raised = LookupError("nothing there")

    async def fail() -> None:
        raise raised

    def work() -> object:
        with pytest.raises(LookupError) as caught:
            wait(fail())
        return caught.value, wait(plus(1))

    assert await Pool(1).run(Share("a", 1), work, ()) == (raised, 2)


@anyio
async def test_waiting_on_the_loops_thread_is_refused_with_the_next_step() -> None:
    """It would block every other request; the message says what to write instead."""
    with pytest.raises(RingfenceError, match=r"wait: called on the event loop's thread.*`await`"):
        wait(plus(1))


# ---- nesting


Tree = tuple[bool, list["Tree"]]  # whether a node is a `def`, and what it calls
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.tuples(st.booleans(), st.just(list[Tree]())),
    lambda below: st.tuples(st.booleans(), st.lists(below, max_size=4)),
    max_leaves=24,
)


def size(tree: Tree) -> int:
    return 1 + sum(map(size, tree[1]))


@settings(max_examples=60, deadline=None)
@given(tree=TREES, workers=st.integers(1, 4), shares=st.integers(1, 3), together=st.booleans())
def test_nested_calls_never_starve_the_pool(
    tree: Tree, workers: int, shares: int, together: bool
) -> None:
    """Any tree of `def` and `async def` calls ends, however small the pool, in order or at once."""
    threads = Pool(workers)
    owned = [Share(f"plugin {n}", 1) for n in range(shares)]

    async def call(node: Tree, depth: int = 0) -> int:
        if not node[0]:
            return await below(node, depth)
        answer = await threads.run(owned[depth % shares], partial(work, node, depth), ())
        assert isinstance(answer, int)
        return answer

    async def below(node: Tree, depth: int) -> int:
        await asyncio.sleep(0)
        if together:
            return 1 + sum(await asyncio.gather(*(call(child, depth + 1) for child in node[1])))
        return 1 + sum([await call(child, depth + 1) for child in node[1]])

    def work(node: Tree, depth: int) -> int:
        if together:
            return wait(below(node, depth))
        return 1 + sum(wait(call(child, depth + 1)) for child in node[1])

    async def main() -> int:
        async with asyncio.timeout(10):
            return sum(await asyncio.gather(call(tree), call(tree)))

    assert asyncio.run(main()) == 2 * size(tree)
    assert threads.written_off == 0


@anyio
async def test_a_chain_deeper_than_the_pool_ends() -> None:
    """`def` calls `def` calls `def`, twenty deep, on one thread of one share."""
    threads, share = Pool(1), Share("a", 1)

    def work(depth: int) -> int:
        if not depth:
            return 0
        below = wait(threads.run(share, work, (depth - 1,)))
        assert isinstance(below, int)
        return 1 + below

    assert await threads.run(share, work, (20,)) == 20


# ---- in an application


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A module that the test and its features share: events to wait for, lists to write on."""
    made = types.ModuleType("stage")
    made.entered = threading.Event()  # type: ignore[attr-defined]
    made.go_on = threading.Event()  # type: ignore[attr-defined]
    made.said = []  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "stage", made)
    yield made
    made.go_on.set()


ROWS = {"domains/orders/migrations/20260101000000_rows.sql": "CREATE TABLE rows (name TEXT);"}
WRITES = feature(
    """
    import stage


    @requires("orders.who")
    class WhoIs(Protocol):
        async def __call__(self, *, loud: bool = False) -> dict[str, str | None]: ...


    class Writes(Plugin):
        db: Database
        who: WhoIs

        @service("orders.write")
        def write(self, name: str, fails: bool = False) -> int:
            with wait(self.db.transaction()) as tx:
                wait(tx.execute("INSERT INTO rows VALUES ($1)", name))
                if fails:
                    raise KeyError(name)
            return wait(self.db.fetch_value("SELECT count(*) FROM rows", into=int))

        @service("orders.write_inside")
        def write_inside(self, name: str, tx: Transaction, fails: bool = False) -> None:
            wait(tx.execute("INSERT INTO rows VALUES ($1)", name))
            if fails:
                raise KeyError(name)

        @service("orders.rows")
        def rows(self) -> list[str]:
            class Row(Struct):
                name: str

            return [row.name for row in wait(self.db.fetch_all("SELECT name FROM rows", into=Row))]

        @service("orders.ask")
        def ask(self, ctx: Context) -> dict[str, str | None]:
            return wait(self.who())

        @service("orders.hang", timeout_s=2)
        def hang(self, name: str) -> None:
            with wait(self.db.transaction()) as tx:
                wait(tx.execute("INSERT INTO rows VALUES ($1)", name))
                stage.entered.set()
                stage.go_on.wait(20)
                try:
                    wait(tx.execute("INSERT INTO rows VALUES ('too late')"))
                except BaseException as error:
                    stage.said.append(error)
                    raise

        @service("orders.on_the_loop")
        async def on_the_loop(self) -> None:
            wait(asyncio.sleep(0))
    """
)
WHO = feature(
    """
    class Who(Plugin):
        @service("orders.who")
        def who(self, ctx: Context, loud: bool = False) -> dict[str, str | None]:
            asked = ctx.principal.id if ctx.principal else None
            return {"trace": ctx.trace_id, "asked": asked, "tenant": ctx.tenant, "path": ctx.path}
    """
)
FILES = {"domains/orders/writes.py": WRITES, "domains/orders/who.py": WHO, **ROWS}


@anyio
@on_both_paths
async def test_a_transaction_commits_with_its_block_and_rolls_back_with_its_error(
    tmp_path: Path, stage: types.ModuleType, call_path: str
) -> None:
    """In a `def`, by `with wait(db.transaction())` and by a `tx: Transaction` parameter."""
    async with running(tmp_path, FILES, call_path) as app:
        assert await app.call("orders.write", name="a") == 1
        for service in ("orders.write", "orders.write_inside"):
            with pytest.raises(RingfenceError) as failed:
                await app.call(service, name="never", fails=True)
            assert failed.value.code == "internal"
        await app.call("orders.write_inside", name="b")
        assert await app.call("orders.rows") == ["a", "b"]


@anyio
@on_both_paths
async def test_a_nested_def_call_keeps_trace_principal_and_place(
    tmp_path: Path, stage: types.ModuleType, call_path: str
) -> None:
    """`def` → `wait` → `def`: the second one is a child of the first, on one thread of one."""
    from ringfence import Principal

    async with running(tmp_path, FILES, call_path, threads=1) as app:
        anna = Principal("user:anna", tenant="blue")
        told = await app.call_as(anna, "orders.ask")
        assert isinstance(told, dict)
        inner, outer = app.spans[-2:]
        assert (told["asked"], told["tenant"]) == ("user:anna", "blue")
        assert (told["trace"], told["path"]) == (outer.trace_id, inner.path)
        assert inner.parent_span_id == outer.span_id


@anyio
@on_both_paths
async def test_a_def_that_outlives_its_deadline_is_written_off(
    tmp_path: Path, stage: types.ModuleType, call_path: str
) -> None:
    """Its caller is told in time; its writes are gone; its next `wait` raises."""
    async with running(tmp_path, FILES, call_path, threads=2, plugin_threads=2) as app:
        hung = asyncio.create_task(app.call("orders.hang", name="never"))
        assert await asyncio.to_thread(stage.entered.wait, 10)
        app.clock.advance(2.0)
        with pytest.raises(DeadlineExceeded, match=r"orders.hang: its time is up.*within 2 s"):
            await hung
        # The transaction is over, and others write.
        assert await app.call("orders.write", name="b") == 1
        stage.go_on.set()
        assert await app.call("orders.rows") == ["b"]
        async with asyncio.timeout(5):
            while not stage.said:
                await app.call("orders.rows")
        assert [type(error) for error in stage.said] == [DeadlineExceeded]
        assert "orders.writes: the call that this thread works for has ended" in str(stage.said[0])
        span = next(span for span in app.spans if span.operation == "orders.hang")
        assert span.failure is not None
        assert (span.plugin, span.failure.kind) == ("orders.writes", "DeadlineExceeded")


@anyio
@on_both_paths
async def test_a_wait_in_an_async_handler_is_told_as_its_bug(
    tmp_path: Path, stage: types.ModuleType, call_path: str
) -> None:
    """It is refused before it blocks anything, and the caller sees which service."""
    async with running(tmp_path, FILES, call_path) as app:
        with pytest.raises(RingfenceError, match="wait: called on the event loop's thread"):
            await app.call("orders.on_the_loop")
        assert await app.call("orders.rows") == []

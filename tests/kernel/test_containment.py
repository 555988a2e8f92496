"""What a handler cannot do to others, whatever it does to itself."""

import asyncio
import gc
from pathlib import Path

import pytest

from ringfence.errors import (
    DeadlineExceeded,
    NotGranted,
    PluginFailed,
    TransactionHeld,
)
from tests.kernel.apps import feature, on_both_paths, running

pytestmark = pytest.mark.anyio

NOTES = "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT);"
MIGRATION = {"domains/notes/migrations/20260101000000_note.sql": NOTES}
BYSTANDER = feature("""
    class Write(Plugin):
        db: Database

        @service("notes.write")
        async def write(self, text: str) -> int:
            return await self.db.execute("INSERT INTO note (text) VALUES ($1)", text)

        @service("notes.count")
        async def count(self) -> int:
            return await self.db.fetch_value("SELECT count(*) FROM note", into=int)
""")


def tasks_alive() -> int:
    gc.collect()
    return sum(isinstance(one, asyncio.Task) for one in gc.get_objects())


def notes(text: str) -> dict[str, str]:
    return {
        **MIGRATION,
        "domains/notes/write.py": BYSTANDER,
        "domains/notes/guest.py": feature(text),
    }


@on_both_paths
async def test_a_transaction_left_open_ends_with_its_context(
    tmp_path: Path, call_path: str
) -> None:
    """A handler that never leaves its transaction holds up nobody: it is rolled back and named."""
    files = notes("""
        class Guest(Plugin):
            db: Database

            @service("notes.leak")
            async def leak(self) -> str:
                tx = await self.db.transaction().__aenter__()
                await tx.execute("INSERT INTO note (text) VALUES ('leaked')")
                return "left"
    """)
    async with running(tmp_path, files, call_path) as app:
        assert await app.call("notes.leak") == "left"
        assert await app.call("notes.write", text="kept") == 1
        assert await app.call("notes.count") == 1


async def test_a_handler_that_swallows_its_cancellation_is_closed(tmp_path: Path) -> None:
    """After a moment for its cleanup the caller is answered; the work does not go on."""
    files = notes("""
        class Guest(Plugin):
            @service("notes.deaf", timeout_s=1)
            async def deaf(self) -> str:
                while True:
                    try:
                        await asyncio.Event().wait()
                    except asyncio.CancelledError:
                        pass
    """)
    async with running(tmp_path, files) as app:
        call = asyncio.ensure_future(app.call("notes.deaf"))
        await app.clock.settle()
        await app.clock.elapse(1)
        await app.clock.elapse(2)
        with pytest.raises(DeadlineExceeded):
            await call
        assert await app.call("notes.count") == 0


@pytest.mark.parametrize("raised", ["KeyboardInterrupt", "GeneratorExit", "SystemExit"])
@pytest.mark.parametrize("waits", ["pass", "await asyncio.sleep(0)"])
async def test_what_would_steer_the_loop_is_a_bug_of_its_plugin(
    tmp_path: Path, raised: str, waits: str
) -> None:
    """It is answered as internal, and the others serve."""
    files = notes(f"""
        class Guest(Plugin):
            @service("notes.steer")
            async def steer(self) -> str:
                {waits}
                raise {raised}
    """)
    async with running(tmp_path, files) as app:
        with pytest.raises(PluginFailed):
            await app.call("notes.steer")
        assert await app.call("notes.count") == 0


async def test_a_cancellation_of_something_else_is_a_bug_not_a_cancellation(tmp_path: Path) -> None:
    """Awaiting a task that was cancelled does not cancel whoever called."""
    files = notes("""
        class Guest(Plugin):
            @service("notes.confused")
            async def confused(self) -> str:
                other = asyncio.ensure_future(asyncio.sleep(9))
                other.cancel()
                await other
                return "never"
    """)
    async with running(tmp_path, files) as app:
        with pytest.raises(PluginFailed):
            await app.call("notes.confused")


@on_both_paths
async def test_a_def_handler_calls_no_service_inside_its_transaction(
    tmp_path: Path, call_path: str
) -> None:
    """`ctx.call` from a thread stands where it is made, and leaves the transaction as it was."""
    files = notes("""
        class Guest(Plugin):
            db: Database

            @service("notes.inside", calls=("notes.count",))
            def inside(self, ctx: Context) -> int:
                with wait(self.db.transaction()) as tx:
                    wait(tx.execute("INSERT INTO note (text) VALUES ('a')"))
                    wait(ctx.call("notes.count", {}))
                return 0

            @service("notes.after", calls=("notes.count",))
            def after(self, ctx: Context) -> object:
                with wait(self.db.transaction()) as tx:
                    wait(tx.execute("INSERT INTO note (text) VALUES ('a')"))
                return wait(ctx.call("notes.count", {}))
    """)
    async with running(tmp_path, files, call_path) as app:
        with pytest.raises(TransactionHeld):
            await app.call("notes.inside")
        assert await app.call("notes.after") == 1


async def test_jobs_that_wait_leave_nothing_behind(tmp_path: Path) -> None:
    """A thousand `def` handlers that waited keep no task alive."""
    files = notes("""
        class Guest(Plugin):
            db: Database

            @service("notes.look")
            def look(self) -> object:
                return wait(self.db.fetch_value("SELECT 1", into=int))
    """)
    async with running(tmp_path, files) as app:
        before = tasks_alive()
        for _ in range(300):
            await app.call("notes.look")
        assert tasks_alive() - before < 10


async def test_a_budget_of_a_route_leaves_the_services_own(tmp_path: Path) -> None:
    """Two decorators on one method keep their own limits."""
    files = notes("""
        from ringfence.tools.http import get

        class Guest(Plugin):
            @get("/slow", budget=Budget(calls=5))
            @service("notes.slow", timeout_s=1)
            async def slow(self) -> str:
                await asyncio.Event().wait()
                return "never"

            @service("notes.ask", calls=("notes.slow",))
            async def ask(self, ctx: Context) -> object:
                return await ctx.call("notes.slow", {})
    """)
    async with running(tmp_path, files) as app:
        call = asyncio.ensure_future(app.call("notes.ask"))
        await app.clock.settle()
        await app.clock.elapse(1.5)
        await app.clock.settle()
        assert call.done()
        with pytest.raises(DeadlineExceeded):
            await call


async def test_work_that_spawns_itself_keeps_no_chain(tmp_path: Path) -> None:
    """A poller made of spawns is traced by its cause, and can go on for ever."""
    files = notes("""
        class Guest(Plugin):
            @service("notes.poll", calls=("notes.poll",))
            async def poll(self, left: int, ctx: Context) -> int:
                async def again() -> None:
                    await ctx.call("notes.poll", {"left": left - 1})
                if left:
                    ctx.spawn(again())
                return left
    """)
    async with running(tmp_path, files) as app:
        await app.call("notes.poll", left=1500)
        for _ in range(200):
            await app.clock.settle()
        spans = {s.span_id: s for s in app.spans}
        spawned = [s for s in spans.values() if s.operation.endswith(".background")]
        assert spawned
        assert all(s.parent_span_id in spans for s in spawned)


async def test_a_def_handler_spawns(tmp_path: Path) -> None:
    """Background work can be started from a thread; it runs on the loop."""
    files = notes("""
        class Guest(Plugin):
            db: Database

            @service("notes.later")
            def later(self, ctx: Context) -> str:
                async def work() -> None:
                    await self.db.execute("INSERT INTO note (text) VALUES ('later')")
                ctx.spawn(work())
                return "soon"
    """)
    async with running(tmp_path, files) as app:
        assert await app.call("notes.later") == "soon"
        async with asyncio.timeout(10):
            while not await app.call("notes.count"):
                pass


async def test_a_call_from_no_context_is_refused(tmp_path: Path) -> None:
    """A thread of the plugin's own has no budget, no deadline and no trace: it may not call."""
    files = notes("""
        import contextvars

        @requires("notes.count")
        class Count(Protocol):
            async def __call__(self) -> int: ...

        class Guest(Plugin):
            count: Count

            @service("notes.bare")
            async def bare(self) -> int:
                empty = contextvars.Context()
                return await asyncio.get_running_loop().create_task(self.count(), context=empty)
    """)
    async with running(tmp_path, files) as app:
        with pytest.raises(NotGranted, match="outside any context"):
            await app.call("notes.bare")


@pytest.mark.parametrize("name", ["notes.slow", "notes.slow_def"])
async def test_a_deadline_says_committed_if_and_only_if_it_was(tmp_path: Path, name: str) -> None:
    """Whenever it strikes, a client is told neither of a rollback nor of a commit that was not."""
    files = notes("""
        class Guest(Plugin):
            db: Database

            @service("notes.slow", timeout_s=1)
            async def slow(self, tx: Transaction) -> None:
                await tx.execute("INSERT INTO note (text) VALUES ('x')")

            @service("notes.slow_def", timeout_s=1)
            def slow_def(self, tx: Transaction) -> None:
                wait(tx.execute("INSERT INTO note (text) VALUES ('x')"))
    """)
    told: set[bool] = set()
    async with running(tmp_path, files) as app:
        await app.call(name)  # from now on the statement is known to be short
        for turns in range(60):
            before = await app.call("notes.count")
            assert isinstance(before, int)
            call = asyncio.ensure_future(app.call(name))
            for _ in range(turns):
                await asyncio.sleep(0)
            app.clock.advance(2)
            said = ""
            try:
                await call
            except DeadlineExceeded as error:
                said = str(error)
            stored = await app.call("notes.count") == before + 1
            assert stored if not said else ("committed" in said) is stored, said
            assert "rolled back" not in said
            if said:
                told.add(stored)
    assert True in told


async def test_work_that_was_spawned_never_runs_on_the_thread_of_who_waits(tmp_path: Path) -> None:
    """A `def` that holds the writer is not given the `def` work of somebody's background task."""
    files = notes("""
        @requires("notes.later")
        class Later(Protocol):
            async def __call__(self) -> None: ...

        class Guest(Plugin):
            db: Database
            later: Later

            @service("notes.hold")
            def hold(self) -> str:
                wait(self.later())
                with wait(self.db.transaction()) as tx:
                    wait(tx.execute("INSERT INTO note (text) VALUES ('held')"))
                    wait(many_turns())
                return "done"

        async def many_turns() -> None:
            for _ in range(20_000):
                await asyncio.sleep(0)
    """)
    files["domains/notes/sync_write.py"] = feature("""
        class SyncWrite(Plugin):
            db: Database

            @service("notes.sync_write")
            def sync_write(self) -> int:
                return wait(self.db.execute("INSERT INTO note (text) VALUES ('background')"))
    """)
    files["domains/notes/later.py"] = feature("""
        class Start(Plugin):
            @service("notes.later", calls=("notes.sync_write",))
            async def later(self, ctx: Context) -> None:
                async def work() -> None:
                    for _ in range(4000):
                        await asyncio.sleep(0)
                    await ctx.call("notes.sync_write", {})
                ctx.spawn(work())
    """)
    async with running(tmp_path, files) as app:
        assert await asyncio.wait_for(app.call("notes.hold"), 10) == "done"
        async with asyncio.timeout(10):
            while await app.call("notes.count") != 2:
                pass

"""Stopping: work in progress ends or is cancelled, and everything is undone in reverse."""

import asyncio
import sys
import types
from pathlib import Path

import pytest

from ringfence.errors import Overloaded

from .apps import feature, running

pytestmark = pytest.mark.anyio


class Stage(types.ModuleType):
    """What the test and the features share."""

    said: list[str]
    entered: asyncio.Event
    go_on: asyncio.Event


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage("stage")
    made.said, made.entered, made.go_on = [], asyncio.Event(), asyncio.Event()
    monkeypatch.setitem(sys.modules, "stage", made)
    return made


FILES = {
    "domains/work/work.py": feature(
        """
        import stage
        from ringfence.tools.http import get


        class Work(Plugin):
            db: Database

            async def stop(self) -> None:
                rows = await self.db.fetch_value("SELECT count(*) FROM rows", into=int)
                stage.said.append(f"stopped with {rows}")

            @get("/work")
            async def work(self) -> str:
                stage.entered.set()
                await stage.go_on.wait()
                async with self.db.transaction() as tx:
                    await tx.execute("INSERT INTO rows VALUES (1)")
                stage.said.append("worked")
                return "done"

            @get("/hang")
            async def hang(self, tx: Transaction) -> str:
                await tx.execute("INSERT INTO rows VALUES (1)")
                stage.entered.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    stage.said.append("cancelled")
                return "never"

            async def in_the_background(self) -> None:
                stage.entered.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    stage.said.append("background ended")

            @service("work.spawn")
            async def spawn(self, ctx: Context) -> None:
                ctx.spawn(self.in_the_background())
        """
    ),
    "domains/work/later.py": feature(
        """
        import stage


        class Later(Plugin):
            db: Database

            def stop(self) -> None:
                rows = wait(self.db.fetch_value("SELECT count(*) FROM rows", into=int))
                stage.said.append(f"later with {rows}")

            @service("work.later")
            async def later(self) -> int:
                return 1
        """
    ),
    "domains/work/migrations/20260101000000_rows.sql": "CREATE TABLE rows (id INTEGER);",
}


async def test_a_request_in_progress_is_answered_before_anything_stops(
    tmp_path: Path, stage: Stage
) -> None:
    """Its plugin's tools are there until it has ended, and while plugins stop."""
    async with running(tmp_path, FILES) as app:
        client = app.http
        asked = asyncio.create_task(client.get("/work"))
        await stage.entered.wait()
        asyncio.get_running_loop().call_soon(stage.go_on.set)
    answer = await asked
    assert (answer.status, answer.json()) == (200, "done")
    assert stage.said[0] == "worked"
    assert sorted(stage.said[1:]) == ["later with 1", "stopped with 1"]


async def test_a_request_that_does_not_end_is_cancelled_and_rolled_back(
    tmp_path: Path, stage: Stage
) -> None:
    """At the drain's deadline."""
    async with running(tmp_path, FILES, drain_timeout=0.2) as app:
        asked = asyncio.create_task(app.http.get("/hang"))
        await stage.entered.wait()
        clock = app.clock
        asyncio.get_running_loop().call_later(0.05, clock.advance, 1.0)
    assert stage.said[0] == "cancelled"
    assert sorted(stage.said[1:]) == ["later with 0", "stopped with 0"]
    assert (await asked).status == 503


async def test_nothing_new_is_let_in(tmp_path: Path, stage: Stage) -> None:
    """A request that comes while it stops is told so."""
    async with running(tmp_path, FILES) as app:
        client = app.http
    answer = await client.get("/work")
    assert answer.status == 503
    assert sorted(stage.said) == ["later with 0", "stopped with 0"]


async def test_background_work_is_cancelled_before_its_plugin_stops(
    tmp_path: Path, stage: Stage
) -> None:
    """What must survive is not background work."""
    async with running(tmp_path, FILES) as app:
        await app.call("work.spawn")
        await stage.entered.wait()
    assert stage.said[0] == "background ended"
    assert len(stage.said) == 3


async def test_a_call_after_the_stop_is_refused(tmp_path: Path, stage: Stage) -> None:
    """No handler runs on tools that are gone."""
    async with running(tmp_path, FILES) as app:
        assert await app.call("work.later") == 1
    with pytest.raises(Overloaded, match=r"work\.later: the application is stopping"):
        await app.call("work.later")


async def test_no_task_is_left_behind(tmp_path: Path, stage: Stage) -> None:
    """What the application started on the loop ends with it."""
    before = asyncio.all_tasks()
    async with running(tmp_path, FILES) as app:
        await app.call("work.spawn")
        await app.http.get("/health/ready")
    assert asyncio.all_tasks() == before

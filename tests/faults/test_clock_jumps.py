"""A wall clock that jumps an hour: intervals keep their pace, no occurrence is lost or repeated."""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from ringfence.testing import TestApplication
from tests.kernel.apps import feature, running

from .bystander import BYSTANDER, ask, logged
from .stage import Stage

pytestmark = pytest.mark.anyio

# By the wall clock of UTC, from 12:00 on.
TIMERS = feature(
    """
    import stage
    from ringfence.tools.clock import cron, every


    class Job(Plugin):
        clock: Clock

        @every("10m")
        async def pace(self) -> None:
            stage.said.append(f"pace {self.clock.monotonic():.0f}")

        @cron("30 12 * * *")
        async def daily(self) -> None:
            stage.said.append(f"daily {self.clock.now():%d. %H:%M}")

        @cron("*/20 * * * *")
        async def often(self) -> None:
            stage.said.append(f"often {self.clock.now():%H:%M}")
    """
)
FILES = {"domains/jobs/job.py": TIMERS, **BYSTANDER}
TOOLS = {"tools": {"clock": {"start": datetime(2026, 6, 1, 12, tzinfo=UTC)}}}


async def elapse(app: TestApplication, minutes: float) -> None:
    """Let time pass; the bystander is asked each minute, which no deadline of its own outlasts."""
    for _ in range(round(minutes)):
        await app.clock.elapse(60)
        await ask(app)


def of(stage: Stage, what: str) -> list[str]:
    return [line.removeprefix(f"{what} ") for line in stage.said if line.startswith(what)]


def paces(stage: Stage) -> list[int]:
    """The minutes between the runs of the interval, from the start on."""
    at = [1000, *map(int, of(stage, "pace"))]
    return [(b - a) // 60 for a, b in pairwise(at)]


async def test_an_hour_forward_loses_nothing(tmp_path: Path, stage: Stage) -> None:
    """What the jump passes over runs once, late; the interval does not notice."""
    async with running(tmp_path, FILES, overrides=TOOLS) as app:
        await elapse(app, 25)
        app.clock.jump(3600)
        await elapse(app, 35)
        assert paces(stage) == [10] * 6
        assert of(stage, "daily") == ["01. 13:25"]
        assert of(stage, "often") == ["12:20", "13:25", "13:40", "14:00"]
        assert logged(app, "warning", "jobs.job.daily, cron 30 12", "runs 0:55:20 late")


async def test_an_hour_back_repeats_nothing(tmp_path: Path, stage: Stage) -> None:
    """What names an hour has had it; what goes by real time goes on; so does the interval."""
    async with running(tmp_path, FILES, overrides=TOOLS) as app:
        await elapse(app, 45)
        app.clock.jump(-3600)
        await elapse(app, 75)
        assert paces(stage) == [10] * 12
        assert of(stage, "daily") == ["01. 12:30"]
        assert of(stage, "often") == ["12:20", "12:40", "12:00", "12:20", "12:40", "13:00"]
        assert logged(app, "warning", "jobs.job.daily", "the wall clock has been set back by")
        await app.clock.elapse(24 * 3600)
        assert of(stage, "daily") == ["01. 12:30", "02. 12:30"]


async def test_an_hour_back_between_two_starts_repeats_nothing(
    tmp_path: Path, stage: Stage
) -> None:
    """What is stored has been written by a clock that was ahead."""
    db = {"path": str(tmp_path / "kept.db")}

    def tools(hour: int, minute: int) -> dict[str, object]:
        start = datetime(2026, 6, 1, hour, minute, tzinfo=UTC)
        return {"tools": {"clock": {"start": start}, "db": db}}

    async with running(tmp_path, FILES, overrides=tools(12, 0)) as app:
        await app.clock.elapse(45 * 60)
    stage.said.clear()
    async with running(tmp_path, FILES, overrides=tools(11, 46)) as app:
        await elapse(app, 60)
        assert len(of(stage, "pace")) == 6
        assert paces(stage)[1:] == [10] * 5
        assert of(stage, "daily") == []
        assert of(stage, "often") == ["12:00", "12:20", "12:40"]


async def test_a_lease_is_counted_on_a_clock_that_does_not_jump(
    tmp_path: Path, stage: Stage
) -> None:
    """A run that another process has begun is not taken for abandoned because an hour is said to
    have passed, and is in the end, although the clock is set back again and again."""
    source = TIMERS.replace('30 12 * * *"', '30 12 * * *", missed="once"')
    db = {"path": str(tmp_path / "kept.db")}
    files = {**FILES, "domains/jobs/job.py": source}
    start = datetime(2026, 6, 1, 12, 29, 59, tzinfo=UTC)
    tools = {"tools": {"clock": {"start": start}, "db": db}}
    async with running(tmp_path, files, overrides=tools) as one:
        await one.clock.elapse(1)
        assert of(stage, "daily") == ["01. 12:30"]
        store = one.driver("db").timers()  # type: ignore[attr-defined]
        state = await store.load("jobs.job.daily")
        assert await store.put(
            type(state)(state.name, state.spec, state.version, state.last_at, running=True)
        )
        async with running(tmp_path / "other", files, overrides=tools) as app:
            app.clock.jump(3600)
            await ask(app)
            await app.clock.elapse(29)
            app.clock.jump(-7200)
            await ask(app)
            assert of(stage, "daily") == ["01. 12:30"]
            await app.clock.elapse(1)
            assert of(stage, "daily") == ["01. 12:30", "01. 11:30"]
            assert logged(app, "warning", "jobs.job.daily", "late") == []

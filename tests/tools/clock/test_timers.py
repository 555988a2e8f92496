"""What timers do in an application: when they run, across restarts, and what becomes of failures.

The clock is the fake one, the database a real file that outlives the application.
"""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ringfence.testing import TestApplication
from ringfence.tools.log.drivers.memory import Driver as MemoryLog
from tests.kernel.apps import feature, running

pytestmark = pytest.mark.anyio

START = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
Boot = Callable[..., AbstractAsyncContextManager[TestApplication]]


class Diary(ModuleType):
    """The module that features import as `diary`: what they have done, and when."""

    def __init__(self) -> None:
        super().__init__("diary")
        self.lines: list[tuple[str, datetime]] = []

    def note(self, what: str, at: datetime) -> None:
        self.lines.append((what, at))

    def minutes(self, what: str = "ran") -> list[float]:
        """Return at which minutes from the start on it was done."""
        return [(at - START).total_seconds() / 60 for done, at in self.lines if done == what]

    def times(self, what: str = "ran") -> list[str]:
        return [at.isoformat(" ", "minutes")[5:16] for done, at in self.lines if done == what]


@pytest.fixture
def diary(monkeypatch: pytest.MonkeyPatch) -> Diary:
    made = Diary()
    monkeypatch.setitem(sys.modules, "diary", made)
    return made


@pytest.fixture
def boot(tmp_path: Path, diary: Diary) -> Boot:
    """Boot an application with one plugin, at a moment; its database is there the next time."""

    @asynccontextmanager
    async def start(
        source: str, at: datetime | float = START, *, broken: bool = False, **tables: Any
    ) -> AsyncIterator[TestApplication]:
        moment = at if isinstance(at, datetime) else START + timedelta(minutes=at)
        db = {"path": str(tmp_path / "kept.db")}
        tools = {"clock": {"start": moment}, "db": db, **tables.pop("tools", {})}
        files = {"domains/jobs/job.py": source}
        async with running(tmp_path, files, overrides={"tools": tools, **tables}) as app:
            assert bool(app.findings) == broken
            yield app

    return start


def job(decorator: str, body: str = "pass", method: str = "async def run(self) -> None:") -> str:
    indented = "\n".join(f"                {line}" for line in body.split("\n"))
    return feature(f"""
        import diary
        from ringfence.tools.clock import cron, every


        class Job(Plugin):
            db: Database
            clock: Clock

            {decorator}
            {method}
                diary.note("ran", self.clock.now())
{indented}
    """)


def said(app: TestApplication, level: str) -> list[str]:
    log = app.driver("log")
    assert isinstance(log, MemoryLog)
    return [record.message for record in log.records if record.level == level]


async def test_an_interval_begins_with_the_first_start(boot: Boot, diary: Diary) -> None:
    """The first run is one interval later, and each one after that."""
    async with boot(job('@every("5m")')) as app:
        await app.clock.elapse(16 * 60)
    assert diary.minutes() == [5, 10, 15]


async def test_a_restart_neither_forgets_nor_repeats(boot: Boot, diary: Diary) -> None:
    """An interval goes on where it was, however often the application starts within it."""
    source = job('@every("6h")')
    for start in range(0, 24 * 60, 5 * 60):
        async with boot(source, start) as app:
            await app.clock.elapse(5 * 3600)
    assert diary.minutes() == [360, 720, 1080, 1440]


async def test_an_interval_that_ended_in_a_downtime_is_made_up_for_once(
    boot: Boot, diary: Diary
) -> None:
    """It runs at the start, and from there on at its pace."""
    source = job('@every("5m")')
    async with boot(source) as app:
        await app.clock.elapse(60)
    async with boot(source, 33) as app:
        await app.clock.elapse(11 * 60)
    assert diary.minutes() == [33, 38, 43]


async def test_a_cron_expression_runs_by_the_wall_clock_of_its_zone(
    boot: Boot, diary: Diary
) -> None:
    """On the day that summer time begins as on all others."""
    source = job('@cron("30 2 * * *", tz="Europe/Berlin")')
    async with boot(source, datetime(2026, 3, 27, 12, tzinfo=UTC)) as app:
        await app.clock.elapse(3 * 86400)
    assert diary.times() == ["03-28 01:30", "03-29 01:00", "03-30 00:30"]


async def test_an_hour_that_comes_twice_has_its_run_once(boot: Boot, diary: Diary) -> None:
    """Also where the application starts between the two, and makes up for what it misses."""
    source = job('@cron("30 2 * * *", tz="Europe/Berlin", missed="once")')
    async with boot(source, datetime(2026, 10, 24, 23, 45, tzinfo=UTC)) as app:
        await app.clock.elapse(3600)
    assert diary.times() == ["10-25 00:30"]
    async with boot(source, datetime(2026, 10, 25, 0, 50, tzinfo=UTC)) as app:
        await app.clock.elapse(3600)
    assert diary.times() == ["10-25 00:30"]


async def test_missed_occurrences_are_skipped(boot: Boot, diary: Diary) -> None:
    """By default what fell into a downtime is lost."""
    source = job('@cron("0 * * * *")')
    async with boot(source) as app:
        await app.clock.elapse(61 * 60)
    async with boot(source, 5 * 60 + 1) as app:
        await app.clock.elapse(3600)
    assert diary.minutes() == [60, 360]


async def test_missed_occurrences_are_made_up_for_by_one_run(boot: Boot, diary: Diary) -> None:
    """However many they were; and no start after that repeats it."""
    source = job('@cron("0 * * * *", missed="once")')
    async with boot(source) as app:
        await app.clock.elapse(61 * 60)
    for start in (5 * 60 + 1, 5 * 60 + 10):
        async with boot(source, start) as app:
            await app.clock.elapse(60)
    assert diary.minutes() == [60, 301]


async def test_a_new_timer_has_missed_nothing(boot: Boot, diary: Diary) -> None:
    """Its past begins with its first start."""
    async with boot(job('@cron("0 3 * * *", missed="once")')) as app:
        await app.clock.elapse(3600)
    assert diary.lines == []


async def test_a_changed_timer_takes_effect_and_does_not_run_at_once(
    boot: Boot, diary: Diary
) -> None:
    """What it would have done under its new expression, it has not missed."""
    async with boot(job('@cron("0 3 * * *", missed="once")')) as app:
        await app.clock.elapse(86400)
    diary.lines.clear()
    async with boot(job('@cron("0 * * * *", missed="once")'), START + timedelta(hours=26.5)) as app:
        await app.clock.elapse(60)
        assert diary.lines == []
        await app.clock.elapse(1800)
    assert diary.minutes() == [27 * 60]


async def test_a_run_that_was_cut_off_runs_again(boot: Boot, diary: Diary) -> None:
    """With missed="once": what the stop cancels was no run."""
    decorator, body = '@cron("0 3 * * *", missed="once")', "await self.clock.sleep(3600)"
    async with boot(job(decorator, body)) as app:
        await app.clock.elapse(15 * 3600 + 5)
    assert diary.times() == ["06-02 03:00"]
    async with boot(job(decorator), datetime(2026, 6, 2, 9, 0, tzinfo=UTC)) as app:
        await app.clock.elapse(1)
    assert diary.times() == ["06-02 03:00", "06-02 09:00"]


async def test_a_run_gets_the_time_of_a_drain_to_end(boot: Boot, diary: Diary) -> None:
    """What ends within it is no run that was cut off."""
    body = 'await self.clock.sleep(9)\ndiary.note("done", self.clock.now())'
    source = job('@cron("0 * * * *", missed="once")', body)
    async with boot(source) as app:
        await app.clock.elapse(3600)
    assert (diary.minutes(), diary.minutes("done")) == ([60], [60.15])
    async with boot(source, 70) as app:
        await app.clock.elapse(60)
    assert diary.minutes() == [60]


async def test_an_occurrence_that_comes_while_the_last_one_runs_is_skipped(
    boot: Boot, diary: Diary
) -> None:
    """The log names the plugin; nothing waits in line."""
    async with boot(job('@every("5s")', "await self.clock.sleep(12)")) as app:
        await app.clock.elapse(40)
        assert [round(minute * 60) for minute in diary.minutes()] == [5, 20, 35]
        assert (
            said(app, "warning")
            == ["jobs.job.run, every 5s: an occurrence is skipped, since the one before still runs"]
            * 5
        )


async def test_what_was_skipped_is_not_made_up_for_later(boot: Boot, diary: Diary) -> None:
    """It had its moment, as far as the store knows as well."""
    body = "if len(diary.lines) == 1:\n    await self.clock.sleep(90)"
    source = job('@cron("* * * * *", missed="once")', body)
    async with boot(source, budgets={"clock": {"wall": "5m"}}) as app:
        await app.clock.elapse(155)
        assert len(said(app, "warning")) == 1
    async with boot(source, 2.75) as app:
        await app.clock.elapse(1)
    assert diary.minutes() == [1]


async def test_a_run_that_fails_is_recorded_and_the_next_one_comes(
    boot: Boot, diary: Diary
) -> None:
    """A bug with its traceback, an expected error with what it says; both in their traces."""
    body = (
        'if len(diary.lines) == 1:\n    raise RuntimeError("no")\nraise NotFound("nothing to do.")'
    )
    async with boot(job('@every("5m")', body)) as app:
        await app.clock.elapse(11 * 60)
        assert [span.failure and span.failure.kind for span in app.spans] == [
            "RuntimeError",
            "NotFound",
        ]
        (bug,) = said(app, "error")
        assert bug.startswith("every 5m (jobs.job.run) failed in trace ")
        (expected,) = said(app, "warning")
        assert expected == (
            f"jobs.job.run, every 5m: failed in trace {app.spans[1].trace_id}: nothing to do."
        )


async def test_a_tick_is_a_root_with_the_budget_of_the_clock(boot: Boot, diary: Diary) -> None:
    """`[budgets.clock]` says what one may spend, and when its time is up."""
    body = 'await self.clock.sleep(60)\ndiary.note("late", self.clock.now())'
    budgets = {"clock": {"wall": "10s"}}
    async with boot(job('@every("5m")', body), budgets=budgets) as app:
        await app.clock.elapse(311)
        (span,) = app.spans
        assert (span.origin, span.operation, span.duration_s) == ("every 5m", "jobs.job.run", 10)
        assert span.failure is not None
        assert span.failure.kind == "DeadlineExceeded"
    assert diary.minutes("late") == []


async def test_what_a_timer_asks_for_is_given_to_it(boot: Boot, diary: Diary) -> None:
    """A context, a transaction; in a `def` as well, and with a default for what nobody gives."""
    method = "def run(self, tx: Transaction, ctx: Context, limit: int = 7) -> None:"
    body = 'two = wait(tx.fetch_value("SELECT 1 + 1", into=int))\n'
    body += "diary.note(f'{ctx.operation} {two} {limit} {ctx.principal}', self.clock.now())"
    async with boot(job('@every("5m")', body, method)) as app:
        await app.clock.elapse(301)
    assert [what for what, _ in diary.lines] == ["ran", "jobs.job.run 2 7 None"]


async def test_a_jitter_delays_each_run_anew(boot: Boot, diary: Diary) -> None:
    """By no more than it says, and without moving those that follow."""
    async with boot(job('@every("10m", jitter="60s")')) as app:
        await app.clock.elapse(100.5 * 60)
    late = [minute - 10 * n for n, minute in enumerate(diary.minutes(), 1)]
    assert len(late) in (9, 10)
    assert all(0 <= minutes <= 1 for minutes in late)
    assert len(set(late)) > 1


async def test_two_timers_of_one_method_are_kept_apart(boot: Boot, diary: Diary) -> None:
    """Each has a state of its own."""
    source = job('@every("5m")\n            @cron("7 * * * *", name="hourly")')
    async with boot(source) as app:
        await app.clock.elapse(11 * 60)
    assert diary.minutes() == [5, 7, 10]


async def test_the_database_of_the_timers_can_be_another(
    boot: Boot, diary: Diary, tmp_path: Path
) -> None:
    """One that is called `timers`, as a field of that name would get it."""
    tools = {"timers": {"tool": "db", "path": str(tmp_path / "timers.db")}}
    source = job('@every("5m")').replace("    db: Database\n", "")
    async with boot(source, tools=tools) as app:
        await app.clock.elapse(301)
        assert [tool.instance for tool in app.status.tools] == ["clock", "log", "timers", "http"]
    assert diary.minutes() == [5]


async def test_an_application_without_timers_needs_no_database(
    tmp_path: Path, diary: Diary
) -> None:
    """And wakes for nothing."""
    source = feature("class Idle(Plugin):\n    clock: Clock\n")
    async with running(tmp_path, {"domains/jobs/idle.py": source}) as app:
        assert [tool.instance for tool in app.status.tools] == ["clock", "log", "http"]
        assert app.clock.waiting == 0


async def test_a_timetable_of_many_is_one_timer_of_the_loop(boot: Boot, diary: Diary) -> None:
    """However many wait, and they look at the wall clock together."""
    lines = "\n            ".join(f'@cron("0 {n % 24} * * *", name="n{n}")' for n in range(100))
    async with boot(job(lines)) as app:
        assert app.clock.waiting == 1
        await app.clock.elapse(30)
        assert app.clock.waiting == 1


async def test_a_plugin_that_did_not_start_loses_no_run_that_must_not_be_lost(
    boot: Boot, diary: Diary
) -> None:
    """What is refused has not run: with missed="once" it stays due. The log is not flooded."""
    source = job('@cron("0 * * * *", missed="once")\n            @every("1s", name="often")')
    failing = source + '\n    async def start(self) -> None:\n        raise NotFound("no paper.")\n'
    async with boot(failing, broken=True) as app:
        await app.clock.elapse(62 * 60)
        refused = [span for span in app.spans if span.failure and span.origin]
        assert {span.failure and span.failure.kind for span in refused} == {"PluginQuarantined"}
        assert len(refused) < 70
        assert said(app, "warning") == []
    assert diary.lines == []
    async with boot(source, 63) as app:
        await app.clock.elapse(0.5)
    assert diary.minutes() == [63, 63]

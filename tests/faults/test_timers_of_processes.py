"""Processes that share a database: each occurrence runs in one of them, and none dies with it."""

import sqlite3
from collections import Counter
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.kernel.apps import feature, write

from .bystander import BYSTANDER
from .timekeeper import timekeeper

START = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
RUNS = "CREATE TABLE runs (what TEXT NOT NULL, at TEXT NOT NULL, process INTEGER NOT NULL);"
JOB = feature(
    """
    import os
    import signal

    from ringfence.tools.clock import cron, every

    DEADLY = ()


    class Job(Plugin):
        db: Database
        clock: Clock

        @every("1m")
        async def pace(self) -> None:
            await self.note("pace")

        @cron("*/2 * * * *")
        def even(self) -> None:
            wait(self.note("even"))

        @cron("*/3 * * * *", missed="once")
        async def third(self) -> None:
            await self.note("third")

        async def note(self, what: str) -> None:
            at = f"{self.clock.now():%H:%M}"
            sql = "INSERT INTO runs (what, at, process) VALUES ($1, $2, $3)"
            await self.db.execute(sql, what, at, os.getpid())
            count = "SELECT count(*) FROM runs WHERE what = $1"
            if what in DEADLY and await self.db.fetch_value(count, what) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
    """
)


def deadly(*words: str) -> str:
    """Let the first run of each of these kill its process."""
    return JOB.replace("DEADLY = ()", f"DEADLY = {words}")


def application(root: Path, source: str) -> Path:
    files = {"domains/jobs/job.py": source, "domains/jobs/migrations/20260101000000_runs.sql": RUNS}
    return write(root / "app", {**files, **BYSTANDER})


def runs(database: Path, what: str) -> list[str]:
    with closing(sqlite3.connect(database)) as line:
        rows = line.execute("SELECT at FROM runs WHERE what = ? ORDER BY rowid", (what,))
        return [at for (at,) in rows]


def moments(step: int, end: int, begin: int = 0) -> list[str]:
    """Return the minutes of the hour from noon on that `step` divides."""
    return [f"{START + timedelta(minutes=m):%H:%M}" for m in range(begin, end + 1, step) if m]


def test_each_occurrence_runs_in_one_of_two_processes(tmp_path: Path) -> None:
    """Their clocks move side by side, so that both reach for each occurrence at once."""
    app, database = application(tmp_path, JOB), tmp_path / "shared.db"
    with ExitStack() as stack:
        both = [stack.enter_context(timekeeper(app, database, START)) for _ in range(2)]
        for _ in range(3 * 24):
            for process in both:
                process.move(20)
            assert all(process.arrive() for process in both)
        said = [line for process in both for line in process.logged]
        assert [line for line in said if not line.startswith("migration ")] == []
    assert Counter(runs(database, "pace")) == Counter(moments(1, 24))
    assert Counter(runs(database, "even")) == Counter(moments(2, 24))
    assert Counter(runs(database, "third")) == Counter(moments(3, 24))


@pytest.mark.parametrize("what, step", [("third", 3), ("even", 2)])
def test_a_run_that_dies_with_its_process(tmp_path: Path, what: str, step: int) -> None:
    """With missed="once" another one takes it over, once its lease has ended, and says so; with
    "skip" it has had its run."""
    app, database = application(tmp_path, deadly(what)), tmp_path / "shared.db"
    with ExitStack() as stack:
        both = [stack.enter_context(timekeeper(app, database, START)) for _ in range(2)]
        alive = both
        while len(alive) == 2:
            for process in both:
                process.move(20)
            alive = [process for process in both if process.arrive()]
        (survivor,) = alive
        died_at = moments(step, step)
        assert runs(database, what) == died_at
        assert survivor.elapse(9)
        assert runs(database, what) == died_at
        assert survivor.elapse(40)
        again = died_at if what == "third" else []
        assert runs(database, what) == died_at + again
        word = "its run in another process has shown no life for 30 s"
        said = [line for line in survivor.logged if f"jobs.job.{what}" in line and word in line]
        assert len(said) == len(again)


def test_a_run_that_died_with_the_last_process_runs_at_the_next_start(tmp_path: Path) -> None:
    """Once, when it is certain that nobody is at it; what may be skipped is not repeated."""
    app, database = application(tmp_path, deadly("even", "third")), tmp_path / "shared.db"
    for minute in (0, 10):  # the runs of `even` and of `third` each cost a process
        with timekeeper(app, database, START + timedelta(minutes=minute)) as process:
            while process.elapse(20):
                pass
    assert (runs(database, "even"), len(runs(database, "third"))) == (["12:02"], 1)
    with timekeeper(app, database, START + timedelta(minutes=31)) as process:
        assert process.elapse(29)
        assert len(runs(database, "third")) == 1
        assert process.elapse(2)
        assert runs(database, "third")[1:] == ["12:31"]
        assert process.elapse(20)
        assert (len(runs(database, "third")), len(runs(database, "even"))) == (2, 1)

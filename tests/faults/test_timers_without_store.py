"""A database that cannot be written to delays timers; it does not end them, and is told once."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.kernel.apps import feature, running

from .bystander import BYSTANDER, ask, failed, logged
from .stage import Stage

pytestmark = pytest.mark.anyio

JOB = feature(
    """
    import stage
    from ringfence.tools.clock import cron, every


    class Job(Plugin):
        clock: Clock

        @every("1m")
        async def pace(self) -> None:
            stage.said.append(f"pace {self.clock.now():%H:%M:%S}")

        @cron("*/30 * * * *", missed="once")
        async def half(self) -> None:
            stage.said.append(f"half {self.clock.now():%H:%M:%S}")
    """
)
FILES = {"domains/jobs/job.py": JOB, **BYSTANDER}


def tools(database: Path) -> dict[str, object]:
    return {"tools": {"db": {"path": str(database), "busy_timeout_s": 0.01}}}


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold the lock for writing, as another process would that writes for minutes."""
    with closing(sqlite3.connect(database, isolation_level=None)) as line:
        line.execute("BEGIN IMMEDIATE")
        yield
        line.execute("ROLLBACK")


async def test_what_comes_due_while_the_store_is_away_runs_once_it_is_back(
    tmp_path: Path, stage: Stage
) -> None:
    """Late, and once for all that has passed; whoever waits tries less and less often."""
    database = tmp_path / "kept.db"
    async with running(tmp_path, FILES, overrides=tools(database)) as app:
        await app.clock.elapse(150)
        stage.said.clear()
        with locked(database):
            for _ in range(30):
                await app.clock.elapse(60)
                await ask(app)
            assert stage.said == []
            assert len(logged(app, "error", "timers wait", "holds the database's lock")) == 1
        await app.clock.elapse(180)
        late = ["half 00:33:03", "pace 00:33:03"]
        assert sorted(stage.said) == [*late, "pace 00:34:00", "pace 00:35:00"]
        assert len(logged(app, "error", "timers wait")) == 1
        assert len(logged(app, "warning", "timers go on")) == 1
        assert logged(app, "warning", "jobs.job.half, cron */30 * * * * UTC: runs", "late")
        assert failed(app, "jobs.job", "Busy") == []


async def test_a_store_that_is_away_at_the_start_delays_the_timers_alone(
    tmp_path: Path, stage: Stage
) -> None:
    """The application serves; they begin when it is back."""
    database = tmp_path / "kept.db"
    async with running(tmp_path, FILES, overrides=tools(database)):
        pass
    with ExitStack() as lock:
        lock.enter_context(locked(database))
        async with running(tmp_path, FILES, overrides=tools(database)) as app:
            await app.clock.elapse(90)
            await ask(app)
            assert stage.said == []
            lock.close()
            await app.clock.elapse(90)
            assert stage.said == ["pace 00:01:31", "pace 00:02:00", "pace 00:03:00"]


async def test_a_database_that_did_not_start_is_said_to_hold_up_the_timers(
    tmp_path: Path, stage: Stage
) -> None:
    """The application serves without them, and its health says why."""
    database = tmp_path / "kept.db"
    with locked(database):
        async with running(tmp_path, FILES, overrides=tools(database)) as app:
            await app.clock.elapse(120)
            await ask(app)
            assert stage.said == []
            assert len(logged(app, "error", "timers wait", "db: it is not running")) == 1
            assert app.health.reasons == ("tool db is dead",)

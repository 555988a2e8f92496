"""Commits that fail, and transactions that are undone: they cost their own group and no other."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from ringfence.errors import ToolUnavailable
from ringfence.testing import TestApplication
from ringfence.tools.db import ForeignKeyViolation, SerializationFailure
from tests.kernel.apps import feature, running

from .bystander import BYSTANDER, asked_throughout, failed, logged
from .stage import Stage

pytestmark = pytest.mark.anyio

LEDGER = feature(
    """
    import stage
    from ringfence.tools.db import Database

    WRITE = "INSERT INTO entry (id) VALUES ($1)"


    class Ledger(Plugin):
        db: Database

        @service("ledger.write")
        async def write(self, id: int) -> None:
            async with self.db.transaction() as tx:
                await tx.execute(WRITE, id)

        @service("ledger.undo")
        async def undo(self, id: int) -> None:
            async with self.db.transaction() as tx:
                await tx.execute(WRITE, id)
                raise NotFound(f"{id} is not wanted")

        @service("ledger.hold")
        async def hold(self, id: int) -> None:
            async with self.db.transaction() as tx:
                await tx.execute(WRITE, id)
                stage.entered.release()
                await asyncio.Event().wait()

        @service("ledger.count")
        async def count(self) -> int:
            return await self.db.fetch_value("SELECT count(*) FROM entry", into=int)
    """
)
BROKEN = feature(
    """
    from ringfence.tools.db import Database


    class Broken(Plugin):
        db: Database

        @service("ledger.break_off")
        async def break_off(self, id: int | None) -> None:
            await self.db.execute("INSERT INTO entry (id, parent) VALUES ($1, $2)", id, id)
    """
)
FILES = {
    "domains/ledger/write_entries.py": LEDGER,
    "domains/ledger/break_off.py": BROKEN,
    "domains/ledger/migrations/20260101000000_entry.sql": (
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);"
        "CREATE TABLE entry (id INTEGER PRIMARY KEY, parent BIGINT);"
    ),
    **BYSTANDER,
}


def defer(file: Path) -> None:
    """Add from outside what no migration may: a constraint that fails at COMMIT."""
    with closing(sqlite3.connect(file, isolation_level=None)) as line:
        line.execute("DROP TABLE entry")
        line.execute(
            "CREATE TABLE entry (id INTEGER PRIMARY KEY, "
            "parent BIGINT REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)"
        )


async def warm(app: TestApplication) -> None:
    """Run each statement until it stays on the event loop, where it can share a COMMIT."""
    for number in range(-40, 0, 10):
        await app.call("ledger.write", id=number)
        await app.call("ledger.break_off", id=None)


async def test_a_failing_commit_fails_its_group_and_nobody_else(
    tmp_path: Path, stage: Stage
) -> None:
    """All that shared it are told to try again; what comes later is kept; spans name both."""
    file = tmp_path / "ledger.db"
    async with running(tmp_path, FILES, overrides={"tools": {"db": {"path": str(file)}}}) as app:
        defer(file)
        await warm(app)
        async with asked_throughout(app):
            for first in range(0, 300, 3):  # a busy machine may keep some of them apart
                outcomes = await at_once(app, first)
                if outcomes[0] is not None:
                    break
        assert [type(each) for each in outcomes] == [SerializationFailure] * 3
        assert all(isinstance(each, ToolUnavailable) for each in outcomes)
        assert failed(app, "ledger.write_entries", "SerializationFailure")
        span = failed(app, "ledger.break_off", "SerializationFailure")[-1]
        assert span.failure is not None
        assert "FOREIGN KEY constraint failed" in span.failure.message

        async with asked_throughout(app):
            again = await at_once(app, first)
        assert [type(each) for each in again] == [type(None), ForeignKeyViolation, type(None)]


async def at_once(app: TestApplication, first: int) -> Sequence[object]:
    """Write three entries at once, the second of which breaks a deferred constraint; what is told
    must be what is stored."""
    before = await app.call("ledger.count")
    outcomes: Sequence[object] = await asyncio.gather(
        app.call("ledger.write", id=first),
        app.call("ledger.break_off", id=first + 1),
        app.call("ledger.write", id=first + 2),
        return_exceptions=True,
    )
    stored = await app.call("ledger.count")
    assert isinstance(before, int)
    assert stored == before + list(outcomes).count(None)
    return outcomes


async def test_what_is_rolled_back_spoils_nothing_that_follows(
    tmp_path: Path, stage: Stage
) -> None:
    """Ten that commit among many that do not are there, and they alone."""
    file = tmp_path / "ledger.db"
    async with running(tmp_path, FILES, overrides={"tools": {"db": {"path": str(file)}}}) as app:
        async with asked_throughout(app):
            for number in range(10):
                await asyncio.gather(
                    app.call("ledger.undo", id=1000 + number),
                    app.call("ledger.write", id=number),
                    app.call("ledger.undo", id=2000 + number),
                    return_exceptions=True,
                )
        assert len(failed(app, "ledger.write_entries", "NotFound")) >= 20
    with closing(sqlite3.connect(file)) as line:
        assert line.execute("SELECT id FROM entry").fetchall() == [(n,) for n in range(10)]


async def test_who_holds_a_transaction_for_too_long_is_named(tmp_path: Path, stage: Stage) -> None:
    """Everybody else writes on, and the log says whose it was and at which line it stood."""
    async with running(tmp_path, FILES) as app:
        holding = asyncio.create_task(app.call("ledger.hold", id=1))
        await stage.come_in()
        waiting = asyncio.create_task(app.call("ledger.write", id=2))
        async with asked_throughout(app):
            app.clock.advance(0.3)
            await waiting
        assert await app.call("ledger.count") == 1
        (told,) = logged(app, "warning", "transaction of ledger.write_entries", "rolled back")
        assert "domains/ledger/write_entries.py:" in told
        assert " in hold" in told
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holding

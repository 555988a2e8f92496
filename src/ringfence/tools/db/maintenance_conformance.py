"""The executable contract of maintenance: what every driver that offers it does.

    @pytest.mark.anyio
    class TestMyDriver(MaintenanceConformance):
        @pytest.fixture
        async def operated(self, tmp_path: Path) -> AsyncIterator[Operated]: ...

The fixture gives a database that does not exist yet, of an application with the domain `orders`.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from msgspec import Struct

from ringfence.errors import StartRefused
from ringfence.tools.db.contract import Database
from ringfence.tools.db.maintenance import Maintenance

FIRST = "CREATE TABLE item (id BIGINT PRIMARY KEY, name TEXT);"
SECOND = "INSERT INTO item VALUES (1, 'first');"
BAD = "INSERT INTO item VALUES (2, 'second');\n\nINSERT INTO nowhere VALUES (1);"
COUNT = "SELECT count(*) FROM item"


class Operated(Struct, frozen=True):
    """The database under test.

    `add(name, text)` writes a migration of `orders` and returns its path, `maintenance()` is that
    of a driver that has not been started, and `run()` starts one.
    """

    add: Callable[[str, str], Path]
    maintenance: Callable[[], Maintenance]
    run: Callable[[], AbstractAsyncContextManager[Database]]
    folder: Path


class Kept:
    """Progress that is kept."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.ended_parts: list[str] = []

    def begun(self, part: str) -> None:
        self.parts.append(part)

    def advanced(self, done_bytes: int, total_bytes: int) -> None:
        assert 0 <= done_bytes <= total_bytes

    def ended(self, part: str, took_s: float) -> None:
        assert took_s >= 0
        self.ended_parts.append(part)


class MaintenanceConformance:
    """Subclass it with a fixture `operated`; every test must pass."""

    async def test_a_plan_is_carried_out_once(self, operated: Operated) -> None:
        """In order, each told of from its beginning to its end; then nothing is pending."""
        operated.add("20260101000001_second.sql", SECOND)
        operated.add("20260101000000_first.sql", FIRST)
        ids = ["orders/20260101000000_first", "orders/20260101000001_second"]
        assert [step.id for step in (await operated.maintenance().plan()).pending] == ids
        progress = Kept()
        done = await operated.maintenance().migrate(progress)
        assert [step.id for step in done.pending] == progress.parts == progress.ended_parts == ids
        again = await operated.maintenance().migrate(progress)
        assert (again.pending, again.applied, again.gone) == ((), 2, ())
        async with operated.run() as db:
            assert await db.fetch_value(COUNT, into=int) == 1

    async def test_a_failing_migration_leaves_nothing(self, operated: Operated) -> None:
        """Those before it stay, its line is told, and mended it is applied."""
        operated.add("20260101000000_first.sql", FIRST)
        path = operated.add("20260101000001_bad.sql", BAD)
        with pytest.raises(StartRefused) as caught:
            await operated.maintenance().migrate(Kept())
        assert [(Path(f.file).name, f.line) for f in caught.value.findings] == [(path.name, 3)]
        plan = await operated.maintenance().plan()
        assert (plan.applied, len(plan.pending)) == (1, 1)
        path.write_text(SECOND)
        async with operated.run() as db:
            assert await db.fetch_value(COUNT, into=int) == 1

    async def test_what_was_applied_and_changed_is_refused(self, operated: Operated) -> None:
        """Before anything else is applied; what is gone is told and refuses nothing."""
        path = operated.add("20260101000000_first.sql", FIRST)
        await operated.maintenance().migrate(Kept())
        operated.add("20260101000001_second.sql", SECOND)
        path.write_text(f"{FIRST} -- changed")
        with pytest.raises(StartRefused):
            await operated.maintenance().migrate(Kept())
        path.unlink()
        plan = await operated.maintenance().migrate(Kept())
        assert (plan.gone, len(plan.pending)) == (("orders/20260101000000_first",), 1)

    async def test_a_backup_of_a_running_database_comes_back_under_it(
        self, operated: Operated
    ) -> None:
        """It holds what was committed; a restore keeps what it replaces, and can be undone."""
        operated.add("20260101000000_first.sql", FIRST)
        async with operated.run() as db:
            await db.execute(SECOND)
            async with db.transaction() as tx:
                await tx.execute("INSERT INTO item VALUES (2, 'open')")
                made = await operated.maintenance().backup(None, Kept())
            assert await db.fetch_value(COUNT, into=int) == 2
            done = await operated.maintenance().restore(Path(made.file), Kept())
            assert await db.fetch_value(COUNT, into=int) == 1
            await operated.maintenance().restore(Path(done.kept), Kept())
            assert await db.fetch_value(COUNT, into=int) == 2
            assert await db.execute("INSERT INTO item VALUES (3, 'after')") == 1

    async def test_a_backup_overwrites_nothing(self, operated: Operated) -> None:
        """Whatever has the name keeps it."""
        operated.add("20260101000000_first.sql", FIRST)
        await operated.maintenance().migrate(Kept())
        target = operated.folder / "taken"
        target.write_text("mine")
        with pytest.raises(StartRefused):
            await operated.maintenance().backup(target, Kept())
        assert target.read_text() == "mine"

    async def test_what_is_no_backup_of_it_is_not_restored(self, operated: Operated) -> None:
        """Neither text, nor nothing, nor a database that has had what is not known here."""
        operated.add("20260101000000_first.sql", FIRST)
        await operated.maintenance().migrate(Kept())
        old = await operated.maintenance().backup(operated.folder / "old", Kept())
        later = operated.add("20260101000001_second.sql", SECOND)
        await operated.maintenance().migrate(Kept())
        newer = await operated.maintenance().backup(operated.folder / "newer", Kept())
        later.unlink()
        await operated.maintenance().restore(Path(old.file), Kept())
        text = operated.folder / "text"
        text.write_text("no backup")
        async with operated.run() as db:
            await db.execute("INSERT INTO item VALUES (7, 'now')")
            for refused in (text, operated.folder / "nowhere", Path(newer.file)):
                with pytest.raises(StartRefused):
                    await operated.maintenance().restore(refused, Kept())
            assert await db.fetch_value("SELECT name FROM item", into=str) == "now"

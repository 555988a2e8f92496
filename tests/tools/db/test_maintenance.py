"""A database for its operator: what is pending, a copy of one moment, and the way back."""

import asyncio
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from ringfence.errors import StartRefused
from ringfence.tools.db.drivers.sqlite import Config
from ringfence.tools.db.maintenance import Maintained

from .support import handle, make, migration, running
from .upkeep import Quiet, upkeep

pytestmark = pytest.mark.anyio

FIRST = "CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT);"
FILE = Path("data/shop.db")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    migration(tmp_path, "a", "20260103000000_first.sql", FIRST)
    return tmp_path


def bodies(file: Path) -> list[str]:
    """Return the notes of a database, which must be sound."""
    with closing(sqlite3.connect(file)) as line:
        assert line.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [body for (body,) in line.execute("SELECT body FROM note ORDER BY id")]


async def add(root: Path, body: str) -> None:
    """Write a note by a running application, and stop it."""
    async with running(make(root)) as driver:
        await handle(driver, "a.write").execute("INSERT INTO note (body) VALUES ($1)", body)


def files(folder: Path) -> set[str]:
    """Name what is in a folder, but for what SQLite keeps beside a database that was opened."""
    return {each.name for each in folder.iterdir() if each.suffix not in {".db-shm", ".db-wal"}}


# ---- what is pending


async def test_a_plan_changes_nothing(root: Path) -> None:
    """Of a database that is not there yet, everything is pending, and it is not made."""
    plan = await upkeep(root).plan()
    assert [(step.id, step.file) for step in plan.pending] == [
        ("a/20260103000000_first", "domains/a/migrations/20260103000000_first.sql")
    ]
    assert (plan.database, plan.applied, plan.gone) == (str(root / FILE), 0, ())
    assert not (root / "data").exists()
    assert isinstance(make(root), Maintained)


async def test_a_migration_is_told_of_as_it_gets_on(root: Path) -> None:
    """Its beginning and its end; what had been done before is not done again."""
    progress = Quiet()
    assert len((await upkeep(root).migrate(progress)).pending) == 1
    assert progress.said == ["begun a/20260103000000_first", "ended a/20260103000000_first"]
    again = await upkeep(root).migrate(progress)
    assert (again.pending, again.applied, len(progress.said)) == ((), 1, 2)


async def test_nothing_pending_makes_no_file(tmp_path: Path) -> None:
    """An application without migrations gets no database by migrating."""
    (tmp_path / "domains").mkdir()
    await upkeep(tmp_path).migrate(Quiet())
    assert not (tmp_path / "data").exists()


async def test_one_that_comes_late_is_applied_and_told(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Older than what its domain has had, as when a branch is merged late; others are not."""
    await upkeep(root).migrate(Quiet())
    migration(root, "a", "20260102000000_late.sql", "CREATE TABLE late (x);")
    migration(root, "b", "20260101000000_new.sql", "CREATE TABLE new (x);")
    plan = await upkeep(root).plan()
    assert [(step.id, step.late) for step in plan.pending] == [
        ("b/20260101000000_new", False),
        ("a/20260102000000_late", True),
    ]
    async with running(make(root)):
        pass
    warned = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert warned == ["migration a/20260102000000_late came late: newer ones had been applied"]


async def test_one_whose_file_is_gone_is_told_and_refuses_nothing(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """So that the version before a bad one can be started again."""
    gone = migration(root, "a", "20260104000000_bad.sql", "CREATE TABLE bad (x);")
    await upkeep(root).migrate(Quiet())
    gone.unlink()
    assert (await upkeep(root).plan()).gone == ("a/20260104000000_bad",)
    await add(root, "goes on")
    assert any("20260104000000_bad was applied" in each.getMessage() for each in caplog.records)


@pytest.mark.parametrize("there", [False, True])
async def test_where_the_command_migrates_a_start_is_refused_until_it_has(
    root: Path, there: bool
) -> None:
    """It names the command and the files, and makes nothing; afterwards it starts."""
    if there:
        await add(root, "first")
        migration(root, "a", "20260105000000_next.sql", "CREATE TABLE next (x);")
    config = Config(migrate="command")
    with pytest.raises(StartRefused, match="`ringfence migrate /") as caught:
        async with running(make(root, config=config)):
            pass
    (finding,) = caught.value.findings
    assert finding.rule == "RF208"
    assert (root / FILE).exists() == there
    await upkeep(root, config=config).migrate(Quiet())
    async with running(make(root, config=config)):
        pass


async def test_a_start_that_takes_too_long_undoes_the_migration_and_says_so(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Given up in the middle of a statement: nothing of it is left, and the log has the way out."""

    endless = (
        "CREATE TABLE n (i);\nINSERT INTO n WITH RECURSIVE n(i) AS "
        "(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT max(i) FROM n;"
    )
    migration(root, "a", "20260109000000_endless.sql", endless)
    driver = make(root)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await driver.start()
    await driver.stop()
    assert any("`ringfence migrate /" in each.getMessage() for each in caplog.records)
    assert [step.id for step in (await upkeep(root).plan()).pending] == ["a/20260109000000_endless"]


# ---- copies


async def test_a_backup_is_one_sound_private_file(root: Path) -> None:
    """Beside the data if nobody says otherwise, in a folder of its own."""
    await add(root, "kept")
    progress = Quiet()
    done = await upkeep(root).backup(None, progress)
    file = Path(done.file)
    assert file.parent == root / "data" / "backups"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert file.stat().st_size == done.size_bytes
    assert bodies(file) == ["kept"]
    assert files(file.parent) == {file.name}
    assert progress.said[0] == "begun copy"
    assert progress.said[-1] == "ended check"
    assert f"{done.size_bytes} of {done.size_bytes}" in progress.said


async def test_a_backup_has_what_was_committed_while_others_write(root: Path) -> None:
    """An open transaction of a running application is not in it, and is not held up by it."""
    async with running(make(root)) as driver:
        db = handle(driver, "a.write")
        await db.execute("INSERT INTO note (body) VALUES ('committed')")
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO note (body) VALUES ('open')")
            done = await upkeep(root).backup(None, Quiet())
        assert bodies(Path(done.file)) == ["committed"]
        assert bodies(root / FILE) == ["committed", "open"]


async def test_nothing_is_overwritten_and_no_folder_is_made(root: Path) -> None:
    """Neither a file nor a link to one; a folder takes the usual name."""
    await add(root, "kept")
    target = root / "mine.txt"
    target.write_text("mine")
    link = root / "link.db"
    link.symlink_to(root / "nowhere.db")
    for taken in (target, link, root / FILE):
        with pytest.raises(StartRefused, match="exists; nothing was written"):
            await upkeep(root).backup(taken, Quiet())
    with pytest.raises(StartRefused, match="Name a folder that exists"):
        await upkeep(root).backup(root / "no" / "folder.db", Quiet())
    assert target.read_text() == "mine"
    assert files(root) == {"domains", "data", "mine.txt", "link.db"}
    folder = root / "folder"
    folder.mkdir()
    done = await upkeep(root).backup(folder, Quiet())
    assert Path(done.file).parent == folder


async def test_what_is_not_there_cannot_be_backed_up(root: Path) -> None:
    """Nor is it made by the attempt."""
    with pytest.raises(StartRefused, match="nothing to back up"):
        await upkeep(root).backup(None, Quiet())
    assert not (root / "data").exists()


async def test_what_a_killed_backup_has_left_is_removed_by_the_next(root: Path) -> None:
    """Its owner is gone; what belongs to a process that lives is left alone."""
    await add(root, "kept")
    folder = root / "backups"
    folder.mkdir()
    (folder / ".shop.db.999999999.part").touch()
    (folder / ".shop.db.999999999.part-journal").touch()
    (folder / ".shop.db.1.part").touch()
    await upkeep(root).backup(folder / "new.db", Quiet())
    assert files(folder) == {".shop.db.1.part", "new.db"}


# ---- the way back


async def test_a_restore_brings_back_what_was_and_keeps_what_is(root: Path) -> None:
    """Migrations that the backup has not had are applied to it."""
    await add(root, "old")
    backup = Path((await upkeep(root).backup(None, Quiet())).file)
    migration(root, "a", "20260104000000_more.sql", "ALTER TABLE note ADD COLUMN more TEXT;")
    await add(root, "new")
    done = await upkeep(root).restore(backup, Quiet())
    assert bodies(root / FILE) == ["old"]
    assert bodies(Path(done.kept)) == ["old", "new"]
    assert [step.id for step in done.applied] == ["a/20260104000000_more"]
    assert (await upkeep(root).plan()).pending == ()
    await upkeep(root).restore(Path(done.kept), Quiet())
    assert bodies(root / FILE) == ["old", "new"]


async def test_a_restore_is_seen_by_what_runs(root: Path) -> None:
    """Statements that were prepared before, and connections that are open, find the new state."""
    async with running(make(root)) as driver:
        db = handle(driver, "a.write")
        insert, count = "INSERT INTO note (body) VALUES ($1)", "SELECT count(*) FROM note"
        for _ in range(3):
            await db.execute(insert, "old")
            await db.fetch_value(count)
        backup = Path((await upkeep(root).backup(None, Quiet())).file)
        for _ in range(3):
            await db.execute(insert, "new")
        assert await db.fetch_value(count) == 6
        await upkeep(root).restore(backup, Quiet())
        assert await db.fetch_value(count) == 3
        assert await db.execute(insert, "after") == 1
    assert bodies(root / FILE) == ["old", "old", "old", "after"]


async def test_a_backup_with_other_pages_fits_as_well(root: Path) -> None:
    """The live file keeps its own size of pages."""
    await add(root, "kept")
    backup = Path((await upkeep(root).backup(None, Quiet())).file)
    with closing(sqlite3.connect(backup, isolation_level=None)) as line:
        line.execute("PRAGMA page_size = 1024")
        line.execute("VACUUM")
    async with running(make(root)) as driver:
        await upkeep(root).restore(backup, Quiet())
        assert await handle(driver, "a.write").fetch_value("SELECT body FROM note") == "kept"
    with closing(sqlite3.connect(root / FILE)) as line:
        assert line.execute("PRAGMA page_size").fetchone() == (4096,)


async def test_a_restore_makes_a_database_that_is_gone(root: Path) -> None:
    """There is nothing to keep then."""
    await add(root, "kept")
    backup = Path((await upkeep(root).backup(root / "b.db", Quiet())).file)
    for each in (root / "data").iterdir():
        each.unlink()
    done = await upkeep(root).restore(backup, Quiet())
    assert done.kept == ""
    assert bodies(root / FILE) == ["kept"]


SPOIL = {
    "no record of migrations": "DROP TABLE ringfence_migrations",
    "not known here: b/20260101000000_other": (
        "INSERT INTO ringfence_migrations VALUES ('b', '20260101000000_other', 'x', 'y')"
    ),
    "were changed": "UPDATE ringfence_migrations SET sha256 = 'x'",
}


@pytest.mark.parametrize("said", SPOIL)
async def test_what_does_not_belong_here_is_refused(root: Path, said: str) -> None:
    """Another program's file, another application's, a later version's: nothing is changed."""
    await add(root, "kept")
    backup = Path((await upkeep(root).backup(root / "b.db", Quiet())).file)
    with closing(sqlite3.connect(backup, isolation_level=None)) as line:
        line.execute(SPOIL[said])
    before = (root / FILE).read_bytes()
    with pytest.raises(StartRefused, match=said):
        await upkeep(root).restore(backup, Quiet())
    assert (root / FILE).read_bytes() == before
    assert files(root / "data") == {FILE.name}


async def test_a_backup_from_before_a_domain_was_removed_is_welcome(root: Path) -> None:
    """What the database itself has had is known, whether its files are here or not."""
    gone = migration(root, "b", "20260101000000_b.sql", "CREATE TABLE b (x);")
    await add(root, "kept")
    backup = Path((await upkeep(root).backup(root / "b.db", Quiet())).file)
    gone.unlink()
    await add(root, "new")
    await upkeep(root).restore(backup, Quiet())
    assert bodies(root / FILE) == ["kept"]


@pytest.mark.parametrize("what", ["text", "empty", "page", "cut", "folder", "nowhere", "itself"])
async def test_what_is_no_sound_backup_is_refused(root: Path, what: str) -> None:
    """Its name is in the error, and the database and its folder are as before."""
    for number in range(30):
        await add(root, f"{number}" * 500)
    backup = Path((await upkeep(root).backup(root / "b.db", Quiet())).file)
    whole = backup.read_bytes()
    match what:
        case "text" | "empty":
            backup.write_bytes(b"hello" * 1000 if what == "text" else b"")
        case "page" | "cut":
            middle = len(whole) // 8192 * 4096
            end = b"\xff" * 4096 + whole[middle + 4096 :] if what == "page" else b""
            backup.write_bytes(whole[:middle] + end)
        case "folder" | "nowhere":
            backup.unlink()
            if what == "folder":
                backup.mkdir()
        case _:
            backup = root / FILE
    before = (root / FILE).read_bytes()
    with pytest.raises(StartRefused, match=f"{backup}"):
        await upkeep(root).restore(backup, Quiet())
    assert (root / FILE).read_bytes() == before
    assert files(root / "data") == {FILE.name}


async def test_a_backup_ends_though_others_write_without_a_pause(root: Path) -> None:
    """It is of the moment at which it began: no commit makes it begin anew."""
    large = "INSERT INTO note (body) VALUES (hex(zeroblob(8000000)));"
    migration(root, "a", "20260104000000_large.sql", large)
    await upkeep(root).migrate(Quiet())
    enough = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(root / FILE, isolation_level=None)) as line:
            line.execute("PRAGMA synchronous = OFF")
            while not enough.is_set():
                line.execute("INSERT INTO note (body) VALUES ('new')")

    writing = asyncio.create_task(asyncio.to_thread(write))
    progress = Quiet()
    try:
        async with asyncio.timeout(15):
            done = await upkeep(root).backup(None, progress)
    finally:
        enough.set()
        await writing
    copied = [int(said.split()[0]) for said in progress.said if " of " in said]
    assert len(copied) > 3
    assert copied == sorted(set(copied))
    assert bodies(Path(done.file))

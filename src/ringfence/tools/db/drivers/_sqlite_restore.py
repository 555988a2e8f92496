"""Puts a backup's content in the place of a database's, under whoever uses it.

The backup is copied beside the database, checked and migrated there; then its pages are written
into the live file by one transaction. A file that is damaged takes none: it is replaced, which
nobody may watch. Invariant: until the last step nothing of the database is changed, and a copy of
what it was is on the disk. Called by `_sqlite_upkeep.py`, on a thread.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from ringfence.errors import StartRefused
from ringfence.kernel.ports import Clock
from ringfence.tools.db.contract import Busy
from ringfence.tools.db.drivers._sqlite_copy import (
    Work,
    back_up,
    beside,
    copy,
    fresh,
    open_plain,
    pour,
    settle,
    sync,
    sync_folder,
    told,
)
from ringfence.tools.db.drivers._sqlite_file import Damaged, refused
from ringfence.tools.db.drivers._sqlite_line import translated
from ringfence.tools.db.drivers._sqlite_lock import users
from ringfence.tools.db.drivers._sqlite_migrations import migrate, outlook
from ringfence.tools.db.drivers._sqlite_trouble import backup_name, make_folder
from ringfence.tools.db.drivers._sqlite_wal import damage, log_of
from ringfence.tools.db.migrations import Migration
from ringfence.tools.db.outlook import Key, Outlook, expect_known

# Where SQLite's locks are in a file: whoever has it open in WAL mode has a shared one there.
# Source: https://www.sqlite.org/c3ref/c_lock_exclusive.html and os.h, SHARED_FIRST and SHARED_SIZE.
_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510


def restore(
    path: Path,
    source: Path,
    migrations: Sequence[Migration],
    clock: Clock,
    wait_s: float,
    work: Work,
) -> tuple[Path | None, Outlook]:
    """Replace a database's content; return where the former one is, and what was pending.

    Raises:
        StartRefused: `source` is no sound backup of this application's, or is newer than its
            code; or the database is damaged and somebody still has it open.
        Busy: Another process holds the lock.
    """
    _check_source(path, source)
    now = clock.now()
    with fresh(path) as part:
        with work.part("copy"):
            copy(source, part, wait_s, work)
        with work.part("check"):
            settle(part, source, work)
        live = _sound(path)
        before = _adapt(part, source, path if live else None, migrations, clock, work)
        sync(part)
        if not path.exists() and not log_of(path).exists():
            _put(part, path)
            return None, before
        kept = _unused(backup_name(path, now, "-before-restore"))
        make_folder(kept)
        if not live:
            _replace(path, part, kept)
            return kept, before
        try:
            back_up(path, kept, wait_s, work)
        except Damaged:  # where only reading all of it finds it: kept as it is
            _keep(path, kept)
        with work.part("replace"):
            _pour_into(path, part, wait_s, work)
    return kept, before


def _check_source(path: Path, source: Path) -> None:
    if not source.is_file():
        what = "is no file" if source.exists() else "does not exist"
        raise StartRefused(f"db: {source} {what}; expected a backup.")
    if path.exists() and source.samefile(path):
        raise StartRefused(f"db: {source} is the database itself; expected a backup of it.")
    try:
        broken = damage(source) or ("" if source.stat().st_size else "it is empty")
    except OSError as error:
        broken = f"it cannot be read: {error.strerror or error}"
    if broken:
        raise StartRefused(
            f"db: {source} is no sound backup: {broken}. Nothing was changed; try an older one."
        )


def _sound(path: Path) -> bool:
    """Whether pages can be written into a database as a transaction."""
    try:
        if damage(path) or not path.exists() or not path.stat().st_size:
            return False
        with closing(open_plain(path, 0)) as line:
            line.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error as error:
        # Whoever only locks it has not damaged it: that is told when the lock is wanted.
        return isinstance(translated(error, "db"), Busy)
    return True


def _adapt(
    part: Path,
    source: Path,
    live: Path | None,
    migrations: Sequence[Migration],
    clock: Clock,
    work: Work,
) -> Outlook:
    """Check whose a copy is, bring its schema up to date, and give it the pages of the live one."""
    with work.on(open_plain(part, 0, "rw")) as line:
        line.execute("PRAGMA synchronous = OFF")
        known = "SELECT 1 FROM sqlite_schema WHERE name = 'ringfence_migrations'"
        if line.execute(known).fetchone() is None:
            raise StartRefused(
                f"db: {source} is no database of Ringfence: it has no record of migrations. "
                "Nothing was changed."
            )
        before = outlook(line, migrations, str(source))
        expect_known(before, source, _records(live) if live is not None else {})
        try:
            migrate(line, migrations, clock, work)
            if live is not None:
                _match_pages(line, live)
        except sqlite3.Error as error:
            raise told(error, source, part) from None
    return before


def _records(live: Path) -> Mapping[Key, str]:
    try:
        with closing(open_plain(live, 0)) as line:
            return outlook(line, ()).applied
    except sqlite3.Error:  # then it vouches for nothing
        return {}


def _match_pages(line: sqlite3.Connection, live: Path) -> None:
    """Pages are copied as they are, so both must have one size."""
    with live.open("rb") as file:
        size = int.from_bytes(file.read(18)[16:18], "big")
    size = 65536 if size == 1 else size
    if size and size != line.execute("PRAGMA page_size").fetchone()[0]:
        line.execute(f"PRAGMA page_size = {size}")
        line.execute("VACUUM")


def _unused(path: Path) -> Path:
    taken = 1
    found = path
    while found.exists():
        taken += 1
        found = path.with_stem(f"{path.stem}-{taken}")
    return found


def _pour_into(path: Path, part: Path, wait_s: float, work: Work) -> None:
    try:
        with closing(open_plain(path, wait_s, "rw")) as to, work.on(open_plain(part, 0)) as line:
            to.execute("PRAGMA synchronous = FULL")
            size = line.execute("PRAGMA page_size").fetchone()[0]
            pour(line, to, size, wait_s, work)
    except sqlite3.Error as error:
        raise refused(path, error) from None


def _replace(path: Path, part: Path, kept: Path) -> None:
    """Put a file in the place of one that nobody has open, and keep that one as it is."""
    with _alone(path):
        _keep(path, kept)
        # First: the log of another file would be taken for this one's.
        for each in beside(path):
            each.unlink(missing_ok=True)
        sync_folder(path.parent)
        _put(part, path)


def _keep(path: Path, kept: Path) -> None:
    """Copy a database and its log byte by byte, for whoever wants to salvage something."""
    pairs = ((path, kept), (log_of(path), log_of(kept)))
    try:
        for each, copied in pairs:
            if each.exists():
                shutil.copy2(each, copied)
                sync(copied)
    except BaseException:  # nothing has been replaced yet, and half a copy is worth nothing
        for _, copied in pairs:
            copied.unlink(missing_ok=True)
        raise
    sync_folder(kept.parent)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a database's lock without reading it.

    Raises:
        StartRefused: Somebody has it open.
    """
    if find_spec("fcntl") is None or not path.exists():  # Windows replaces no file that is open
        yield
        return
    import fcntl

    file = os.open(path, os.O_RDWR)
    try:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _SHARED_SIZE, _SHARED_FIRST)
        except OSError:
            who = ", ".join(users(path)) or "another process"
            raise StartRefused(
                f"db: {path} is damaged and in use: it must be replaced, and {who} has it open. "
                "Stop the application, restore, and start it again."
            ) from None
        yield
    finally:
        os.close(file)


def _put(part: Path, path: Path) -> None:
    """Name a copy as the database, its owner's as before: root may restore another's."""
    like = path if path.exists() else path.parent
    about = like.stat()
    with suppress(OSError, AttributeError):  # only root gives files away; Windows has no owners
        os.chown(part, about.st_uid, about.st_gid)
    if like is path:
        part.chmod(about.st_mode & 0o777)
    part.replace(path)
    sync_folder(path.parent)

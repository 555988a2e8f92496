"""Copies a database while others use it, as one file of one moment.

`back_up` is a backup from its first page to its name in the folder; `copy` and `fresh` are its
parts, which a restore uses as well. Invariant: a file has its final name only when it is complete,
checked, and on the disk; what a killed process leaves is removed by the next. Called by
`_sqlite_upkeep.py` and `_sqlite_restore.py`, on a thread.
"""

import asyncio
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import perf_counter

from ringfence.errors import StartRefused
from ringfence.tools.db.contract import Busy, StorageFailure
from ringfence.tools.db.drivers._sqlite_file import Damaged, refused
from ringfence.tools.db.drivers._sqlite_line import Line, stopped, translated
from ringfence.tools.db.drivers._sqlite_lock import writer
from ringfence.tools.db.drivers._sqlite_migrations import Watch
from ringfence.tools.db.drivers._sqlite_trouble import storage_failure
from ringfence.tools.db.drivers._sqlite_wal import damage
from ringfence.tools.db.maintenance import Progress
from ringfence.tools.db.migrations import Migration

# Pages between two reports: at the usual 4 kB each, some milliseconds of work.
_PAGES = 1000
_BESIDE = ("-wal", "-shm", "-journal")


class Work(Watch):
    """One piece of maintenance: tells how it gets on, and may be ended from outside."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._loop = asyncio.get_running_loop()
        self._unwanted = threading.Event()
        self._line: sqlite3.Connection | None = None

    def stop(self) -> None:
        """End it soon; called on the event loop, again and again."""
        self._unwanted.set()
        line = self._line
        if line is not None:
            with suppress(sqlite3.ProgrammingError):  # it has been closed
                line.interrupt()

    @contextmanager
    def on(self, line: Line) -> Iterator[Line]:
        """Let `stop` end what this connection does; close it at the end."""
        with closing(line):
            self.opened(line)
            yield line

    def opened(self, line: sqlite3.Connection) -> None:
        self._line = line
        self.go_on()

    def go_on(self) -> None:
        """Raise where it is not wanted any more."""
        if self._unwanted.is_set():
            raise stopped()

    def begun(self, migration: Migration) -> None:
        self._tell(self._progress.begun, migration.id)

    def ended(self, migration: Migration, took_s: float) -> None:
        self._tell(self._progress.ended, migration.id, took_s)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Tell of a part that is no migration."""
        self.go_on()
        self._tell(self._progress.begun, name)
        started = perf_counter()
        yield
        self._tell(self._progress.ended, name, perf_counter() - started)

    def advanced(self, done: int, total: int) -> None:
        self.go_on()
        self._tell(self._progress.advanced, done, total)

    def _tell(self, what: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(what, *args)


def open_plain(path: Path, wait_s: float, mode: str = "ro") -> Line:
    """Open a database as it is: no journal, no pragma is changed."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    line = sqlite3.connect(
        uri,
        uri=True,
        timeout=wait_s,
        isolation_level=None,
        check_same_thread=False,
        factory=Line,
    )
    line.path = path
    return line


def back_up(path: Path, target: Path, wait_s: float, work: Work) -> int:
    """Write a checked copy of a database; return its size.

    Raises:
        StartRefused: There is nothing to copy, `target` exists or cannot be made, or the database
            is damaged.
        StorageFailure: The disk is full or failing.
        Busy: Another process has the database for itself.
    """
    if not path.exists():
        raise StartRefused(f"db: {path} does not exist; there is nothing to back up yet.")
    if os.path.lexists(target):
        raise _exists(target)
    broken = damage(path)
    if broken:
        raise Damaged(f"db: {path} is damaged: {broken}; a backup of it would be as well.")
    with fresh(target) as part:
        with work.part("copy"):
            copy(path, part, wait_s, work)
        with work.part("check"):
            settle(part, path, work)
        sync(part)
        size = part.stat().st_size
        _name(part, target)
    return size


@contextmanager
def fresh(target: Path) -> Iterator[Path]:
    """Make an empty file beside `target` that nobody else may read; remove it at the end."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        _sweep(target.parent)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise StartRefused(
            f"db: {part.parent} takes no file: {error.strerror or error}. "
            "Name a folder that exists and can be written."
        ) from None
    try:
        yield part
    finally:
        for each in (part, *beside(part)):
            each.unlink(missing_ok=True)


def beside(path: Path) -> list[Path]:
    """Return where the files are that SQLite keeps beside a database."""
    return [path.with_name(path.name + end) for end in _BESIDE]


def copy(source: Path, part: Path, wait_s: float, work: Work) -> None:
    """Copy the last commit's state of `source` into the empty file `part`."""
    try:
        with work.on(open_plain(source, wait_s)) as line, closing(open_plain(part, 0, "rw")) as to:
            to.execute("PRAGMA journal_mode = OFF")  # a file that nobody knows of needs neither
            to.execute("PRAGMA synchronous = OFF")
            # One snapshot from here on: without it, each commit would begin the copy anew.
            line.execute("BEGIN")
            size = line.execute("PRAGMA page_size").fetchone()[0]
            line.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            pour(line, to, size, wait_s, work)
    except sqlite3.Error as error:
        raise told(error, source, part) from None


def pour(source: Line, target: Line, page_size: int, wait_s: float, work: Work) -> None:
    """Copy page by page; into a database in use this is one transaction.

    Raises:
        Busy: The lock of either has not been let go in time.
    """
    give_up_at = perf_counter() + wait_s

    def report(status: int, remaining: int, total: int) -> None:
        locked = status & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        if locked and perf_counter() > give_up_at:
            raise _busy(target.path or Path(), wait_s)
        work.advanced((total - remaining) * page_size, total * page_size)

    source.backup(target, pages=_PAGES, progress=report, sleep=0.05)


def _busy(path: Path, wait_s: float) -> Busy:
    return Busy(
        f"{writer(path)} holds the database's lock; expected it within {wait_s:g} s.",
        subject=f"db: {path}",
        hint="End it, or close the database there, and try again.",
        retry_after_s=1.0,
    )


def settle(part: Path, source: Path, work: Work) -> None:
    """Make the copy of `source` one file without a log beside it, and check all of it.

    Raises:
        Damaged: It is damaged, so what it was copied from is as well.
    """
    try:
        with work.on(open_plain(part, 0, "rw")) as line:
            line.execute("PRAGMA journal_mode = DELETE")
            verdict = str(line.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        raise told(error, part, part) from None
    if verdict != "ok":
        raise Damaged(f"db: {source} is damaged: {' '.join(verdict.split())}.")


def sync(path: Path) -> None:
    """Have a file on the disk before it is relied on."""
    file = os.open(path, os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk; Windows has no such thing."""
    if os.name == "nt":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _name(part: Path, target: Path) -> None:
    """Give a file its name, and never take that from another."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise _exists(target) from None
    except OSError:  # a disk without links, such as a USB stick's
        if os.path.lexists(target):
            raise _exists(target) from None
        part.replace(target)
    sync_folder(target.parent)


def _exists(target: Path) -> StartRefused:
    return StartRefused(f"db: {target} exists; nothing was written. Name another file.")


def told(error: sqlite3.Error, source: Path, part: Path) -> Exception:
    """Return the error of a copy: the disk's or the lock's as that, any other as a refusal."""
    failure = translated(error, f"db: {source}")
    if not isinstance(failure, StorageFailure):
        return refused(source, error) if isinstance(failure, Busy) else failure
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return storage_failure(error, "db", part)
    return refused(source, error)


def _sweep(folder: Path) -> None:
    """Remove what processes have left that were killed."""
    named = re.compile(r"\..+\.(\d+)\.part(?:-\w+)?")
    for path in folder.iterdir():
        found = named.fullmatch(path.name)
        if found and not _alive(int(found[1])):
            path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    if os.name == "nt":  # asking is not possible without ending it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True

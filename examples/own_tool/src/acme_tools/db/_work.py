"""One piece of maintenance: its thread, how it gets on, and its end when nobody wants it any more.

`unnamed` and `named` make a file that has its name only once it is complete and on the disk. Called
by `_upkeep.py`.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp
from threading import Event
from time import perf_counter
from typing import TypeVar

from acme_tools.db._errors import stopped, translated
from acme_tools.db._lines import finished
from acme_tools.db._sqlite import Connection
from ringfence.errors import StartRefused, ToolUnavailable
from ringfence.tools.db import Busy, StorageFailure
from ringfence.tools.db.maintenance import Progress

T = TypeVar("T")

# Pages between two reports: some milliseconds of work.
_PAGES = 1000
# What says that a file is none that can be used; all else is the disk's fault, or the lock's.
_UNUSABLE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_CANTOPEN", "SQLITE_READONLY")


class Work:
    """What runs on a thread of its own, and may be ended from outside.

    Args:
        wait_s: How long a copy waits for another process that has the lock.
        progress: Told, on the event loop's thread, how it gets on.
    """

    def __init__(self, wait_s: float, progress: Progress | None = None) -> None:
        self._wait_s = wait_s
        self._progress = progress
        self._loop = asyncio.get_running_loop()
        self._unwanted = Event()
        self._line: sqlite3.Connection | None = None

    async def run(self, job: Callable[["Work"], T]) -> T:
        """Do it; when cancelled, come back once it has ended."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="acme-db-upkeep")
        try:
            return await finished(asyncio.wrap_future(thread.submit(job, self)), self._stop)
        finally:
            thread.shutdown(wait=False)

    def _stop(self) -> None:
        self._unwanted.set()
        line = self._line
        if line is not None:
            with suppress(sqlite3.ProgrammingError):  # it has just been closed
                line.interrupt()

    @contextmanager
    def on(self, path: Path, open_: Callable[[Path], Connection]) -> Iterator[Connection]:
        """Open a connection for the block, which a cancellation interrupts.

        Raises:
            StartRefused: The file cannot be used.
            StorageFailure: The disk is full or failing.
            Busy: Another process has the lock.
        """
        try:
            with closing(open_(path)) as line:
                self._line = line
                self._go_on()
                yield line
        except sqlite3.Error as error:
            raise _told(error, path) from None
        except OSError as error:
            raise _refused(path, error) from None
        finally:
            self._line = None

    def _go_on(self) -> None:
        if self._unwanted.is_set():
            raise stopped()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Tell of a part of the work: a migration, or `copy`, `check` and `replace`."""
        self._go_on()
        progress = self._progress
        if progress is None:
            yield
            return
        self._tell(progress.begun, name)
        started = perf_counter()
        yield
        self._tell(progress.ended, name, perf_counter() - started)

    def pour(self, source: Connection, target: Connection) -> None:
        """Copy page by page; into a database that others use, in one transaction."""
        progress, page_bytes = self._progress, source.execute("PRAGMA page_size").fetchone()[0]
        give_up_at = perf_counter() + self._wait_s

        def report(status: int, remaining: int, total: int) -> None:
            self._go_on()
            locked = status & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if locked and perf_counter() > give_up_at:
                said = "another process holds the database's lock."
                raise Busy(said, subject="db", retry_after_s=1.0)
            if progress is not None:
                done = (total - remaining) * page_bytes
                self._tell(progress.advanced, done, total * page_bytes)

        source.backup(target, pages=_PAGES, progress=report, sleep=0.05)

    def _tell(self, what: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the loop is closed, and nobody listens
            self._loop.call_soon_threadsafe(what, *args)


@contextmanager
def unnamed(target: Path) -> Iterator[Path]:
    """Make an empty file beside `target` that its owner alone may read; remove it at the end.

    Raises:
        StartRefused: There cannot be one.
        StorageFailure: The disk is full or failing.
    """
    try:
        file, name = mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        os.close(file)
    except OSError as error:
        raise _refused(target, error) from None
    part = Path(name)
    try:
        yield part
    except OSError as error:
        raise StorageFailure(f"{target}: {error.strerror or error}.", subject="db") from None
    finally:
        for end in ("", "-wal", "-shm", "-journal"):
            part.with_name(part.name + end).unlink(missing_ok=True)


def named(part: Path, target: Path) -> None:
    """Give a file its name once it is on the disk; never take that from another.

    Raises:
        StartRefused: There is something of that name.
    """
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    try:
        os.link(part, target)
    except FileExistsError:
        raise taken(target) from None
    except OSError as error:
        raise _refused(target, error) from None


def taken(target: Path) -> StartRefused:
    """Return the error of a backup that would overwrite something."""
    return StartRefused(f"db: {target} exists; nothing was written. Name another file.")


def _refused(path: Path, error: OSError) -> StartRefused:
    return StartRefused(f"db: {path}: {error.strerror or error}. Name a folder that takes files.")


def _told(error: sqlite3.Error, path: Path) -> Exception:
    failure = translated(error, f"db: {path}")
    name = getattr(error, "sqlite_errorname", "")
    if isinstance(failure, ToolUnavailable) and not name.startswith(_UNUSABLE):
        return failure
    return StartRefused(f"db: {path} cannot be used: {error}.")

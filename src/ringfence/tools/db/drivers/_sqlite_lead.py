"""Which one of the processes on a database delivers its events: the one that has a file locked.

The file lies beside the database, is empty, and is never removed. SQLite's own locks are the same
on every system, and are given back when the process ends, however it does. Called by the outbox,
for `sqlite.py`.
"""

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

from ringfence.tools.db.contract import StorageFailure


class Lead:
    """Serves `outbox.Lead`.

    Args:
        path: Where the database is.
        version: Returns a number that changes when another process has written.
    """

    def __init__(self, path: Callable[[], Path], version: Callable[[], Awaitable[int]]) -> None:
        self._path = path
        self._version = version
        self._lock: sqlite3.Connection | None = None

    def take(self) -> bool:
        """Try to get it; raises StorageFailure where its file cannot be opened."""
        if self._lock is not None:
            return True
        database = self._path()
        path = database.with_name(f"{database.name}-events")
        lock = None
        try:
            lock = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            if lock is not None:
                lock.close()
            if getattr(error, "sqlite_errorname", "") == "SQLITE_BUSY":  # another process has it
                return False
            raise StorageFailure(
                f"{path} cannot be locked: {error}; expected to lock it.",
                subject="events",
                hint="Change its owner or mode: which process delivers is decided by it.",
                retry_after_s=1.0,
            ) from None
        self._lock = lock
        return True

    def release(self) -> None:
        """Give it back, if it was taken."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    async def version(self) -> int:
        return await self._version()

"""Which one of the processes on a database delivers its events: the one that has a file locked."""

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

from acme_tools.db._errors import translated
from ringfence.tools.db import Busy


class Lead:
    """Serves `outbox.Lead`; the system gives the lock back when the process ends.

    Args:
        path: The file, beside the database; it stays empty.
        version: Returns a number that changes when another process has written.
    """

    def __init__(self, path: Path, version: Callable[[], Awaitable[int]]) -> None:
        self._path = path
        self._version = version
        self._lock: sqlite3.Connection | None = None

    def take(self) -> bool:
        if self._lock is None:
            try:
                self._lock = self._locked()
            except sqlite3.Error as error:
                told = translated(error, "events")
                if not isinstance(told, Busy):
                    raise told from None
        return self._lock is not None

    def _locked(self) -> sqlite3.Connection:
        lock = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except BaseException:
            lock.close()
            raise
        return lock

    def release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    async def version(self) -> int:
        return await self._version()

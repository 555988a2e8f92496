"""Which one of the processes on a database delivers its events: the one that has a file locked.

The file lies beside the database, is empty, and is never removed; the system gives the lock back
when the process ends, however it does. Called by the outbox, for `sqlite.py`.
"""

import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from ringfence.tools.db.contract import StorageFailure

if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Lead:
    """Serves `outbox.Lead`.

    Args:
        path: Where the database is.
        version: Returns a number that changes when another process has written.
    """

    def __init__(self, path: Callable[[], Path], version: Callable[[], Awaitable[int]]) -> None:
        self._path = path
        self._version = version
        self._file: int | None = None

    def take(self) -> bool:
        """Try to get it; raises StorageFailure where its file cannot be opened."""
        if self._file is not None:
            return True
        database = self._path()
        path = database.with_name(f"{database.name}-events")
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageFailure(
                f"{path} cannot be opened: {error.strerror or error}; expected to lock it.",
                subject="events",
                hint="Change its owner or mode; which process delivers is decided by it.",
                retry_after_s=1.0,
            ) from None
        try:
            _lock(file)
        except OSError:  # another process has it
            os.close(file)
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Give it back, if it was taken."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                os.close(file)

    async def version(self) -> int:
        return await self._version()

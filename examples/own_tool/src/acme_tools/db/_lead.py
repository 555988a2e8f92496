"""Which one of the processes on a database delivers its events: the one that has a file locked."""

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Lead:
    """Serves `outbox.Lead`; the system gives the lock back when the process ends.

    Args:
        path: The file, beside the database; it stays empty.
        version: Returns a number that changes when another process has written.
    """

    def __init__(self, path: Path, version: Callable[[], Awaitable[int]]) -> None:
        self._path = path
        self._version = version
        self._file: int | None = None

    def take(self) -> bool:
        if self._file is not None:
            return True
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(file)
        except OSError:  # another process has it
            os.close(file)
            return False
        self._file = file
        return True

    def release(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    async def version(self) -> int:
        return await self._version()

"""The folder `.ringfence-files` in a root: drafts, locks, and what `_types.py` keeps.

No name of a file begins with a dot, so nobody reaches it. Each process that uses the root holds a
lock on it for as long as it lives; whoever finds that nobody else does removes what a crash has
left. `publishing` is the one lock under which anything comes into place or goes.
"""

import random
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from io import FileIO

from ringfence.errors import StartRefused
from ringfence.kernel.ports import Clock
from ringfence.tools.files.contract import StorageFailure
from ringfence.tools.files.drivers._folder import Folder

NAME = ".ringfence-files"
DRAFT = ".part"
LOCK_S = 10.0  # what is done under the lock takes milliseconds
_AGAIN_S = 0.005
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Reserved:
    """Where files are written before they come into place.

    Args:
        folder: The reserved one, open.
        clock: Tells when a file was written.

    Raises:
        OSError: It cannot be written to.
        StartRefused: Its file system cannot tell versions apart.
    """

    def __init__(self, folder: Folder, clock: Clock) -> None:
        self.folder = folder
        self._clock = clock
        self._stamps = threading.Lock()
        self._last_us = 0
        self._turn = threading.Lock()
        with ExitStack() as undo:
            self._lock = undo.enter_context(folder.lock_file("lock"))
            self._in_use = undo.enter_context(folder.lock_file("in-use"))
            self._expect_times()
            self._clean()
            self._closers = undo.pop_all()

    def close(self) -> None:
        """Let go of the locks."""
        self._closers.close()

    def new_draft(self) -> tuple[str, FileIO]:
        """Make a file that nobody else knows; return its name as well."""
        name = secrets.token_hex(12) + DRAFT
        return name, self.folder.create(name)

    def next_stamp_ns(self) -> int:
        """Return the time of a version: no two are the same, whatever the clock does. What is
        smaller than microseconds is chance, for processes that write at the same moment."""
        now_us = (self._clock.now() - _EPOCH) // timedelta(microseconds=1)
        with self._stamps:
            self._last_us = max(self._last_us + 1, now_us)
            return self._last_us * 1000 + random.randrange(10) * 100  # noqa: S311 - NTFS has 100 ns

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Hold the lock, which no other thread has then, nor another process.

        Raises:
            StorageFailure: Somebody else has held it for too long.
        """
        ends_at = time.monotonic() + LOCK_S
        if not self._turn.acquire(timeout=LOCK_S):
            raise _locked()
        try:
            while not _try_lock(self._lock):
                if time.monotonic() > ends_at:
                    raise _locked()
                time.sleep(_AGAIN_S)  # to wait for such a lock has no limit
            try:
                yield
            finally:
                _unlock(self._lock)
        finally:
            self._turn.release()

    def _expect_times(self) -> None:
        """Versions are told apart by their time: two in one second must differ in it."""
        stamp_ns = 1_000_000_000_000_001_100  # some time, with as many digits as a version has
        if self.folder.stamp("in-use", stamp_ns).st_mtime_ns != stamp_ns:
            raise StartRefused(
                "files: the file system keeps times too coarsely to tell two versions of a file"
                " apart. Put `root` on another one: ext4, XFS, Btrfs, ZFS, APFS, NTFS."
            )

    def _clean(self) -> None:
        if _try_lock(self._in_use):
            for name, _ in self.folder.names():
                if name.endswith(DRAFT):
                    with suppress(OSError):  # on Windows, one that somebody is writing
                        self.folder.remove(name)
        _share(self._in_use)


def _locked() -> StorageFailure:
    said = f"another process has held the lock of its folder for {LOCK_S:g} s."
    return StorageFailure(said, subject="files", hint="Look for one that is stopped or hangs.")


# Windows has no such locks: there a root belongs to one process.
if find_spec("fcntl") is not None:
    import fcntl

    def _try_lock(file: FileIO) -> bool:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _share(file: FileIO) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_SH)

    def _unlock(file: FileIO) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_UN)

else:

    def _try_lock(file: FileIO) -> bool:
        return True

    def _share(file: FileIO) -> None:
        pass

    def _unlock(file: FileIO) -> None:
        pass

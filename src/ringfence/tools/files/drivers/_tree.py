"""The files below one folder: the `Store` of the driver `local`.

A version is known by its time and its length; the time is set by whoever writes it, so that no two
have the same. Invariant: under a name there is nothing, or a whole version; what is being written
is elsewhere until one rename. Called on threads, several at once.
"""

import errno
import os
import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from io import FileIO
from itertools import islice
from unicodedata import is_normalized

from ringfence.errors import ToolUnavailable
from ringfence.tools.files import content_types
from ringfence.tools.files.contract import (
    FileExists,
    FileMissing,
    StorageFailure,
    StorageFull,
    Stored,
)
from ringfence.tools.files.drivers._folder import Folder, NotOurs
from ringfence.tools.files.drivers._reserved import Reserved
from ringfence.tools.files.drivers._types import Types
from ringfence.tools.files.names import MOST_SEGMENTS, Place, fault
from ringfence.tools.files.service import Order, require, subject

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_HINTS = {
    errno.EACCES: "Check the owner and the mode of what is in `root`.",
    errno.EPERM: "Check the owner and the mode of what is in `root`.",
    errno.EROFS: "Its file system is mounted for reading alone.",
    errno.ENOENT: "See whether `root` is still there.",
    errno.EMFILE: "The process has too many files open; raise its limit.",
}


class Quota:
    """How many bytes there are, drafts included, and how many there may be."""

    def __init__(self, most_bytes: int) -> None:
        self.used_bytes = 0
        self._most_bytes = most_bytes
        self._lock = threading.Lock()

    def take(self, size_bytes: int) -> None:
        """Count bytes that are to be written; raises StorageFull."""
        with self._lock:
            if self.used_bytes + size_bytes > self._most_bytes:
                said = f"there is no room; all files may have {self._most_bytes} bytes."
                raise StorageFull(said, subject="files", hint="Delete some, or raise the quota.")
            self.used_bytes += size_bytes

    def give(self, size_bytes: int) -> None:
        """Take back what was counted."""
        with self._lock:
            self.used_bytes -= size_bytes


class Tree:
    """The `Store`.

    Args:
        root: The folder, open.
        types: What was said of versions beside their names.
        reserved: Where drafts are; or why there can be none.
        quota: How much there may be; None: as much as there is room for.
    """

    def __init__(
        self, root: Folder, types: Types, reserved: Reserved | str, quota: Quota | None
    ) -> None:
        self.root = root
        self.types = types
        self.quota = quota
        self._reserved = reserved
        if quota is not None:
            with closing(self._walked(root, (), "", "")) as files:
                quota.used_bytes = sum(file.size_bytes for file in files)

    @property
    def reserved(self) -> Reserved:
        """Where drafts are; raises StorageFailure where there can be none."""
        if isinstance(self._reserved, str):
            raise StorageFailure(
                f"nothing can be written: {self._reserved}, when the application started.",
                subject="files",
                hint="Check the owner and the mode of `root`, and start again.",
            )
        return self._reserved

    def draft(self, order: Order) -> "LocalDraft":
        with translating(order.name):
            facts = self._facts(order.place)
            order.admit(None if facts is None else etag_of(facts))
            return LocalDraft(self, order)

    def open(self, place: Place) -> "LocalVersion":
        with self._finding(place) as closers:
            file = self.way(place, closers)[-1].read(place[-1])
            return LocalVersion("/".join(place), file)

    def stat(self, place: Place) -> Stored:
        with self._finding(place) as closers:
            stored = self._described(self.way(place, closers)[-1], place)
            if stored is None:
                raise FileNotFoundError
            return stored

    def delete(self, place: Place, if_match: str | None) -> None:
        with self._finding(place) as closers:
            with self.reserved.publishing():
                way = self.way(place, closers)
                facts = way[-1].facts(place[-1])
                if facts is None or not way[-1].is_file(facts):
                    raise FileNotFoundError
                if if_match is not None:
                    require("/".join(place), if_match, etag_of(facts))
                way[-1].remove(place[-1])
                self.forget(place, facts)
                left = prune(way, place)
            left.sync()

    def page(self, folder: Place, beginning: str, after: str, limit: int) -> list[Stored]:
        with translating("/".join((*folder, beginning))), ExitStack() as closers:
            try:
                start = self.way((*folder, ""), closers)[-1]
            except (FileNotFoundError, NotOurs):
                self._expect_root()
                return []
            with closing(self._walked(start, folder, beginning, after)) as files:
                return list(islice(files, limit))

    def way(self, place: Place, closers: ExitStack) -> list[Folder]:
        """Open the folders from the root to a place; raises FileNotFoundError or NotOurs."""
        way = [self.root]
        for segment in place[:-1]:
            way.append(way[-1].enter(segment))
            closers.callback(way[-1].close)
        return way

    def forget(self, place: Place, facts: os.stat_result) -> None:
        """A version is gone from its place."""
        self.types.drop(place, etag_of(facts))
        if self.quota is not None:
            self.quota.give(facts.st_size)

    @contextmanager
    def _finding(self, place: Place) -> Iterator[ExitStack]:
        """What is not there, or not ours, becomes FileMissing; give what closes folders."""
        name = "/".join(place)
        with translating(name), ExitStack() as closers:
            try:
                yield closers
            except (FileNotFoundError, NotOurs):
                self._expect_root()
                raise FileMissing("there is no such file.", subject=subject(name)) from None

    def _expect_root(self) -> None:
        if self.root.is_gone:
            raise StorageFailure("the folder `root` is gone.", subject="files")

    def _facts(self, place: Place) -> os.stat_result | None:
        """Return what there is of a file; None for nothing that is one."""
        with ExitStack() as closers:
            try:
                folder = self.way(place, closers)[-1]
            except (FileNotFoundError, NotOurs):
                return None
            facts = folder.facts(place[-1])
            return facts if facts is not None and folder.is_file(facts) else None

    def _described(self, folder: Folder, place: Place) -> Stored | None:
        facts = folder.facts(place[-1])
        while facts is not None and folder.is_file(facts):
            given = self.types.of(place, etag_of(facts))
            again = facts if given or not self.types.can_be else folder.facts(place[-1])
            if again is not None and etag_of(again) == etag_of(facts):
                return described(place, facts, given)
            facts = again  # overwritten meanwhile: its type may have gone with it
        return None

    def _walked(
        self, folder: Folder, place: Place, beginning: str, after: str
    ) -> Generator[Stored]:
        """Yield the files below a folder in the order of their names."""
        found = (
            f"{name}/" if is_folder else name
            for name, is_folder in folder.names()
            if name.startswith(beginning) and is_normalized("NFC", name) and not fault(name)
        )
        for key in sorted(found):  # with its slash, a folder stands where its files do
            full = "/".join((*place, key))
            if not key.endswith("/"):
                stored = self._described(folder, (*place, key)) if full > after else None
                if stored is not None:
                    yield stored
            elif len(place) < MOST_SEGMENTS - 1 and (full > after or after.startswith(full)):
                with suppress(FileNotFoundError, NotOurs):  # gone, or swapped, meanwhile
                    inner = folder.enter(key[:-1])
                    try:
                        yield from self._walked(inner, (*place, key[:-1]), "", after)
                    finally:
                        inner.close()


class LocalDraft:
    """A file that is being written, in the reserved folder.

    Its methods wait for each other: who has thrown a write away does not know whether a thread is
    still in it.
    """

    def __init__(self, tree: Tree, order: Order) -> None:
        self._tree = tree
        self._order = order
        self._lock = threading.Lock()
        self._size_bytes = 0
        self._over = False
        self._name, self._file = tree.reserved.new_draft()

    def append(self, piece: bytes) -> None:
        with self._lock, translating(self._order.name):
            if self._tree.quota is not None:
                self._tree.quota.take(len(piece))
            self._size_bytes += len(piece)
            rest = memoryview(piece)
            while rest:
                rest = rest[self._file.write(rest) :]

    def publish(self) -> Stored:
        tree, place = self._tree, self._order.place
        reserved = tree.reserved
        with self._lock, translating(self._order.name), ExitStack() as closers:
            facts = reserved.folder.stamp(self._name, reserved.next_stamp_ns())
            os.fsync(self._file.fileno())
            self._file.close()
            way = [tree.root]
            with reserved.publishing():
                try:
                    self._make_way(way, closers)
                    self._put(way[-1], facts)
                except BaseException:
                    prune(way, place)
                    raise
            way[-1].sync()
        return described(place, facts, self._order.content_type)

    def abandon(self) -> None:
        with self._lock:
            if self._over:
                return
            self._over = True
            if self._tree.quota is not None:
                self._tree.quota.give(self._size_bytes)
            self._file.close()
            with suppress(OSError):  # what cannot be removed now is, at the next start
                self._tree.reserved.folder.remove(self._name)

    def _make_way(self, way: list[Folder], closers: ExitStack) -> None:
        """Open the folders to its place; those that are missing are made, durably, before anybody
        else finds them there."""
        for segment in self._order.place[:-1]:
            with suppress(FileExistsError):
                way[-1].make(segment)
                way[-1].sync()
            try:
                way.append(way[-1].enter(segment))
            except NotOurs:
                said = f"{segment!a} in it is taken by something else than a folder."
                raise FileExists(said, subject=subject(self._order.name)) from None
            closers.callback(way[-1].close)

    def _put(self, folder: Folder, facts: os.stat_result) -> None:
        tree, order, etag = self._tree, self._order, etag_of(facts)
        there = folder.facts(order.place[-1])
        if there is not None and not folder.is_file(there):
            said = "it is taken by a folder, or by what is no file."
            raise FileExists(said, subject=subject(order.name))
        order.admit(None if there is None else etag_of(there))
        try:
            if order.content_type is not None:
                tree.types.give(order.place, etag, order.content_type)
            tree.reserved.folder.put(self._name, folder, order.place[-1])
        except BaseException:
            tree.types.drop(order.place, etag)
            raise
        self._over = True
        if there is not None:
            tree.forget(order.place, there)


class LocalVersion:
    """One version of a file, open; it stays as it is, whatever becomes of its name."""

    def __init__(self, name: str, file: FileIO) -> None:
        facts = os.fstat(file.fileno())
        self.etag = etag_of(facts)
        self.size_bytes = facts.st_size
        self._name = name
        self._file = file
        self._reading = threading.Lock()
        self._closing = False

    def read(self, start: int, length: int) -> bytes:
        with self._reading, translating(self._name):
            self._file.seek(start)
            piece = self._file.read(length)
        if self._closing:
            self.close()
        return piece or b""

    def close(self) -> None:
        self._closing = True  # before it tries: who reads now looks at it afterwards
        if self._reading.acquire(blocking=False):
            try:
                self._file.close()
            finally:
                self._reading.release()


def etag_of(facts: os.stat_result) -> str:
    """Return what tells a version from all others under its name."""
    return f"{facts.st_mtime_ns:x}-{facts.st_size:x}"


def described(place: Place, facts: os.stat_result, content_type: str | None) -> Stored:
    return Stored(
        name="/".join(place),
        size_bytes=facts.st_size,
        content_type=content_type or content_types.of_name(place[-1]),
        etag=etag_of(facts),
        modified_at=_EPOCH + timedelta(microseconds=min(facts.st_mtime_ns // 1000, _LAST_US)),
    )


def prune(way: list[Folder], place: Place) -> Folder:
    """Remove the folders to a place that are empty; return the last that stays."""
    for depth in range(len(way) - 1, 0, -1):
        try:
            way[depth - 1].remove_folder(place[depth - 1])
        except OSError:  # there is something in it, or it is not ours to remove
            return way[depth]
    return way[0]


@contextmanager
def translating(name: str) -> Iterator[None]:
    """Turn what the platform raises into the errors of the contract."""
    try:
        yield
    except OSError as error:
        raise _translated(error, name) from None


def _translated(error: OSError, name: str) -> ToolUnavailable:
    if error.errno in _NO_ROOM:
        said = f"there is no room: {error.strerror}. Nothing of it was kept."
        return StorageFull(said, subject=subject(name))
    hint = _HINTS.get(error.errno or 0, "")
    said = f"the storage does not do as it should: {error.strerror or error}."
    return StorageFailure(said, subject=subject(name), hint=hint)

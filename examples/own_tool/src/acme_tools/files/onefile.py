"""Files in one SQLite file: easy to copy, to move and to throw away.

A version's content is in pieces, so that any part of it is found at once. What is being written
is in a temporary file until it is whole. Whoever reads has a snapshot of his own, so that what he
reads stays as it is. Names, types and limits are those of `ringfence.tools.files.service`.
"""

import errno
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from acme_tools.files.runner import Threads
from ringfence.errors import StartRefused
from ringfence.kernel.ports import Clock, Grant, ToolEnv
from ringfence.tools.files import (
    FileExists,
    FileMissing,
    Files,
    StorageFailure,
    StorageFull,
    Stored,
    content_types,
)
from ringfence.tools.files.names import Place
from ringfence.tools.files.service import PIECE_BYTES, Handle, Limits, Order, require, subject

_SCHEMA = """
CREATE TABLE IF NOT EXISTS file (
    version INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    size_bytes INTEGER NOT NULL,
    content_type TEXT,
    modified_at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS piece (
    version INTEGER NOT NULL REFERENCES file (version) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (version, number)
) STRICT;
"""
_COLUMNS = "SELECT version, name, size_bytes, content_type, modified_at FROM file"
_WAIT_S = 10.0  # for another who writes


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of `[tools.files]` with `driver = "onefile"`.

    Args:
        path: Of the file, from the application's folder; the folder that it is in must be there.
        max_file_bytes: How long a file may be.
        max_read_bytes: How long what `read` returns may be.
        threads: That read and write; more wait.
    """

    path: str = "files.db"
    max_file_bytes: Annotated[int, Meta(ge=1)] = 100 << 20
    max_read_bytes: Annotated[int, Meta(ge=1)] = 10 << 20
    threads: Annotated[int, Meta(ge=1, le=64)] = 4


class Driver:
    """One SQLite file behind the contract of `files`. Serves `service.Backend`."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self._limits = Limits(config.max_file_bytes, config.max_read_bytes)
        self._instance = env.instance
        self.store = Store(env.root / config.path, env.clock)
        self.runner = Threads(config.threads)

    async def start(self) -> None:
        """Make the file, or see that it is one."""
        try:
            await self.runner.do(self.store.prepare)
        except StorageFailure as failure:
            raise StartRefused(
                f"tools.{self._instance}: {failure} Give another `path`, or make its folder."
            ) from None

    async def stop(self) -> None:
        """Refuse new work, and wait for what is in hand."""
        await self.runner.stop()
        self.store.close()

    def handle(self, grant: Grant) -> Files:
        """Return the files as one plugin sees them."""
        return Handle(self, self._limits, grant)


class Store:
    """Serves `service.Store`. Each call has a connection to itself."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._kept: sqlite3.Connection | None = None  # the last one to close would empty the log

    def prepare(self) -> None:
        """Make the tables."""
        with translated("files"):
            self._kept = self._connected()
            self._kept.execute("PRAGMA journal_mode = WAL")
            self._kept.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        if self._kept is not None:
            self._kept.close()

    def draft(self, order: Order) -> "Draft":
        with translated(order.name), closing(self._connected()) as line:
            _admit(line, order)
            return Draft(self, order, self._path.parent)

    def open(self, place: Place) -> "Opened":
        name = "/".join(place)
        with translated(name):
            line = self._connected()
            try:
                line.execute("BEGIN")  # a snapshot, from the first read on
                return Opened(line, _found(line, name))
            except BaseException:
                line.close()
                raise

    def stat(self, place: Place) -> Stored:
        name = "/".join(place)
        with translated(name), closing(self._connected()) as line:
            return _found(line, name)[1]

    def delete(self, place: Place, if_match: str | None) -> None:
        name = "/".join(place)
        with translated(name), self._writing() as line:
            stored = _found(line, name)[1]
            if if_match is not None:
                require(name, if_match, stored.etag)
            line.execute("DELETE FROM file WHERE name = ?", (name,))

    def page(self, folder: Place, beginning: str, after: str, limit: int) -> list[Stored]:
        prefix = "/".join((*folder, beginning))
        with translated(prefix), closing(self._connected()) as line:
            rows = line.execute(
                f"{_COLUMNS} WHERE name >= ?1 AND name < ?1 || ?2 AND name > ?3 "
                "ORDER BY name LIMIT ?4",
                (prefix, "\U0010ffff", after, limit),  # the last character, which no name has
            )
            return [_stored(row) for row in rows]

    def publish(self, order: Order, size_bytes: int, pieces: Iterator[bytes]) -> Stored:
        """Put a version in its place, as one transaction."""
        with translated(order.name), self._writing() as line:
            _admit(line, order)
            line.execute("DELETE FROM file WHERE name = ?", (order.name,))
            made = line.execute(
                "INSERT INTO file (name, size_bytes, content_type, modified_at) "
                "VALUES (?, ?, ?, ?)",
                (order.name, size_bytes, order.content_type, self._clock.now().isoformat()),
            ).lastrowid
            line.executemany(
                "INSERT INTO piece (version, number, content) VALUES (?, ?, ?)",
                ((made, number, piece) for number, piece in enumerate(pieces)),
            )
            return _found(line, order.name)[1]

    def _connected(self) -> sqlite3.Connection:
        line = sqlite3.connect(
            self._path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
        )
        line.execute("PRAGMA foreign_keys = ON")
        line.execute("PRAGMA synchronous = FULL")
        return line

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with closing(self._connected()) as line:  # which rolls back what was not committed
            line.execute("BEGIN IMMEDIATE")
            yield line
            line.execute("COMMIT")


class Draft:
    """A version that is being written, in a file that has no name."""

    def __init__(self, store: Store, order: Order, folder: Path) -> None:
        self._store = store
        self._order = order
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by its end

    def append(self, piece: bytes) -> None:
        with translated(self._order.name):
            self._file.write(piece)

    def publish(self) -> Stored:
        with translated(self._order.name), self._file as file:
            size_bytes = file.tell()
            file.seek(0)
            pieces = iter(lambda: file.read(PIECE_BYTES), b"")
            return self._store.publish(self._order, size_bytes, pieces)

    def abandon(self) -> None:
        self._file.close()


class Opened:
    """A version that is being read: a snapshot that nobody changes. Serves `service.Opened`."""

    def __init__(self, line: sqlite3.Connection, found: tuple[int, Stored]) -> None:
        self._line = line
        self._version, stored = found
        self.etag = stored.etag
        self.size_bytes = stored.size_bytes
        self._lock = Lock()  # whoever has it uses the connection
        self._closing = False

    def read(self, start: int, length: int) -> bytes:
        number, skipped = divmod(start, PIECE_BYTES)
        with self._lock, translated("files"):
            row = self._line.execute(
                "SELECT content FROM piece WHERE version = ? AND number = ?",
                (self._version, number),
            ).fetchone()
        if self._closing:
            self.close()
        piece: bytes = row[0] if row is not None else b""
        return piece[skipped : skipped + length]

    def close(self) -> None:
        self._closing = True
        if self._lock.acquire(blocking=False):  # otherwise the one who reads closes it
            try:
                self._line.close()
            finally:
                self._lock.release()


def _admit(line: sqlite3.Connection, order: Order) -> None:
    """Raise what stands in an order's way."""
    for depth in range(1, len(order.place)):
        above = "/".join(order.place[:depth])
        if line.execute("SELECT 1 FROM file WHERE name = ?", (above,)).fetchone():
            raise FileExists("it is a file; expected a folder.", subject=subject(above))
    below = "SELECT 1 FROM file WHERE name > ?1 || '/' AND name < ?1 || '0'"  # which follows "/"
    if line.execute(below, (order.name,)).fetchone():
        raise FileExists("it is the folder of other files.", subject=subject(order.name))
    row = line.execute(f"{_COLUMNS} WHERE name = ?", (order.name,)).fetchone()
    order.admit(None if row is None else _stored(row).etag)


def _found(line: sqlite3.Connection, name: str) -> tuple[int, Stored]:
    row = line.execute(f"{_COLUMNS} WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise FileMissing("there is no such file.", subject=subject(name))
    return row[0], _stored(row)


def _stored(row: tuple[int, str, int, str | None, str]) -> Stored:
    version, name, size_bytes, content_type, modified_at = row
    kind = content_type or content_types.of_name(name.rpartition("/")[2])
    etag = f"{version:x}-{size_bytes:x}"
    return Stored(name, size_bytes, kind, etag, datetime.fromisoformat(modified_at))


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Raise the contract's error for what a disk says."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        full = code == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) == errno.ENOSPC
        kind = StorageFull if full else StorageFailure
        raise kind(f"the file cannot be used: {error}.", subject=subject(name)) from error

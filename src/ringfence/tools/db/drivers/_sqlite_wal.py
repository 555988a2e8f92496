"""Looks at a database's files before SQLite does, and finds what SQLite would mend by dropping it.

SQLite deletes the log of a database that is empty or gone, and takes a log for ended where a frame
is damaged: what was committed is lost, and nobody is told. `damage` tells. Invariant: files are
read, never written. Called by `_sqlite_file.py`, before this process has the database open:
closing one of its files would drop the locks that the process has on it.

Source: https://www.sqlite.org/fileformat2.html, sections 1.3 and 4.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAGIC = b"SQLite format 3\0"
_FRAME = 24  # the header of a frame
_HEADER = struct.Struct(">8I")
_MAGICS = {0x377F0682: "<", 0x377F0683: ">"}
# Summing up takes 30 ms a megabyte. SQLite keeps a log at about 4 MB; one beyond this is taken as
# it is.
_MOST_BYTES = 64 * 1024 * 1024


def log_of(path: Path) -> Path:
    """Return where a database's write-ahead log is."""
    return path.with_name(f"{path.name}-wal")


def damage(path: Path) -> str:
    """Say what is wrong with a database's files; '' where nothing is found."""
    log = log_of(path)
    logged = log.stat().st_size if log.exists() else 0
    size = path.stat().st_size if path.exists() else 0
    if not size and logged > _HEADER.size:
        missing = "is empty" if path.exists() else "is gone"
        return f"it {missing}, while its log {log.name} holds {logged} bytes"
    if size:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                return "it is no SQLite database"
    if _HEADER.size < logged <= _MOST_BYTES:
        return _log_damage(log)
    return ""


def _log_damage(log: Path) -> str:
    """Say where a log is damaged.

    Each commit is synced before the next one is written, so that a crash can leave one unfinished
    transaction behind, with one commit. A bad frame that two commits follow was good once.
    """
    with log.open("rb") as file:
        head = file.read(_HEADER.size)
        told = _frames_damage(file, head, log.name)
        file.seek(0)
        # Another process may have begun the log anew while it was read.
        return told if file.read(_HEADER.size) == head else ""


def _frames_damage(file: BinaryIO, head: bytes, name: str) -> str:
    if not any(head):
        return ""  # it was never written: nothing after it was ever synced
    magic, _, page_size, _, salt_1, salt_2, *sums = _HEADER.unpack(head)
    order = _MAGICS.get(magic)
    if order is None or _sum(head[:24], order, (0, 0)) != tuple(sums):
        return f"the header of its log {name} is damaged"
    if not 512 <= page_size <= 65536:
        return ""
    state = (sums[0], sums[1])
    bad = commits = 0
    for number, (frame, page) in enumerate(_frames(file, page_size), start=1):
        _, pages, *rest = struct.unpack(">6I", frame)
        if (rest[0], rest[1]) != (salt_1, salt_2):
            if not bad:
                bad = number
            continue
        if not bad:
            state = _sum(page, order, _sum(frame[:8], order, state))
            if state != (rest[2], rest[3]):
                bad = number
        elif pages:
            commits += 1
    if commits < 2:
        return ""
    return f"frame {bad} of its log {name} is damaged, and {commits} commits come after it"


def _frames(file: BinaryIO, page_size: int) -> Iterator[tuple[bytes, bytes]]:
    while len(frame := file.read(_FRAME)) == _FRAME:
        page = file.read(page_size)
        if len(page) < page_size:
            return
        yield frame, page


def _sum(data: bytes, order: str, state: tuple[int, int]) -> tuple[int, int]:
    one, two = state
    for first, second in struct.iter_unpack(f"{order}II", data):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two

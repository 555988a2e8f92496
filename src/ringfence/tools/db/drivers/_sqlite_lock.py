"""Who else has a database open, and who holds its lock, as far as the system tells.

Linux lists all locks in one file, so that asking opens none of the database's: closing one would
drop the locks that this process has on it. Elsewhere the answers are empty. Called by the sqlite
driver's modules for the text of an error.

Source: https://www.sqlite.org/walformat.html, section 2.3: byte 120 of the shared memory is the
lock of whoever writes.
"""

import os
from collections.abc import Iterator
from pathlib import Path

_LOCKS = Path("/proc/locks")
_WRITER = 120


def writer(path: Path | None) -> str:
    """Return who holds the lock for writing: `process 12 (sqlite3)`, or 'another process'."""
    return (path and holder(path)) or "another process"


def holder(path: Path) -> str:
    """Return the other process that holds the lock for writing; nothing where none is known."""
    shared = path.with_name(f"{path.name}-shm")
    exclusive = [pid for pid, kind, _ in _locks(path) if kind == "WRITE"]
    writing = [pid for pid, kind, at in _locks(shared) if kind == "WRITE" and at == _WRITER]
    return next((_named(pid) for pid in (*writing, *exclusive)), "")


def users(path: Path) -> list[str]:
    """Return the other processes that have the database open."""
    pids = {pid for pid, _, _ in _locks(path)}
    return [_named(pid) for pid in sorted(pids)]


def _locks(path: Path) -> Iterator[tuple[int, str, int]]:
    """Yield process, kind and first byte of each lock of others on a file."""
    try:
        about = path.stat()
        lines = _LOCKS.read_text().splitlines()
    except OSError:  # another system, or the file is gone
        return
    device = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
    for line in lines:
        # 1: POSIX  ADVISORY  WRITE 14987 fe:00:2146380 120 120
        parts = line.split()
        if len(parts) == 8 and parts[5] == device and parts[4].isdigit():
            pid = int(parts[4])
            if pid not in (0, os.getpid()):  # 0: a process of another container
                yield pid, parts[3], int(parts[6])


def _named(pid: int) -> str:
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return f"process {pid}"
    return f"process {pid} ({name})"

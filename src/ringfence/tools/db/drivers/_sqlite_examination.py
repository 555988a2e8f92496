"""A SQLite file, looked at and left as it is: for `ringfence doctor`.

`examine` says what there is. Invariant: no file is made, not even those beside the database that
SQLite makes to read it. Called by `_sqlite_upkeep.py`.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from time import monotonic

from ringfence.tools.db.drivers._sqlite_copy import open_plain
from ringfence.tools.db.drivers._sqlite_file import refused
from ringfence.tools.db.drivers._sqlite_lock import holder
from ringfence.tools.db.drivers._sqlite_migrations import outlook
from ringfence.tools.db.maintenance import Examination
from ringfence.tools.db.migrations import Migration

_STEPS = 20_000  # of SQLite's machine, some milliseconds
# Nobody has it open and there is no log: SQLite need not make one to find that out.
_STILL = "ro&immutable=1"


def examine(
    path: Path, migrations: Sequence[Migration], instance: str, limit_s: float
) -> Examination:
    """Look at a database for about `limit_s` seconds; raises StartRefused where it cannot be."""
    ids = tuple(each.id for each in migrations)
    if not path.exists() or not path.stat().st_size:
        return Examination(str(path), 0 if path.exists() else None, pending=ids)
    size, log_bytes = path.stat().st_size, _size(path, "-wal")
    if log_bytes and not path.with_name(f"{path.name}-shm").exists():
        said = "it was not closed; what its log holds is taken in by the next start"
        return Examination(str(path), size, log_bytes, checked=said)
    try:
        mode = "ro" if path.with_name(f"{path.name}-wal").exists() else _STILL
        with closing(open_plain(path, 0, mode)) as line:
            before = outlook(line, list(migrations), instance)
            damage, checked = _checked(line, limit_s)
    except sqlite3.Error as error:
        raise refused(path, error) from None
    return Examination(
        file=str(path),
        size_bytes=size,
        log_bytes=log_bytes,
        damage=damage,
        checked=checked,
        applied=len(before.applied),
        pending=tuple(each.id for each in before.pending),
        writer=holder(path),
    )


def _checked(line: sqlite3.Connection, limit_s: float) -> tuple[str, str]:
    """Return what is wrong with the pages, and how far they were looked through."""
    until = monotonic() + limit_s
    line.set_progress_handler(lambda: monotonic() > until, _STEPS)
    try:
        verdict = str(line.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "") != "SQLITE_INTERRUPT":
            raise
        return "", f"what could be looked through in {limit_s:g} s is sound"
    return "" if verdict == "ok" else " ".join(verdict.split()), ""


def _size(path: Path, suffix: str) -> int:
    try:
        return path.with_name(path.name + suffix).stat().st_size
    except OSError:
        return 0

"""The database file: where it is, whether it is sound, and its schema brought up to date.

`locate` answers where, `prepare` opens it on a thread. Invariant: a file that is there and is no
sound database is never touched. Called by `sqlite.py` when it starts.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from ringfence.errors import StartRefused
from ringfence.kernel.ports import Clock, ToolEnv
from ringfence.tools.db.contract import Busy, StorageFailure
from ringfence.tools.db.drivers._sqlite_line import Line, open_line, translated
from ringfence.tools.db.drivers._sqlite_migrations import migrate
from ringfence.tools.db.migrations import Migration

# Up to this size the whole file is checked at each start: some tenths of a second from a disk.
CHECKED_BYTES = 64 * 1024 * 1024


def locate(configured: str, env: ToolEnv) -> Path:
    """Return the file's path; make the folder `data/` of the application if it is to lie there.

    Raises:
        StartRefused: The folder does not exist, or the path is none of a file.
    """
    if configured.startswith((":memory:", "file:")) or "\0" in configured:
        raise StartRefused(
            f"{env.instance}: expected the path of a file, got {configured!r}. "
            "Several connections share the database, so it must be a file; give its path."
        )
    name = env.app if env.instance == "db" else f"{env.app}-{env.instance}"
    path = env.root / (configured or f"data/{name}.db")
    folder = path.parent
    if folder == env.root / "data":
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartRefused(
                f"{env.instance}: the folder {folder} cannot be made: {error}. "
                f"Make it, or set `path` under [tools.{env.instance}]."
            ) from None
    if not folder.is_dir():
        raise StartRefused(
            f"{env.instance}: the folder {folder} does not exist; expected it for {path.name}. "
            f"Make it, or set another `path` under [tools.{env.instance}]."
        )
    if path.exists() and not path.is_file():
        raise StartRefused(f"{env.instance}: {path} is no file. Set another `path`.")
    return path


def prepare(
    path: Path, migrations: Sequence[Migration], clock: Clock, busy_timeout_s: float
) -> Line:
    """Open the file for writing: sound, in WAL mode, migrated.

    Raises:
        StartRefused: It is damaged, cannot be opened, or a migration fails.
        Busy: Another process holds its lock.
    """
    try:
        line = open_line(path)
    except sqlite3.Error as error:
        raise _refused(path, error) from None
    try:
        line.execute(f"PRAGMA busy_timeout = {round(busy_timeout_s * 1000)}")
        _check(line, path)
        migrate(line, migrations, clock)
        line.execute("PRAGMA busy_timeout = 0")
    except sqlite3.Error as error:
        line.close()
        raise _refused(path, error) from None
    except StorageFailure as error:
        line.close()
        raise StartRefused(f"db: {path}: {error.message} {_RESTORE}") from None
    except BaseException:
        line.close()
        raise
    return line


_RESTORE = (
    "The file was left as it is: restore a backup in its place, or salvage it with "
    "`sqlite3 FILE .recover`."
)


def _check(line: sqlite3.Connection, path: Path) -> None:
    line.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if path.stat().st_size <= CHECKED_BYTES:
        verdict = line.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise StartRefused(f"db: {path} is damaged: {_one_line(verdict)}. {_RESTORE}")
    mode = line.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StartRefused(
            f"db: {path}: expected journal mode wal, got {mode}. "
            "Put the file on a local disk that supports shared memory."
        )


def _refused(path: Path, error: sqlite3.Error) -> StartRefused | Busy:
    told = translated(error, f"db: {path}")
    if isinstance(told, Busy):
        return told
    name = getattr(error, "sqlite_errorname", "")
    if name in {"SQLITE_NOTADB", "SQLITE_CORRUPT"}:
        return StartRefused(f"db: {path} is damaged or no SQLite database: {error}. {_RESTORE}")
    return StartRefused(
        f"db: {path} cannot be used: {error}. Check that the file and its folder are writable."
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())

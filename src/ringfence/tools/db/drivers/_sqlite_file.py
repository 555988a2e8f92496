"""The database file: where it is, whether it is sound, and its schema brought up to date.

`locate` answers where, `inspect` whether, `prepare` opens it on a thread. `Presence` finds that it
was taken away meanwhile. Invariant: a file that is there and is no sound database is never touched.
Called by `sqlite.py` when it starts, and by `_sqlite_upkeep.py`.
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from ringfence.errors import Finding, StartRefused
from ringfence.kernel.ports import Clock, ToolEnv
from ringfence.tools.db.contract import Busy, StorageFailure
from ringfence.tools.db.drivers._sqlite_line import Line, open_line, translated
from ringfence.tools.db.drivers._sqlite_lock import writer
from ringfence.tools.db.drivers._sqlite_migrations import Watch, migrate, outlook
from ringfence.tools.db.drivers._sqlite_trouble import (
    app_of,
    newest_backup,
    remedy,
    storage_failure,
)
from ringfence.tools.db.drivers._sqlite_wal import damage, log_of
from ringfence.tools.db.migrations import PENDING, Migration
from ringfence.tools.db.outlook import Outlook


class Damaged(StartRefused):
    """The file is no sound database."""


# Up to this size the whole file is checked at each start: some tenths of a second from a disk.
CHECKED_BYTES = 64 * 1024 * 1024
# How often the driver looks whether its file is still there: two calls of the system each time.
LOOK_EVERY_S = 1.0


def locate(configured: str, env: ToolEnv, *, make: bool = True) -> Path:
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
    own = folder == env.root / "data"
    if own and make:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartRefused(
                f"{env.instance}: the folder {folder} cannot be made: {error}. "
                f"Make it, or set `path` under [tools.{env.instance}]."
            ) from None
    if not folder.is_dir() and (make or not own):
        raise StartRefused(
            f"{env.instance}: the folder {folder} does not exist; expected it for {path.name}. "
            f"Make it, or set another `path` under [tools.{env.instance}]."
        )
    if path.exists() and not path.is_file():
        raise StartRefused(f"{env.instance}: {path} is no file. Set another `path`.")
    return path


def inspect(path: Path, *, wholly: bool = False, wait_s: float = 0) -> None:
    """Check that a file is a sound database, or not there at all.

    Args:
        path: The file.
        wholly: Check every page, whatever its size; otherwise up to CHECKED_BYTES.
        wait_s: How long to wait for another process.

    Raises:
        StartRefused: It is damaged; the text says how to get on.
        Busy: Another process has it for itself.
    """
    try:
        broken = damage(path)
        if not broken and path.exists() and path.stat().st_size:
            broken = _quick_check(path, wholly, wait_s)
    except OSError as error:
        raise StartRefused(f"db: {path} cannot be read: {error.strerror or error}.") from None
    except sqlite3.Error as error:
        raise refused(path, error) from None
    if broken:
        raise Damaged(f"db: {path} is damaged: {broken}. {remedy(path)}")


def _quick_check(path: Path, wholly: bool, wait_s: float) -> str:
    # Read-only, because closing a connection that may write would fold the log into the file. What
    # a crash has left in another journal than ours cannot be read so; opening it mends it.
    mode = "rw" if path.with_name(f"{path.name}-journal").exists() else "ro"
    quoted = f"{path.absolute().as_uri()}?mode={mode}"
    line = sqlite3.connect(quoted, uri=True, timeout=wait_s, isolation_level=None, factory=Line)
    with closing(line):
        line.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if not wholly and path.stat().st_size > CHECKED_BYTES:
            return ""
        verdict = str(line.execute("PRAGMA quick_check(1)").fetchone()[0])
        return "" if verdict == "ok" else " ".join(verdict.split())


def prepare(
    path: Path,
    migrations: Sequence[Migration],
    clock: Clock,
    busy_timeout_s: float,
    *,
    apply: bool = True,
    watch: Watch | None = None,
    instance: str = "db",
) -> tuple[Line, Outlook]:
    """Open the file for writing: sound, in WAL mode, migrated.

    Args:
        path: The file; made where there is none.
        migrations: In order of application.
        clock: For the record of what was applied when.
        busy_timeout_s: How long to wait for another process's lock.
        apply: Whether to apply what is pending; otherwise it is a reason to refuse.
        watch: Told of each migration.
        instance: The database's name, for errors.

    Raises:
        StartRefused: It is damaged, cannot be opened, or a migration fails.
        Busy: Another process holds its lock.
    """
    watch = watch or Watch()
    _check_writable(path)
    inspect(path, wait_s=busy_timeout_s)
    if not path.exists() and not apply and migrations:
        raise _pending(migrations, path, instance)  # and no empty file is left behind
    try:
        line = open_line(path)
    except sqlite3.Error as error:
        raise refused(path, error) from None
    watch.opened(line)
    try:
        line.execute(f"PRAGMA busy_timeout = {round(busy_timeout_s * 1000)}")
        _use_log(line, path)
        if not apply:
            before = outlook(line, migrations, instance)
            if before.pending:
                raise _pending(before.pending, path, instance)
        before = migrate(line, migrations, clock, watch, instance)
        line.execute("PRAGMA busy_timeout = 0")
    except sqlite3.Error as error:
        line.close()
        raise refused(path, error) from None
    except BaseException:
        line.close()
        raise
    return line, before


def _pending(migrations: Sequence[Migration], path: Path, instance: str) -> StartRefused:
    what = f"it is pending, and [tools.{instance}] leaves migrations to the command."
    fix = f"Run `ringfence migrate {app_of(path)}`; with --plan it only lists them."
    findings = [Finding(each.shown, 0, PENDING, what, fix) for each in migrations]
    return StartRefused(f"{instance}: migrations are pending.", findings=findings)


def _check_writable(path: Path) -> None:
    """Refuse a file that could be read alone: each write would fail, the first one hours later."""
    for each in (path, path.parent):
        if each.exists() and not os.access(each, os.W_OK):
            raise StartRefused(
                f"db: {each} cannot be written; expected to write {path.name} and the files beside "
                "it. Change its owner or mode, or mount the disk for writing."
            )


def _use_log(line: Line, path: Path) -> None:
    mode = line.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StartRefused(
            f"db: {path}: expected journal mode wal, got {mode}. "
            "Put the file on a local disk that supports shared memory."
        )


def refused(path: Path, error: sqlite3.Error) -> StartRefused | Busy:
    """Return why a file cannot be used, with what to do about it."""
    told = translated(error, f"db: {path}")
    if isinstance(told, Busy):
        told.message = f"{writer(path)} holds the database's lock."
        told.hint = "End it, or close the database there, and try again."
        return told
    failure = storage_failure(error, "db", path)
    name = getattr(error, "sqlite_errorname", "")
    kind = Damaged if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")) else StartRefused
    return kind(str(failure))


class Presence:
    """Whether the files that are open still have their names: what is written into a file that
    has been deleted or replaced is gone with the process.

    Args:
        path: The database, open and in WAL mode.
        clock: Decides when to look again.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._looked_at = clock.monotonic()
        found = [(each, _identity(each)) for each in (path, log_of(path))]
        self._known = [(each, identity) for each, identity in found if identity is not None]

    def check(self) -> None:
        """Look, at most once in LOOK_EVERY_S.

        Raises:
            StorageFailure: A file was taken away; as long as it is, and it is looked each time.
        """
        now = self._clock.monotonic()
        if now - self._looked_at < LOOK_EVERY_S:
            return
        for file, known in self._known:
            found = _identity(file)
            if found != known:
                what = "was replaced by another file" if found else "was deleted or moved away"
                raise StorageFailure(
                    f"{file} {what} while it was in use; nothing more is written, as it would be "
                    "lost.",
                    subject="db",
                    hint=self._hint(file, bool(found)),
                    retry_after_s=LOOK_EVERY_S,
                )
        self._looked_at = now

    def _hint(self, file: Path, replaced: bool) -> str:
        if file != self._path:  # the log: what it held is still open here
            stop = "Stop" if replaced else "Move it back, and writing goes on. Or stop"
            return (
                f"{stop} the application with SIGTERM, which writes what the log held into the "
                "database; do not kill it, and open the database only when it has ended."
            )
        newest = newest_backup(self._path)
        backup = f" The newest backup is {newest}." if newest else ""
        if replaced:
            return f"Restart the application to use the new one.{backup}"
        return f"Move it back, and writing goes on; or restore a backup and restart.{backup}"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino

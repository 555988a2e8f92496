"""What went wrong with a database's file, and what to do about it, in words.

Owns the text of a StorageFailure, and where backups are, since most of these texts name the newest
one. Called by `_sqlite_line.py` and `_sqlite_file.py`.
"""

import logging
import re
import shlex
import shutil
import sqlite3
from datetime import datetime
from pathlib import Path

from ringfence.errors import StartRefused
from ringfence.kernel.ports import Clock
from ringfence.tools.db.contract import StorageFailure

_log = logging.getLogger("ringfence.db")

# A limit on the size of files, and a full disk under the memory that connections share, are told
# as failures of input and output.
_FULL = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE")
EVERY_S = 60.0
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_REACH = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")
_UNITS = ("B", "kB", "MB", "GB", "TB")


def backup_name(path: Path, at: datetime, note: str = "") -> Path:
    """Return where a backup of a database goes unless somebody says otherwise."""
    return path.parent / "backups" / f"{path.stem}-{at:%Y%m%dT%H%M%SZ}{note}.db"


def make_folder(backup: Path) -> None:
    """Make the folder that `backup_name` names, if need be; nobody else may look into it.

    Raises:
        StartRefused: It cannot be made.
    """
    try:
        backup.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StartRefused(
            f"db: the folder {backup.parent} cannot be made: {error.strerror or error}. "
            "Make it, or see that the folder above it can be written."
        ) from None


def newest_backup(path: Path) -> Path | None:
    """Return the newest of the backups that are where `backup_name` puts them."""
    named = re.compile(rf"{re.escape(path.stem)}-[0-9]{{8}}T[0-9]{{6}}Z\.db")
    try:
        found = [each for each in (path.parent / "backups").iterdir() if named.fullmatch(each.name)]
    except OSError:  # none was made, or nobody may look
        return None
    return max(found, default=None)


def remedy(path: Path) -> str:
    """Say how to get on with a damaged database."""
    newest = newest_backup(path)
    if newest is not None:
        return (
            "The file was left as it is. Restore the newest backup: "
            f"`ringfence db restore {shlex.quote(str(newest))} --app {app_of(path)}`."
        )
    return (
        "The file was left as it is. Restore a backup with `ringfence db restore FILE --app "
        f"{app_of(path)}`, or salvage what can be read with "
        f"`sqlite3 {shlex.quote(str(path))} .recover`."
    )


def app_of(path: Path) -> str:
    """Return the application that a database lies in, as a shell takes its folder; APP, for whoever
    reads it to fill in, where it lies elsewhere."""
    folders = path.absolute().parents
    return next((shlex.quote(str(each)) for each in folders if (each / "domains").is_dir()), "APP")


def storage_failure(
    error: sqlite3.Error | sqlite3.Warning, subject: str, path: Path | None
) -> StorageFailure:
    """Return the error for a storage that failed; `path` is the database, where it is known."""
    name = getattr(error, "sqlite_errorname", "")
    told = f"{path}: " if path is not None else ""
    message = f"{told}the storage failed ({name}: {error})."
    hint = ""
    if path is None:
        pass
    elif name in _FULL:
        message = (
            f"{path}: the disk is full, or the file may not grow ({name}: {error}); "
            f"{_free(path)} free in {path.parent}."
        )
        hint = "Nothing of it was kept. Reading goes on, and writing as soon as there is space."
    elif name.startswith(_DAMAGED):
        message = f"{path} is damaged ({name}: {error})."
        hint = remedy(path)
    elif name.startswith(_REACH):
        message = f"{path} cannot be written or opened ({name}: {error})."
        hint = "See that the file, its folder and the files beside it are there and writable."
    return StorageFailure(message, subject=subject, hint=hint, retry_after_s=5.0)


class Alarm:
    """Tells the log of failures of the storage: the first at once, then how many there were, at
    most once in EVERY_S. Called from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told_at = float("-inf")
        self._more = 0

    def __call__(self, failure: StorageFailure) -> None:
        now = self._clock.monotonic()
        if now - self._told_at < EVERY_S:
            self._more += 1
            return
        more = f" ({self._more} more since the last time)" if self._more else ""
        self._told_at, self._more = now, 0
        _log.error("storage_failed: %s %s%s", failure.message, failure.hint, more)


def shown_bytes(count: int) -> str:
    """Return a size as people read it: `1.5 GB`."""
    power = 0
    while power < len(_UNITS) - 1 and count >= 1000 ** (power + 1):
        power += 1
    size = count / 1000**power
    return f"{size:.1f} {_UNITS[power]}" if power and size < 100 else f"{size:.0f} {_UNITS[power]}"


def _free(path: Path) -> str:
    try:
        return f"{shown_bytes(shutil.disk_usage(path.parent).free)} are"
    except OSError:
        return "nobody knows how much is"

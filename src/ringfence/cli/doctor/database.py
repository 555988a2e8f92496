"""The databases of an application: whether they are there, sound, and up to date.

`checks` lists them. Called by the verb `doctor`.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from ringfence.app import maintenance
from ringfence.cli.doctor.examination import Check, Line, bad, ok, warn
from ringfence.cli.progress import size_text
from ringfence.tools.db.maintenance import Examination, Examined, Maintenance

_AREA = "database"
_LOOK_S = 5.0  # at the pages of one file; those of a larger one are looked at in part
_LOG_BYTES = 256_000_000  # a log of that size is one that nothing folds in


def checks(root: Path) -> list[Check]:
    """List the checks of all databases of the application in `root`."""
    return [Check(_AREA, "databases", lambda: _databases(root), 6 * _LOOK_S)]


def _databases(root: Path) -> Iterator[Line]:
    with ExitStack() as undo:
        databases = maintenance(root, undo)
        for instance, database in databases.items():
            found = _found(database)
            if found is None:
                yield ok(instance, "its driver offers no examination")
            elif found.size_bytes is not None or found.pending or len(databases) == 1:
                yield from _lines(instance, found)


def _found(database: Maintenance) -> Examination | None:
    return database.examine(_LOOK_S) if isinstance(database, Examined) else None


def _lines(instance: str, found: Examination) -> Iterator[Line]:
    if found.size_bytes is None:
        yield ok(instance, f"{found.file}: not made yet; the first start makes it")
    elif found.damage:
        fix = "stop the application, keep the file, and restore a backup: ringfence db restore"
        yield bad(instance, f"{found.file}: damaged: {found.damage}", fix)
    else:
        sound = found.checked or "sound"
        yield ok(instance, f"{found.file}: {size_text(found.size_bytes)}, {sound}")
    if found.pending and found.size_bytes:
        names = ", ".join(found.pending)
        count = len(found.pending)
        told = f"{count} migration{'s are' if count > 1 else ' is'} pending: {names}"
        yield warn(instance, told, "the next start applies them; or now: ringfence migrate")
    elif found.size_bytes and not found.checked:
        yield ok(instance, f"migrations: {found.applied} applied, none pending")
    if found.log_bytes > _LOG_BYTES:
        told = f"its log holds {size_text(found.log_bytes)} that are not in the file"
        yield warn(instance, told, "end what reads for hours: it keeps the log from being emptied")
    if found.writer:
        told = f"{found.writer} holds the lock for writing, this moment"
        yield ok(instance, told)

"""Applies migrations to a SQLite file: each is one transaction, its record among it.

Foreign keys are off while one runs, as SQLite demands for rebuilding a table, and are checked as
a whole before it commits. Called by `_sqlite_file.py`, on a thread, before anything else runs.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress

from ringfence.errors import Finding, StartRefused
from ringfence.kernel.ports import Clock
from ringfence.tools.db.drivers._sqlite_line import Line, translated
from ringfence.tools.db.drivers._sqlite_owners import RECORD as OWNERS
from ringfence.tools.db.drivers._sqlite_schema import Surveyor, Trespass, failed
from ringfence.tools.db.migrations import CHANGED, Command, Migration
from ringfence.tools.db.timers import TABLE as _TIMERS

_RECORD = """
CREATE TABLE IF NOT EXISTS ringfence_migrations (
    domain TEXT NOT NULL,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    applied_at TEXT NOT NULL,
    PRIMARY KEY (domain, name)
) STRICT, WITHOUT ROWID
"""


def migrate(line: Line, migrations: Sequence[Migration], clock: Clock) -> None:
    """Bring the file up to date.

    Raises:
        StartRefused: An applied file was changed, or a statement fails; the migrations before it
            stay applied, nothing of it does.
        Busy: Another process holds the lock.
    """
    try:
        line.execute(_RECORD)
        line.execute(OWNERS)
        line.execute(_TIMERS)
        applied = _applied(line)
        changed = [each for each in migrations if _is_changed(each, applied)]
        if changed:
            raise StartRefused(
                "db: applied migrations were changed; nothing was done.",
                findings=[_changed(each) for each in changed],
            )
        pending = [each for each in migrations if (each.domain, each.name) not in applied]
        line.guard.border.owners.derive(line, migrations)
        line.execute("PRAGMA foreign_keys = OFF")
        for migration in pending:
            _apply(line, migration, clock)
    except sqlite3.Error as error:
        raise translated(error, "db: migrations") from None
    finally:
        with suppress(sqlite3.Error):  # a broken connection is about to be closed anyway
            if line.in_transaction:
                line.execute("ROLLBACK")
            line.execute("PRAGMA foreign_keys = ON")


def _applied(line: sqlite3.Connection) -> dict[tuple[str, str], str]:
    rows = line.execute("SELECT domain, name, sha256 FROM ringfence_migrations")
    return {(domain, name): sha256 for domain, name, sha256 in rows}


def _is_changed(migration: Migration, applied: dict[tuple[str, str], str]) -> bool:
    known = applied.get((migration.domain, migration.name))
    return known is not None and known != migration.sha256


def _changed(migration: Migration) -> Finding:
    return Finding(
        migration.shown,
        0,
        CHANGED,
        "it was changed after it had been applied to this database.",
        "Restore the file as it was, and put the change into a new migration.",
    )


def _apply(line: Line, migration: Migration, clock: Clock) -> None:
    line.execute("BEGIN IMMEDIATE")
    if (migration.domain, migration.name) in _applied(line):
        line.execute("ROLLBACK")  # another process has just done it
        return
    surveyor = Surveyor(line, migration)
    try:
        for command in migration.commands:
            _run(line, surveyor, migration, command)
        _check_references(line, migration)
        surveyor.survey()
    except Trespass as trespass:
        raise _refused(trespass.finding) from None
    line.execute(
        "INSERT INTO ringfence_migrations VALUES (?, ?, ?, ?)",
        (migration.domain, migration.name, migration.sha256, clock.now().isoformat()),
    )
    line.execute("COMMIT")


def _run(line: Line, surveyor: Surveyor, migration: Migration, command: Command) -> None:
    try:
        surveyor.run(command)
    except sqlite3.Error as error:
        raise _refused(failed(migration, command, str(error))) from None
    if not line.in_transaction:
        raise _refused(failed(migration, command, "it ended the migration's transaction"))


def _check_references(line: sqlite3.Connection, migration: Migration) -> None:
    broken = line.execute("PRAGMA foreign_key_check").fetchone()
    if broken is None:
        return
    table, _, referred, _ = broken
    what = f"rows of {table} would refer to rows of {referred} that do not exist"
    raise _refused(failed(migration, migration.commands[-1], what))


def _refused(finding: Finding) -> StartRefused:
    return StartRefused("db: a migration failed; nothing of it was applied.", findings=[finding])

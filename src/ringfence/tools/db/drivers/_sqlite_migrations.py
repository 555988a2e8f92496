"""Applies migrations to a SQLite file: each is one transaction, its record among it.

`outlook` compares files with database, `migrate` applies. Foreign keys are off while a migration
runs, as SQLite demands for rebuilding a table, and are checked as a whole before it commits.
Called by `_sqlite_file.py` and `_sqlite_upkeep.py`, on a thread.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from time import perf_counter

from ringfence.errors import Finding, StartRefused, ToolUnavailable
from ringfence.kernel.ports import Clock
from ringfence.tools.db.drivers._sqlite_line import Line, translated
from ringfence.tools.db.drivers._sqlite_owners import RECORD as OWNERS
from ringfence.tools.db.drivers._sqlite_schema import Surveyor, Trespass, failed
from ringfence.tools.db.migrations import Command, Migration
from ringfence.tools.db.outbox import TABLES as EVENTS
from ringfence.tools.db.outlook import Key, Outlook, compared
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


class Watch:
    """Told on the thread how the migrations get on; this one does not care."""

    def opened(self, line: sqlite3.Connection) -> None:
        """Take note of the connection, which may be interrupted from now on."""

    def begun(self, migration: Migration) -> None: ...

    def ended(self, migration: Migration, took_s: float) -> None: ...


def outlook(
    line: sqlite3.Connection, migrations: Sequence[Migration], instance: str = "db"
) -> Outlook:
    """Compare a database with its migrations; it is only read.

    Raises:
        StartRefused: An applied file was changed.
    """
    return compared(_applied(line), migrations, instance)


def migrate(
    line: Line,
    migrations: Sequence[Migration],
    clock: Clock,
    watch: Watch | None = None,
    instance: str = "db",
) -> Outlook:
    """Bring the file up to date; return how it was before.

    Raises:
        StartRefused: An applied file was changed, or a statement fails; the migrations before it
            stay applied, nothing of it does.
        sqlite3.Error: Another process holds the lock, or the storage fails.
    """
    watch = watch or Watch()
    try:
        line.execute(_RECORD)
        line.execute(OWNERS)
        line.execute(_TIMERS)
        _make_events(line)
        before = outlook(line, migrations, instance)
        line.guard.border.owners.derive(line, migrations)
        line.execute("PRAGMA foreign_keys = OFF")
        for migration in before.pending:
            watch.begun(migration)
            started = perf_counter()
            _apply(line, migration, clock)
            watch.ended(migration, perf_counter() - started)
    finally:
        with suppress(sqlite3.Error):  # a broken connection is about to be closed anyway
            if line.in_transaction:
                line.execute("ROLLBACK")
            line.execute("PRAGMA foreign_keys = ON")
    return before


def _make_events(line: Line) -> None:
    """Make the tables of events at once: each by itself would be a COMMIT of its own. Where they
    are, no lock is asked for."""
    last = "SELECT 1 FROM sqlite_schema WHERE name = 'ringfence_delayed_due'"
    if line.execute(last).fetchone() is not None:
        return
    line.execute("BEGIN IMMEDIATE")
    for command in EVENTS.split(";"):
        line.execute(command)
    line.execute("COMMIT")


def _applied(line: sqlite3.Connection) -> dict[Key, str]:
    known = "SELECT 1 FROM sqlite_schema WHERE name = 'ringfence_migrations'"
    if line.execute(known).fetchone() is None:
        return {}
    rows = line.execute("SELECT domain, name, sha256 FROM ringfence_migrations")
    return {(domain, name): sha256 for domain, name, sha256 in rows}


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
        if isinstance(translated(error, migration.id), ToolUnavailable):
            raise  # the disk is full, or somebody interrupts: no fault of the statement
        raise _refused(failed(migration, command, str(error))) from None
    if not line.in_transaction:
        raise _refused(failed(migration, command, "it ended the migration's transaction"))


def _check_references(line: sqlite3.Connection, migration: Migration) -> None:
    broken = line.execute("PRAGMA foreign_key_check").fetchone()
    if broken is None:
        return
    table, _, referred, _ = broken
    what = f"rows of {table} would refer to rows of {referred} that do not exist"
    last = migration.commands[-1] if migration.commands else Command("", 0)
    raise _refused(failed(migration, last, what))


def _refused(finding: Finding) -> StartRefused:
    return StartRefused("db: a migration failed; nothing of it was applied.", findings=[finding])

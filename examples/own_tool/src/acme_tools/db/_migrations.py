"""Applies migrations, each in a transaction of its own, its record among it."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime

from acme_tools.db._decimals import declared
from ringfence.errors import Finding, StartRefused
from ringfence.tools.db.migrations import FAILED, Migration
from ringfence.tools.db.outbox import TABLES as EVENTS
from ringfence.tools.db.outlook import Key, Outlook, compared
from ringfence.tools.db.timers import TABLE as TIMERS

_RECORD = """
CREATE TABLE IF NOT EXISTS ringfence_migrations (
    domain TEXT NOT NULL, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at TEXT NOT NULL,
    PRIMARY KEY (domain, name)
) STRICT, WITHOUT ROWID
"""


def recorded(line: sqlite3.Connection) -> dict[Key, str]:
    """Return the checksum of each migration that was applied."""
    known = "SELECT 1 FROM sqlite_schema WHERE name = 'ringfence_migrations'"
    if line.execute(known).fetchone() is None:
        return {}
    rows = line.execute("SELECT domain, name, sha256 FROM ringfence_migrations")
    return {(domain, name): sha256 for domain, name, sha256 in rows}


def migrate(
    line: sqlite3.Connection,
    migrations: Sequence[Migration],
    now: datetime,
    part: Callable[[str], AbstractContextManager[object]] = nullcontext,
) -> Outlook:
    """Apply what has not been applied; the ones before one that fails stay.

    Args:
        line: The connection.
        migrations: In order of application.
        now: For the record.
        part: Opened around each that is applied, with its id.

    Returns:
        How it was before.

    Raises:
        StartRefused: One was changed, before any is applied; or one fails.
    """
    line.execute(_RECORD)
    line.execute(TIMERS)
    for command in EVENTS.split(";"):
        line.execute(command)
    before = compared(recorded(line), migrations)
    line.execute("PRAGMA foreign_keys = OFF")  # as SQLite demands for rebuilding a table
    for migration in before.pending:
        with part(migration.id):
            line.execute("BEGIN IMMEDIATE")
            try:
                _apply(line, migration, now)
                line.execute("COMMIT")
            except BaseException:
                if line.in_transaction:
                    line.execute("ROLLBACK")
                raise
    line.execute("PRAGMA foreign_keys = ON")
    return before


def _apply(line: sqlite3.Connection, migration: Migration, now: datetime) -> None:
    if (migration.domain, migration.name) in recorded(line):
        return  # another process has just done it
    for command in migration.commands:
        try:
            line.execute(declared(command.text))
        except sqlite3.Error as error:
            raise _refused(migration, command.line, str(error)) from None
    broken = line.execute("PRAGMA foreign_key_check").fetchone()
    if broken is not None:
        raise _refused(migration, 0, f"rows of {broken[0]} would refer to none")
    line.execute(
        "INSERT INTO ringfence_migrations VALUES (?, ?, ?, ?)",
        (migration.domain, migration.name, migration.sha256, now.isoformat()),
    )


def _refused(migration: Migration, at: int, what: str) -> StartRefused:
    fix = "Restore or correct the file; nothing of it was applied just now."
    finding = Finding(migration.shown, at, FAILED, f"{what}.", fix)
    return StartRefused("db: a migration was refused.", findings=[finding])

"""Applies migrations, each in a transaction of its own, its record among it."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from acme_tools.db._decimals import declared
from ringfence.errors import Finding, StartRefused
from ringfence.tools.db.migrations import CHANGED, FAILED, Migration
from ringfence.tools.db.outbox import TABLES as EVENTS
from ringfence.tools.db.timers import TABLE as TIMERS

_RECORD = """
CREATE TABLE IF NOT EXISTS ringfence_migrations (
    domain TEXT NOT NULL, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at TEXT NOT NULL,
    PRIMARY KEY (domain, name)
) STRICT, WITHOUT ROWID
"""


def migrate(line: sqlite3.Connection, migrations: Sequence[Migration], now: datetime) -> None:
    """Apply what has not been applied; the ones before one that fails stay.

    Raises:
        StartRefused: One was changed, or fails.
    """
    line.execute(_RECORD)
    line.execute(TIMERS)
    for command in EVENTS.split(";"):
        line.execute(command)
    line.execute("PRAGMA foreign_keys = OFF")  # as SQLite demands for rebuilding a table
    for migration in migrations:
        line.execute("BEGIN IMMEDIATE")  # before the look: of two processes one applies it
        try:
            _apply(line, migration, now)
            line.execute("COMMIT")
        except BaseException:
            if line.in_transaction:
                line.execute("ROLLBACK")
            raise
    line.execute("PRAGMA foreign_keys = ON")


def _apply(line: sqlite3.Connection, migration: Migration, now: datetime) -> None:
    known = "SELECT sha256 FROM ringfence_migrations WHERE domain = ? AND name = ?"
    row = line.execute(known, (migration.domain, migration.name)).fetchone()
    if row == (migration.sha256,):
        return
    if row is not None:
        raise _refused(migration, 0, CHANGED, "it was changed after it had been applied")
    for command in migration.commands:
        try:
            line.execute(declared(command.text))
        except sqlite3.Error as error:
            raise _refused(migration, command.line, FAILED, str(error)) from None
    broken = line.execute("PRAGMA foreign_key_check").fetchone()
    if broken is not None:
        raise _refused(migration, 0, FAILED, f"rows of {broken[0]} would refer to none")
    line.execute(
        "INSERT INTO ringfence_migrations VALUES (?, ?, ?, ?)",
        (migration.domain, migration.name, migration.sha256, now.isoformat()),
    )


def _refused(migration: Migration, at: int, rule: str, what: str) -> StartRefused:
    fix = "Restore or correct the file; nothing of it was applied just now."
    finding = Finding(migration.shown, at, rule, f"{what}.", fix)
    return StartRefused("db: a migration was refused.", findings=[finding])

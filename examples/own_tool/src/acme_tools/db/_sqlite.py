"""What is SQLite's own: a connection, values as it holds them, its errors, its migrations.

All of it runs on the thread of a connection. Called by `threads.py`.
"""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import Path
from uuid import UUID

from ringfence.errors import Finding, StartRefused, ToolError, ToolUnavailable
from ringfence.tools.db import (
    Busy,
    CheckViolation,
    ConstraintViolation,
    ForeignKeyViolation,
    InvalidParameter,
    NotNullViolation,
    QueryError,
    SerializationFailure,
    StorageFailure,
    UniqueViolation,
)
from ringfence.tools.db.migrations import CHANGED, FAILED, Migration
from ringfence.tools.db.rows import Answer
from ringfence.tools.db.service import Params
from ringfence.tools.db.sql import Kind, Statement

_RECORD = """
CREATE TABLE IF NOT EXISTS acme_migrations (
    domain TEXT NOT NULL, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at TEXT NOT NULL,
    PRIMARY KEY (domain, name)
) STRICT, WITHOUT ROWID
"""
_CONSTRAINTS: dict[str, type[ConstraintViolation]] = {
    "SQLITE_CONSTRAINT_UNIQUE": UniqueViolation,
    "SQLITE_CONSTRAINT_PRIMARYKEY": UniqueViolation,
    "SQLITE_CONSTRAINT_ROWID": UniqueViolation,
    "SQLITE_CONSTRAINT_FOREIGNKEY": ForeignKeyViolation,
    "SQLITE_CONSTRAINT_CHECK": CheckViolation,
    "SQLITE_CONSTRAINT_DATATYPE": CheckViolation,
    "SQLITE_CONSTRAINT_NOTNULL": NotNullViolation,
}
# What is wrong with a statement; whatever else SQLite says is about its file.
_MISTAKES = ("SQLITE_ERROR", "SQLITE_MISUSE", "SQLITE_RANGE", "SQLITE_AUTH", "SQLITE_MISMATCH")


def connect(path: Path, busy_timeout_s: float, *, writes: bool) -> sqlite3.Connection:
    """Open the file; raises StartRefused where that cannot be."""
    try:
        line = sqlite3.connect(
            path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise StartRefused(f"db: {path} cannot be used: {error}. Make its folder.") from None
    line.execute("PRAGMA foreign_keys = ON")
    line.execute("PRAGMA synchronous = FULL")
    line.execute("PRAGMA journal_mode = WAL" if writes else "PRAGMA query_only = ON")
    return line


def run(line: sqlite3.Connection, statement: Statement, params: Params) -> Answer:
    """Run one statement to its end."""
    values = tuple(_held(at, value, statement) for at, value in enumerate(params, 1))
    try:
        cursor = line.execute(statement.text, statement.bound(values))
        rows = cursor.fetchall()
    except sqlite3.Error as error:
        raise translated(error, statement.shown) from None
    names = tuple(column[0] for column in cursor.description or ())
    if statement.kind is Kind.READ:
        return Answer(names, rows, 0)
    changed = cursor.rowcount
    if statement.common:  # sqlite3 counts only what begins with the verb itself
        changed = line.execute("SELECT changes()").fetchone()[0]
    return Answer(names, rows, changed)


def _held(at: int, value: object, statement: Statement) -> object:
    """Return a parameter as SQLite holds it."""
    match value:
        case Enum():
            return _held(at, value.value, statement)
        case None | bytes():
            return value
        case str() if _is_unicode(value):
            return value
        case int() if -(2**63) <= value < 2**63:
            return value
        case float() if value == value:
            return value
        case datetime() if value.tzinfo is not None:
            moment = value.astimezone(UTC).replace(tzinfo=None)
            return moment.isoformat(timespec="microseconds") + "Z"  # it sorts as time does
        case datetime() | time():
            return value.isoformat(timespec="microseconds")
        case date():
            return value.isoformat()
        case Decimal() | UUID():
            return str(value)
    raise InvalidParameter(
        f"${at} is a {type(value).__name__} that the database cannot hold.",
        subject=statement.shown,
    )


def _is_unicode(text: str) -> bool:
    """Whether it can be encoded: half of a surrogate pair cannot."""
    try:
        return bool(text.encode()) or True
    except UnicodeEncodeError:
        return False


def translated(error: sqlite3.Error, subject: str) -> ToolError:
    """Return the contract's error for one of SQLite's."""
    name, text = getattr(error, "sqlite_errorname", "SQLITE_MISUSE"), str(error)
    if name.startswith("SQLITE_CONSTRAINT"):
        return _CONSTRAINTS.get(name, ConstraintViolation)(f"{text}.", subject=subject)
    if name == "SQLITE_BUSY_SNAPSHOT":
        return SerializationFailure("another transaction was faster.", subject=subject)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        said = "another process holds the database's lock."
        return Busy(said, subject=subject, retry_after_s=1.0)
    if name == "SQLITE_INTERRUPT":
        return ToolUnavailable("it was stopped.", subject=subject, retry_after_s=1.0)
    if name.startswith(_MISTAKES):
        return QueryError(f"{text}.", subject=subject)
    return StorageFailure(f"the storage failed ({name}: {text}).", subject=subject)


def migrate(line: sqlite3.Connection, migrations: Sequence[Migration], now: datetime) -> None:
    """Apply what has not been applied, each in a transaction of its own."""
    line.execute(_RECORD)
    line.execute("PRAGMA foreign_keys = OFF")  # as SQLite demands for rebuilding a table
    for migration in migrations:
        line.execute("BEGIN IMMEDIATE")  # before the look: of two processes one applies it
        try:
            _apply(line, migration, now)
            line.execute("COMMIT")
        except BaseException:
            line.execute("ROLLBACK")
            raise
    line.execute("PRAGMA foreign_keys = ON")


def _apply(line: sqlite3.Connection, migration: Migration, now: datetime) -> None:
    known = "SELECT sha256 FROM acme_migrations WHERE domain = ? AND name = ?"
    row = line.execute(known, (migration.domain, migration.name)).fetchone()
    if row == (migration.sha256,):
        return
    if row is not None:
        raise _refused(migration, 0, CHANGED, "it was changed after it had been applied")
    for command in migration.commands:
        try:
            line.execute(command.text)
        except sqlite3.Error as error:
            raise _refused(migration, command.line, FAILED, str(error)) from None
    broken = line.execute("PRAGMA foreign_key_check").fetchone()
    if broken is not None:
        raise _refused(migration, 0, FAILED, f"rows of {broken[0]} would refer to none")
    line.execute(
        "INSERT INTO acme_migrations VALUES (?, ?, ?, ?)",
        (migration.domain, migration.name, migration.sha256, now.isoformat()),
    )


def _refused(migration: Migration, at: int, rule: str, what: str) -> StartRefused:
    fix = "Restore or correct the file; nothing of it was applied just now."
    finding = Finding(migration.shown, at, rule, f"{what}.", fix)
    return StartRefused("db: a migration was refused.", findings=[finding])

"""The contract's error for each of SQLite's. Invariant: none shows the value of a parameter."""

import re
import sqlite3
from contextlib import suppress

from ringfence.errors import ToolError, ToolUnavailable
from ringfence.kernel.ports import did_you_mean
from ringfence.tools.db import (
    Busy,
    CheckViolation,
    ConstraintViolation,
    ForeignKeyViolation,
    InvalidParameter,
    NotNullViolation,
    QueryError,
    RowMismatch,
    SerializationFailure,
    StorageFailure,
    UniqueViolation,
)
from ringfence.tools.db.sql import Statement, fold, significant

FAILURES = (sqlite3.Error, sqlite3.Warning, UnicodeEncodeError, OverflowError, MemoryError)

_CONSTRAINTS: dict[int, type[ConstraintViolation]] = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: UniqueViolation,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: UniqueViolation,
    sqlite3.SQLITE_CONSTRAINT_ROWID: UniqueViolation,
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: ForeignKeyViolation,
    sqlite3.SQLITE_CONSTRAINT_CHECK: CheckViolation,
    sqlite3.SQLITE_CONSTRAINT_TRIGGER: CheckViolation,
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: NotNullViolation,
    sqlite3.SQLITE_CONSTRAINT | 12 << 8: CheckViolation,  # a strict table's type
}
_UNKNOWN = re.compile(
    r"no such (?P<what>table|column): (?P<name>\S+)|table \S+ has no column named (?P<column>\S+)"
)
# By these SQLite shows what it does not understand; some of it may be a value's.
_QUOTED = re.compile(r"""["'\[](?P<text>.*)["'\]]""", re.DOTALL)


def stopped() -> ToolUnavailable:
    """Return the error of work that comes before the start or after the stop."""
    said = "it is not running; expected it to be started."
    return ToolUnavailable(said, subject="db", retry_after_s=1.0)


def explained(error: Exception, statement: Statement, line: sqlite3.Connection) -> ToolError:
    """Return the error for a statement's failure, with the name that was probably meant."""
    if isinstance(error, UnicodeEncodeError):
        said = "text with half a surrogate pair; expected valid Unicode."
        return InvalidParameter(said, subject=statement.shown)
    if isinstance(error, MemoryError):
        return StorageFailure("there was not enough memory for it.", subject=statement.shown)
    if isinstance(error, OverflowError):
        said = "a value is larger than the database can hold."
        return InvalidParameter(said, subject=statement.shown)
    told = translated(error, statement.shown)
    if type(told) is not QueryError:
        return told
    text = told.message.removesuffix(".")
    unknown = _UNKNOWN.match(text)
    if unknown is None:
        text = _QUOTED.sub(lambda m: m[0] if m["text"] in statement.text else "…", text)
        return QueryError(f"{text}.", subject=told.subject)
    name = (unknown["name"] or unknown["column"]).rpartition(".")[2]
    alike = did_you_mean(name, _known(line, statement, columns=unknown["what"] != "table"))
    return QueryError(f"{text}{alike or '.'}", subject=told.subject)


def _known(line: sqlite3.Connection, statement: Statement, *, columns: bool) -> list[str]:
    """List the tables that there are, or the columns of those that a statement names."""
    words = {word.called for word in significant(statement.text)}
    found: list[str] = []
    with suppress(sqlite3.Error):  # without a hint, then
        rows = line.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")
        for (table,) in rows.fetchall():
            if not columns and not table.startswith("ringfence_"):
                found.append(table)
            elif columns and fold(table) in words:
                of = line.execute("SELECT name FROM pragma_table_info(?)", (table,))
                found += [name for (name,) in of]
    return found


def translated(error: Exception, subject: str) -> ToolError:
    """Return the contract's error for one of SQLite's, by its code."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    text = str(error)
    match code & 0xFF:
        case sqlite3.SQLITE_CONSTRAINT:
            return _CONSTRAINTS.get(code, ConstraintViolation)(f"{text}.", subject=subject)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED if code != sqlite3.SQLITE_BUSY_SNAPSHOT:
            said = "another process holds the database's lock."
            return Busy(said, subject=subject, retry_after_s=1.0)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_SCHEMA:
            return SerializationFailure("another transaction was faster.", subject=subject)
        case sqlite3.SQLITE_INTERRUPT:
            return ToolUnavailable("it was stopped.", subject=subject, retry_after_s=1.0)
        case sqlite3.SQLITE_TOOBIG | sqlite3.SQLITE_MISMATCH:
            return InvalidParameter("a value does not fit its place.", subject=subject)
        case sqlite3.SQLITE_OK if text.startswith("Could not decode"):
            return RowMismatch("a column holds text that is not UTF-8.", subject=subject)
        case sqlite3.SQLITE_OK if "closed database" in text:
            return stopped()
        case sqlite3.SQLITE_OK | sqlite3.SQLITE_ERROR | sqlite3.SQLITE_AUTH | sqlite3.SQLITE_RANGE:
            return QueryError(f"{text}.", subject=subject)
    name = getattr(error, "sqlite_errorname", "")
    return StorageFailure(f"the storage failed ({name}: {text}).", subject=subject)

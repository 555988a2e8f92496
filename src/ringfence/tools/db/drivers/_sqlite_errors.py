"""Which error of the contract stands for one of SQLite's; none passes that is not of the contract.

`translated` goes by SQLite's code alone, `explained` knows the statement and helps with its names.
Invariant: no text of an error holds a parameter's value. Called wherever a connection is used.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from ringfence.errors import ToolError, ToolUnavailable
from ringfence.kernel.ports import did_you_mean
from ringfence.tools.db.contract import (
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
from ringfence.tools.db.drivers._sqlite_trouble import storage_failure
from ringfence.tools.db.sql import Statement, significant

_EXPECTED = "Where that is expected, catch it, or write ON CONFLICT … DO …."
_REFERRED = "Insert what is referred to first; delete what refers to it first."
# By extended codes: sqlite3 knows the names of some only.
_CONSTRAINTS: dict[int, tuple[type[ConstraintViolation], str]] = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: (UniqueViolation, _EXPECTED),
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: (UniqueViolation, _EXPECTED),
    sqlite3.SQLITE_CONSTRAINT_ROWID: (UniqueViolation, _EXPECTED),
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: (ForeignKeyViolation, _REFERRED),
    sqlite3.SQLITE_CONSTRAINT_CHECK: (CheckViolation, ""),
    sqlite3.SQLITE_CONSTRAINT | 12 << 8: (CheckViolation, ""),  # a strict table's type
    sqlite3.SQLITE_CONSTRAINT_TRIGGER: (CheckViolation, ""),
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: (NotNullViolation, ""),
}
_UNKNOWN = re.compile(
    r"no such (?P<what>table|column|function): (?P<name>\S+)"
    r"|table (?P<table>\S+) has no column named (?P<column>\S+)"
)
_VALUE = "If it is meant as a value: write $1 in its place, and give the value after the text."
_BAD_TEXT = re.compile(r"Could not decode to UTF-8 column '(?P<column>.*?)' with text '", re.DOTALL)
_QUOTED = re.compile(r"""(?P<open>["'\[])(?P<text>.*)(?P<close>["'\]])""", re.DOTALL)
_FUNCTIONS = {
    "now": "Give the time as a parameter: what the clock says is tested with a fake one.",
    "uuid": "Make it in Python and give it as a parameter.",
    "gen_random_uuid": "Make it in Python and give it as a parameter.",
    "concat": "Write `a || b`.",
    "greatest": "Write CASE WHEN ….",
    "least": "Write CASE WHEN ….",
}


def stopped() -> ToolUnavailable:
    """Return the error of work that comes before the start or after the stop."""
    return ToolUnavailable(
        "it is not running; expected it to be started.", subject="db", retry_after_s=1.0
    )


def translated(
    error: sqlite3.Error | sqlite3.Warning, subject: str, line: sqlite3.Connection | None = None
) -> ToolError:
    """Return the contract's error for one of SQLite's; `line` is whose it is, to name its file."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    text = str(error)
    match code & 0xFF:
        case sqlite3.SQLITE_OK:  # of the module, not of SQLite
            return _of_the_module(text, subject)
        case sqlite3.SQLITE_CONSTRAINT:
            kind, hint = _CONSTRAINTS.get(code, (ConstraintViolation, ""))
            return kind(f"{text}.", subject=subject, hint=hint)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED if code != sqlite3.SQLITE_BUSY_SNAPSHOT:
            return Busy(
                "another process holds the database's lock.",
                subject=subject,
                hint="Try again; if it lasts, find who has the file open.",
                retry_after_s=1.0,
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_SCHEMA | sqlite3.SQLITE_ABORT:
            return SerializationFailure(
                "another transaction was faster.", subject=subject, hint="Repeat the whole."
            )
        case sqlite3.SQLITE_INTERRUPT:
            return stopped()
        case sqlite3.SQLITE_TOOBIG:
            what = "a value is larger than the database can hold."
            return InvalidParameter(what, subject=subject, hint="Keep large bytes in files.")
        case sqlite3.SQLITE_MISMATCH:
            what = "a value is of another type than its place demands."
            return InvalidParameter(what, subject=subject)
        case sqlite3.SQLITE_ERROR | sqlite3.SQLITE_AUTH | sqlite3.SQLITE_RANGE:
            return QueryError(f"{text}.", subject=subject)
        case _:
            return _of_the_storage(error, subject, line)


def _of_the_storage(
    error: sqlite3.Error | sqlite3.Warning, subject: str, line: sqlite3.Connection | None
) -> StorageFailure:
    path: Path | None = getattr(line, "path", None)
    alarm: Callable[[StorageFailure], None] | None = getattr(line, "alarm", None)
    failure = storage_failure(error, subject, path)
    if alarm is not None:
        alarm(failure)
    return failure


def _of_the_module(text: str, subject: str) -> ToolError:
    if "closed database" in text:
        return stopped()
    bad = _BAD_TEXT.match(text)
    if bad is not None:
        what = f"column {bad['column']} holds text that is not UTF-8."
        return RowMismatch(what, subject=subject, hint="Store what is no text as bytes.")
    return QueryError(f"{text}.", subject=subject)


def explained(error: Exception, statement: Statement, line: sqlite3.Connection) -> ToolError:
    """Return the contract's error for what a statement's run has raised.

    Args:
        error: One of `FAILURES`.
        statement: What was run.
        line: Where; it is asked for the names that it knows.
    """
    shown = statement.shown
    match error:
        case sqlite3.Error() | sqlite3.Warning():
            told = translated(error, shown, line)
            return _helped(told, statement, line) if type(told) is QueryError else told
        case UnicodeEncodeError():
            what = "text with half a surrogate pair; expected valid Unicode."
            return InvalidParameter(what, subject=shown)
        case MemoryError():
            return StorageFailure("there was not enough memory for it.", subject=shown)
        case _:
            what = "a value is larger than the database can hold."
            return InvalidParameter(what, subject=shown, hint="Keep large bytes in files.")


FAILURES = (sqlite3.Error, sqlite3.Warning, UnicodeEncodeError, MemoryError, OverflowError)


def _helped(told: QueryError, statement: Statement, line: sqlite3.Connection) -> QueryError:
    """Return the error with the name that was probably meant, and without what is a value."""
    text = told.message.removesuffix(".")
    unknown = _UNKNOWN.match(text)
    if text.startswith(("fts5: ", "malformed MATCH expression")):
        return QueryError("MATCH does not understand what is searched for.", subject=told.subject)
    if unknown is None:
        text = _QUOTED.sub(lambda found: _written(found, statement), text)
        return QueryError(f"{text}.", subject=told.subject)
    if unknown["what"] == "function":
        hint = _FUNCTIONS.get(unknown["name"].lower(), "")
        return QueryError(f"{text}.", subject=told.subject, hint=hint)
    name = (unknown["name"] or unknown["column"]).rpartition(".")[2]
    if statement.parameters and name not in statement.text:  # MATCH reads names in a value
        what = "what is searched for names a column that there is not."
        return QueryError(what, subject=told.subject)
    known = _tables(line) if unknown["what"] == "table" else list(_columns(line, statement))
    close = did_you_mean(name, known)
    hint = "" if close or unknown["what"] == "table" else _VALUE
    return QueryError(f"{text}{close or '.'}", subject=told.subject, hint=hint)


def _written(found: re.Match[str], statement: Statement) -> str:
    return found[0] if found["text"] in statement.text else f"{found['open']}…{found['close']}"


def _tables(line: sqlite3.Connection) -> list[str]:
    sql = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')"
    with suppress(sqlite3.Error):  # without a hint, then
        return [name for (name,) in line.execute(sql) if not name.startswith("ringfence_")]
    return []


def _columns(line: sqlite3.Connection, statement: Statement) -> Iterator[str]:
    """Yield the columns of the tables that a statement names."""
    words = {word.text.strip('"`[]').lower() for word in significant(statement.text)}
    for table in _tables(line):
        if table.lower() in words:
            with suppress(sqlite3.Error):
                found = line.execute("SELECT name FROM pragma_table_info(?)", (table,))
                yield from [name for (name,) in found]

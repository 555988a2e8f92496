"""What is SQLite's own: a connection, values as it holds them, a statement's run.

All of it runs on the thread of a connection. Called by `threads.py` and `_session.py`.
"""

import sqlite3
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from acme_tools.db._border import Border
from acme_tools.db._decimals import compared
from acme_tools.db._errors import FAILURES, explained
from ringfence.errors import StartRefused
from ringfence.tools.db.prepared import Params
from ringfence.tools.db.rows import Answer
from ringfence.tools.db.sql import Kind, Statement
from ringfence.tools.db.values import Settled, settled


class Connection(sqlite3.Connection):
    """A connection that knows which tables are whose."""

    border: Border


def opened(path: Path, busy_timeout_s: float, mode: str) -> Connection:
    """Open the file as it is; `mode` is `ro`, `rw`, or `rwc`, which makes it."""
    line = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=busy_timeout_s,
        isolation_level=None,
        check_same_thread=False,
        factory=Connection,
    )
    line.create_collation("decimal", compared)
    return line


def connect(path: Path, busy_timeout_s: float, border: Border, *, writes: bool) -> Connection:
    """Open the file with everything set; raises StartRefused where that cannot be."""
    try:
        line = opened(path, busy_timeout_s, "rwc")
    except sqlite3.Error as error:
        raise StartRefused(f"db: {path} cannot be used: {error}. Make its folder.") from None
    line.border = border
    line.execute("PRAGMA foreign_keys = ON")
    line.execute("PRAGMA synchronous = FULL")
    line.execute("PRAGMA journal_mode = WAL" if writes else "PRAGMA query_only = ON")
    return line


def data_version(line: Connection) -> int:
    """Return a number that changes when another connection has committed."""
    version: int = line.execute("PRAGMA data_version").fetchone()[0]
    return version


def held(params: Params, shown: str) -> Params:
    """Return parameters as SQLite holds them: text that sorts as what it has no type for."""
    return tuple(_held(settled(at, value, shown)) for at, value in enumerate(params))


def _held(value: Settled) -> object:
    match value:
        case datetime():
            text = value.replace(tzinfo=None).isoformat(timespec="microseconds")
            return text if value.tzinfo is None else f"{text}Z"
        case date():
            return value.isoformat()
        case time():
            return value.isoformat("microseconds")
        case Decimal() | UUID():
            return str(value)
    return value


def run(line: Connection, statement: Statement, params: Params) -> Answer:
    """Run one statement to its end."""
    values = held(params, statement.shown)
    cursor = begun(line, statement, values)
    try:
        rows = cursor.fetchall()
        names = tuple(column[0] for column in cursor.description or ())
        return Answer(names, rows, _changed(line, statement, cursor))
    except FAILURES as error:
        raise explained(error, statement, line) from None


def run_many(line: Connection, statement: Statement, rows: Sequence[Params]) -> int:
    """Run a statement for each row; a row that cannot be held is refused before the first."""
    values = [held(params, statement.shown) for params in rows]
    changed = 0
    for each in values:
        cursor = begun(line, statement, each)
        try:
            cursor.fetchall()
            changed += _changed(line, statement, cursor)
        except FAILURES as error:
            raise explained(error, statement, line) from None
    return changed


def begun(line: Connection, statement: Statement, values: Params) -> sqlite3.Cursor:
    """Begin a statement, if its domain may run it."""
    line.border.admit(statement)
    try:
        return line.execute(statement.text, statement.bound(values))
    except FAILURES as error:
        raise explained(error, statement, line) from None


def _changed(line: Connection, statement: Statement, cursor: sqlite3.Cursor) -> int:
    if statement.kind is Kind.READ:
        return 0
    if statement.common:  # sqlite3 counts only what begins with the verb itself
        changed: int = line.execute("SELECT changes()").fetchone()[0]
        return changed
    return cursor.rowcount

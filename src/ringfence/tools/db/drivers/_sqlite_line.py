"""One connection to a SQLite file, and what a statement's run on it looks like.

Owns the pragmas of a connection, the translation of parameters and of SQLite's errors, and the
measuring that decides where a statement runs: on a thread until it has proved short there, on the
event loop from then on, until it proves to cost more than SHORT_S. Called by
`_sqlite_writer.py`, `_sqlite_readers.py` and `_sqlite_file.py`.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import Path
from time import perf_counter, thread_time
from uuid import UUID

from ringfence.errors import ToolError, ToolUnavailable
from ringfence.tools.db.contract import (
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
from ringfence.tools.db.drivers._sqlite_trouble import storage_failure
from ringfence.tools.db.rows import Answer
from ringfence.tools.db.sql import CACHED_STATEMENTS, Kind, Pace, Statement

# What an event loop may be kept from its other work by one statement.
SHORT_S = 0.001
# A statement that keeps the loop longer in one of so many runs stays away from it for good.
SELDOM = 1000

_NATIVE = frozenset({int, str, bytes, bool, type(None)})
_LEAST, _MOST = -(2**63), 2**63 - 1


class Line(sqlite3.Connection):
    """A connection that knows its file, for the errors that name it."""

    path: Path | None = None
    alarm: Callable[[StorageFailure], None] | None = None


def open_line(path: Path, *, query_only: bool = False, wait_s: float = 0) -> Line:
    """Open a connection with everything set but the journal, which belongs to the file.

    Args:
        path: The file.
        query_only: Whether it refuses to write.
        wait_s: How long SQLite waits for another process's lock: nothing on the event loop.
    """
    line = sqlite3.connect(
        path,
        timeout=wait_s,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=CACHED_STATEMENTS,
        factory=Line,
    )
    line.path = path
    try:
        line.execute("PRAGMA foreign_keys = ON")
        line.execute("PRAGMA trusted_schema = OFF")
        line.execute("PRAGMA synchronous = FULL")
        if query_only:
            line.execute("PRAGMA query_only = ON")
    except BaseException:  # it may be no database at all
        line.close()
        raise
    return line


def stopped() -> ToolUnavailable:
    """Return the error of work that comes before the start or after the stop."""
    return ToolUnavailable(
        "it is not running; expected it to be started.", subject="db", retry_after_s=1.0
    )


@contextmanager
def patience(line: sqlite3.Connection, wait_s: float) -> Iterator[None]:
    """On a thread: let SQLite wait for another process's lock, this long for each attempt."""
    line.execute(f"PRAGMA busy_timeout = {round(wait_s * 1000)}")
    try:
        yield
    finally:
        line.execute("PRAGMA busy_timeout = 0")


def run(line: sqlite3.Connection, statement: Statement, values: tuple[object, ...]) -> Answer:
    """Run a statement to its end and learn nothing from it."""
    try:
        cursor = line.execute(statement.text, statement.bound(values))
        rows = cursor.fetchall()
    except UnicodeEncodeError:
        raise InvalidParameter(
            "text with half a surrogate pair; expected valid Unicode.", subject=statement.shown
        ) from None
    except sqlite3.Error as error:
        raise translated(error, statement.shown, line) from None
    columns = cursor.description
    names = tuple(column[0] for column in columns) if columns else ()
    if statement.kind is Kind.READ:
        return Answer(names, rows, 0)
    changed = cursor.rowcount
    if statement.common:  # sqlite3 counts only what begins with the verb itself
        changed = line.execute("SELECT changes()").fetchone()[0]
    return Answer(names, rows, changed)


def run_on_thread(
    line: sqlite3.Connection, statement: Statement, values: tuple[object, ...]
) -> Answer:
    """Run a statement on a thread; it proves short by its own time, without waiting for the lock
    of the interpreter, which a busy event loop holds for milliseconds."""
    started = thread_time()
    answer = run(line, statement, values)
    took = thread_time() - started
    statement.pace = Pace.SHORT if took < SHORT_S and statement.pace is not Pace.SLOW else Pace.SLOW
    return answer


class Inline:
    """Runs short statements on the event loop, and adds up what that keeps it from."""

    def __init__(self) -> None:
        self._spent = 0.0

    def run(
        self, line: sqlite3.Connection, statement: Statement, values: tuple[object, ...]
    ) -> Answer:
        """Run a statement here and now; after a slow run, the next one is on a thread."""
        busy = thread_time()
        started = perf_counter()
        try:
            return run(line, statement, values)
        finally:
            took = perf_counter() - started
            self._spent += took
            statement.runs += 1
            if took > SHORT_S:
                self._judge(statement, thread_time() - busy > SHORT_S)

    def _judge(self, statement: Statement, worked: bool) -> None:
        """Decide after a run that kept the loop. Waiting for the disk or a processor may be over
        next time, and one slow run may have been a garbage collection; two are the statement's."""
        statement.slow_runs += worked
        often = statement.slow_runs > 1 and statement.slow_runs * SELDOM > statement.runs
        statement.pace = Pace.SLOW if often else Pace.UNPROVEN

    def due(self) -> bool:
        """Whether the event loop should get a turn now; asking starts the count again."""
        if self._spent < SHORT_S:
            return False
        self._spent = 0.0
        return True


def native(params: tuple[object, ...], shown: str) -> tuple[object, ...]:
    """Return parameters as SQLite holds them."""
    if _NATIVE.issuperset(map(type, params)):
        for value in params:
            if type(value) is int and not _LEAST <= value <= _MOST:
                raise _refused(params.index(value), "an integer past 64 bits", shown)
        return params
    return tuple(_native(at, value, shown) for at, value in enumerate(params))


def _native(at: int, value: object, shown: str) -> object:
    match value:
        case Enum():
            return _native(at, value.value, shown)
        case float() if value != value:
            raise _refused(at, "a NaN, which would be stored as NULL", shown)
        case int() if not _LEAST <= value <= _MOST:
            raise _refused(at, "an integer past 64 bits", shown)
        case None | int() | float() | str() | bytes():
            return value
        case bytearray() | memoryview():
            return bytes(value)
        case datetime():
            return _moment(value)
        case date():
            return value.isoformat()
        case time():
            return value.isoformat("microseconds")
        case Decimal() | UUID():
            return str(value)
        case _:
            raise _refused(at, f"a {type(value).__name__}", shown)


def _moment(value: datetime) -> str:
    """Return text that sorts as time does: aware times in UTC, all with microseconds."""
    if value.tzinfo is None:
        return value.isoformat(timespec="microseconds")
    utc = value.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="microseconds") + "Z"


def _refused(at: int, what: str, shown: str) -> InvalidParameter:
    return InvalidParameter(
        f"${at + 1} is {what}; expected a value that the database can hold.", subject=shown
    )


_CONSTRAINTS: dict[str, type[ConstraintViolation]] = {
    "SQLITE_CONSTRAINT_UNIQUE": UniqueViolation,
    "SQLITE_CONSTRAINT_PRIMARYKEY": UniqueViolation,
    "SQLITE_CONSTRAINT_ROWID": UniqueViolation,
    "SQLITE_CONSTRAINT_FOREIGNKEY": ForeignKeyViolation,
    "SQLITE_CONSTRAINT_CHECK": CheckViolation,
    "SQLITE_CONSTRAINT_DATATYPE": CheckViolation,
    "SQLITE_CONSTRAINT_NOTNULL": NotNullViolation,
}
_STORAGE = (
    "SQLITE_FULL",
    "SQLITE_IOERR",
    "SQLITE_CANTOPEN",
    "SQLITE_READONLY",
    "SQLITE_CORRUPT",
    "SQLITE_NOTADB",
    "SQLITE_NOMEM",
    "SQLITE_PERM",
    "SQLITE_PROTOCOL",
)


def translated(
    error: sqlite3.Error, subject: str, line: sqlite3.Connection | None = None
) -> ToolError:
    """Return the contract's error for one of SQLite's; `line` is whose it is, to name its file."""
    name = getattr(error, "sqlite_errorname", "")
    text = str(error)
    if name.startswith("SQLITE_CONSTRAINT"):
        kind = _CONSTRAINTS.get(name, ConstraintViolation)
        return kind(f"{text[:1].lower()}{text[1:]}.", subject=subject)
    if name == "SQLITE_BUSY_SNAPSHOT":
        return SerializationFailure("another transaction was faster.", subject=subject)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Busy(
            "another process holds the database's lock.",
            subject=subject,
            hint="Try again; if it lasts, find who has the file open.",
            retry_after_s=1.0,
        )
    if name == "SQLITE_INTERRUPT":
        return stopped()
    if name.startswith(_STORAGE):
        if not isinstance(line, Line):
            return storage_failure(error, subject, None)
        failure = storage_failure(error, subject, line.path)
        if line.alarm is not None:
            line.alarm(failure)
        return failure
    return QueryError(f"{text}.", subject=subject)

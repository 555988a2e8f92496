"""One connection to a SQLite file, and what a statement's run on it looks like.

Owns the pragmas of a connection, and the measuring that decides where a statement runs: on a thread
until it has proved short there, on the event loop from then on, until it proves to cost more than
SHORT_S. Called by `_sqlite_writer.py`, `_sqlite_readers.py`, `_sqlite_streams.py` and
`_sqlite_file.py`.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from ringfence.tools.db.contract import StorageFailure
from ringfence.tools.db.drivers._sqlite_authorizer import Authorizer
from ringfence.tools.db.drivers._sqlite_border import Border
from ringfence.tools.db.drivers._sqlite_errors import FAILURES, explained
from ringfence.tools.db.drivers._sqlite_errors import stopped as stopped
from ringfence.tools.db.drivers._sqlite_errors import translated as translated
from ringfence.tools.db.drivers._sqlite_values import native as native
from ringfence.tools.db.drivers._sqlite_values import order_decimals
from ringfence.tools.db.rows import Answer
from ringfence.tools.db.sql import CACHED_STATEMENTS, Kind, Pace, Statement
from ringfence.tools.db.work import Execute

R = TypeVar("R")

# What is left of the write-ahead log's file when all of it is in the database again.
LOG_BYTES = 64 * 1024 * 1024
# What an event loop may be kept from its other work by one statement.
SHORT_S = 0.001
# One that waits for longer, for the disk or a processor, runs on a thread the next time.
STALLED_S = 0.01
# A statement that keeps the loop longer in one of so many runs stays away from it for good.
SELDOM = 1000

Call = Callable[..., sqlite3.Cursor]


class Line(sqlite3.Connection):
    """A connection that holds each statement to the tables of its domain, and knows its file.

    `step` runs what is run to its end, on one cursor, since one for each statement costs as much as
    a short one. By itself it holds nothing to a domain: what opens, marks or ends a transaction
    needs no more, all else goes through `judge`.
    """

    guard: Authorizer
    step: Call
    path: Path | None = None  # for the errors that name it
    alarm: Callable[[StorageFailure], None] | None = None

    def __init__(self, *where: Any, **options: Any) -> None:
        super().__init__(*where, **options)
        self._cursor = self.cursor()
        self.step = self._cursor.execute
        order_decimals(self)
        self.share(Border())

    def share(self, border: Border) -> None:
        """Judge statements by what the connections to one file share."""
        self.guard = Authorizer(border)
        self.set_authorizer(self.guard)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Run a statement; one that begins with a domain's comment is bound to that domain.

        Raises:
            ForeignTable: It uses a table of another domain.
            sqlite3.Error: As ever.
        """
        return self.judge(super().execute, sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        """Run a statement once for each row of parameters; as `execute`."""
        rows = parameters if isinstance(parameters, list) else list(parameters)  # it may run again
        return self.judge(super().executemany, sql, rows)

    def judge(self, call: Call, sql: str, parameters: Any) -> sqlite3.Cursor:
        """Run a statement by `call`, held to its domain; see `execute`."""
        guard = self.guard
        try:
            if sql in guard.cleared:
                guard.text = sql
            else:
                guard.admit(self, sql)
            return call(sql, parameters)
        except sqlite3.Error as error:
            judged = guard.judged(self, error)
            if judged is not None:
                raise judged from None
            return self.judge(call, sql, parameters)

    def renew(self) -> None:
        """Replace the cursor of `step` after a failure."""
        self._drop()
        with suppress(sqlite3.ProgrammingError):  # it may have been closed
            self._cursor = self.cursor()
            self.step = self._cursor.execute

    def _drop(self) -> None:
        """A cursor keeps its last statement, and with that SQLite would keep file and lock, for as
        long as somebody keeps the error that its use has raised."""
        with suppress(sqlite3.ProgrammingError):
            self._cursor.close()

    def interrupt(self) -> None:
        """End the statement that runs, if one does: another thread may have closed it by now."""
        with suppress(sqlite3.ProgrammingError):
            super().interrupt()

    def close(self) -> None:
        """Close it, and what was kept to judge statements by."""
        self.guard.border.alone.close()
        self._drop()
        self.step = super().execute  # says that it is closed
        super().close()


def open_line(
    path: Path,
    *,
    query_only: bool = False,
    wait_s: float = 0,
    border: Border | None = None,
) -> Line:
    """Open a connection with everything set but the journal, which belongs to the file.

    Args:
        path: The file.
        query_only: Whether it refuses to write.
        wait_s: How long SQLite waits for another process's lock: nothing on the event loop.
        border: What the connections to one file share; by default a new one, for the first.
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
        if border is not None:
            line.share(border)
        line.execute("PRAGMA foreign_keys = ON")
        line.execute("PRAGMA trusted_schema = OFF")
        line.execute("PRAGMA synchronous = FULL")
        line.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        if query_only:
            line.execute("PRAGMA query_only = ON")
    except BaseException:  # it may be no database at all
        line.close()
        raise
    return line


@contextmanager
def patience(line: sqlite3.Connection, wait_s: float) -> Iterator[None]:
    """On a thread: let SQLite wait for another process's lock, this long for each attempt."""
    line.execute(f"PRAGMA busy_timeout = {round(wait_s * 1000)}")
    try:
        yield
    finally:
        line.execute("PRAGMA busy_timeout = 0")


def run(line: Line, statement: Statement, values: tuple[object, ...]) -> Answer:
    """Run a statement to its end and learn nothing from it."""
    try:
        cursor = line.judge(
            line.step, statement.text, values if statement.in_order else statement.bound(values)
        )
        columns = cursor.description
        rows = cursor.fetchall() if columns else []
    except FAILURES as error:
        line.renew()
        raise explained(error, statement, line) from None
    names = tuple([column[0] for column in columns]) if columns else ()
    if statement.kind is Kind.READ:
        return Answer(names, rows, 0)
    changed = cursor.rowcount
    if statement.common:  # sqlite3 counts only what begins with the verb itself
        changed = line.execute("SELECT changes()").fetchone()[0]
    return Answer(names, rows, changed)


def run_on_thread(line: Line, statement: Statement, values: tuple[object, ...]) -> Answer:
    """Run a statement on a thread; it proves short by its own time, without waiting for the lock
    of the interpreter, which a busy event loop holds for milliseconds."""
    return measured(statement, lambda: run(line, statement, values))


def run_many(line: Line, statement: Statement, rows: Sequence[tuple[object, ...]]) -> int:
    """Run a statement once for each row, and return the number of rows that it changed in all."""
    if statement.common:  # what begins with WITH is none of those that executemany takes
        return sum(run(line, statement, values).changed for values in rows)
    try:
        bound = list(rows) if statement.in_order else list(map(statement.bound, rows))
        return line.executemany(statement.text, bound).rowcount
    except FAILURES as error:
        raise explained(error, statement, line) from None


class Paced(Protocol):
    """What is learned about how long something takes, by running it."""

    pace: Pace
    runs: int
    slow_runs: int
    watched: bool


class Pacing(Struct, eq=False):
    """A unit of work's pace; a statement has its own."""

    pace: Pace = Pace.UNPROVEN
    runs: int = 0
    slow_runs: int = 0
    watched: bool = False


def measured(paced: Paced, call: Callable[[], R]) -> R:
    """Run something on a thread and learn from it; as `run_on_thread` does.

    The first run also prepares its statements, so one slow run is not enough to tell.
    """
    started = thread_time()
    result = call()
    if thread_time() - started >= SHORT_S:
        paced.slow_runs += 1
        paced.pace = Pace.SLOW if paced.slow_runs > 1 else Pace.UNPROVEN
    elif paced.pace is not Pace.SLOW:
        paced.pace = Pace.SHORT
    return result


def _judge(paced: Paced, took: float, busy: float) -> None:
    """Decide after a run that kept the loop, or that was watched because the last one had.

    To ask for the processor's time costs as much as a short statement, so it is asked for only
    then. Waiting for the disk or a processor may be over next time, and one slow run may have been
    a garbage collection; two are its own.
    """
    worked = paced.watched and thread_time() - busy > SHORT_S
    paced.watched = took > SHORT_S
    paced.slow_runs += worked
    if paced.slow_runs > 1 and paced.slow_runs * SELDOM > paced.runs:
        paced.pace = Pace.SLOW
    elif took > STALLED_S:
        paced.pace = Pace.UNPROVEN


class Inline:
    """Runs short statements on the event loop, and adds up what that keeps it from."""

    def __init__(self) -> None:
        self._spent = 0.0

    def run(self, line: Line, statement: Statement, values: tuple[object, ...]) -> Answer:
        """Run a statement here and now; after a slow run, the next one is watched."""
        busy = thread_time() if statement.watched else 0.0
        started = perf_counter()
        try:
            return run(line, statement, values)
        finally:
            took = perf_counter() - started
            self._spent += took
            statement.runs += 1
            if statement.watched or took > SHORT_S:
                _judge(statement, took, busy)

    def work(self, paced: Paced, call: Callable[[Execute], R], execute: Execute) -> R:
        """Run a unit of work, as `run` does a statement."""
        busy = thread_time() if paced.watched else 0.0
        started = perf_counter()
        try:
            return call(execute)
        finally:
            took = perf_counter() - started
            self._spent += took
            paced.runs += 1
            if paced.watched or took > SHORT_S:
                _judge(paced, took, busy)

    def due(self) -> bool:
        """Whether the event loop should get a turn now; asking starts the count again."""
        if self._spent < SHORT_S:
            return False
        self._spent = 0.0
        return True

"""One connection to a SQLite file, and what a statement's run on it looks like.

Owns the pragmas of a connection, and the measuring that decides where a statement runs: on a thread
until it has proved short there, on the event loop from then on, until it proves to cost more than
SHORT_S. Called by `_sqlite_writer.py`, `_sqlite_readers.py`, `_sqlite_streams.py` and
`_sqlite_file.py`.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, thread_time

from ringfence.tools.db.drivers._sqlite_errors import FAILURES, explained
from ringfence.tools.db.drivers._sqlite_errors import stopped as stopped
from ringfence.tools.db.drivers._sqlite_errors import translated as translated
from ringfence.tools.db.drivers._sqlite_values import native as native
from ringfence.tools.db.drivers._sqlite_values import order_decimals
from ringfence.tools.db.rows import Answer
from ringfence.tools.db.sql import CACHED_STATEMENTS, Kind, Pace, Statement

# What an event loop may be kept from its other work by one statement.
SHORT_S = 0.001
# A statement that keeps the loop longer in one of so many runs stays away from it for good.
SELDOM = 1000


def open_line(path: Path, *, query_only: bool = False, wait_s: float = 0) -> sqlite3.Connection:
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
    )
    try:
        order_decimals(line)
        line.execute("PRAGMA foreign_keys = ON")
        line.execute("PRAGMA trusted_schema = OFF")
        line.execute("PRAGMA synchronous = FULL")
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


def run(line: sqlite3.Connection, statement: Statement, values: tuple[object, ...]) -> Answer:
    """Run a statement to its end and learn nothing from it."""
    try:
        cursor = line.execute(statement.text, statement.bound(values))
        rows = cursor.fetchall()
    except FAILURES as error:
        raise explained(error, statement, line) from None
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

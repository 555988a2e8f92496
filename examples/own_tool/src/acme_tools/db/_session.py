"""An open transaction, and an open stream."""

import asyncio
import math
import sqlite3
from asyncio import CancelledError
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from time import perf_counter
from typing import TypeVar

from acme_tools.db._errors import FAILURES, explained, stopped
from acme_tools.db._lines import Job, Line, Pool
from acme_tools.db._sqlite import Connection, begun, held, run, run_many
from ringfence.errors import ToolError
from ringfence.kernel.ports import Clock
from ringfence.tools.db import HeldTooLong
from ringfence.tools.db.engine import COMMITTED, NOT_COMMITTED
from ringfence.tools.db.held import whereabouts
from ringfence.tools.db.prepared import Params
from ringfence.tools.db.rows import Answer
from ringfence.tools.db.sql import Statement
from ringfence.tools.db.streams import Chunk
from ringfence.tools.db.work import Execute

T = TypeVar("T")

# What a stream reads at once: memory is bounded, and rows that are found slowly are not waited for.
_MOST_ROWS = 500
_MOST_BYTES = 1 << 18
_MOST_S = 0.05


class Session:
    """A transaction, which has the writing connection to itself. Serves `engine.Session`.

    Args:
        line: The connection, in a transaction.
        turn: To write; taken, and let go at the end.
        clock: By which it may last so long:
        hold_s: Seconds.
        holder: The plugin that asked for it.
    """

    def __init__(
        self, line: Line, turn: asyncio.Lock, clock: Clock, hold_s: float, holder: str
    ) -> None:
        self.ended: Callable[[], ToolError] | None = None
        self._line = line
        self._turn = turn
        self._hold_s = hold_s
        self._holder = holder
        self._task = asyncio.current_task()
        self._left = False
        self._timer = None
        if not math.isinf(hold_s):
            self._timer = clock.call_at(clock.monotonic() + hold_s, self._expire)

    @property
    def alive(self) -> bool:
        return not self._left and self._line.in_transaction

    async def run(self, statement: Statement, params: Params) -> Answer:
        return await self._do(lambda line: run(line, statement, params))

    async def run_many(self, statement: Statement, rows: Sequence[Params]) -> int:
        return await self._do(lambda line: run_many(line, statement, rows))

    async def work(self, call: Callable[[Execute], T]) -> T:
        return await self._do(lambda line: call(partial(self._execute, line)))

    def _execute(self, line: Connection, statement: Statement, params: Params) -> Answer:
        """For a unit of work, on the thread; a function may catch what it is stopped by."""
        self._expect_time()
        return run(line, statement, params)

    async def mark(self, name: str) -> None:
        await self._do(lambda line: line.execute(f"SAVEPOINT {name}"))

    async def keep(self, name: str) -> None:
        await self._do(lambda line: line.execute(f"RELEASE {name}"))

    async def rewind(self, name: str) -> None:
        if self.alive:
            await self._line.run(lambda line: line.execute(f"ROLLBACK TO {name}"), to_its_end=True)
            await self._line.run(lambda line: line.execute(f"RELEASE {name}"), to_its_end=True)

    async def _do(self, job: Job[T]) -> T:
        self._expect_time()
        try:
            return await self._line.run(job)
        except ToolError:
            self._expect_time()
            raise

    async def commit(self) -> None:
        self._expect_time()
        self._leave()
        committed = False

        def commit(line: sqlite3.Connection) -> None:
            nonlocal committed
            line.execute("COMMIT")
            committed = True

        try:
            async with undone(self._line):
                await self._line.run(commit, to_its_end=True)
        except CancelledError as cancelled:
            cancelled.add_note(COMMITTED if committed else NOT_COMMITTED)
            raise
        finally:
            self._turn.release()

    async def rollback(self) -> None:
        if self._left:
            return
        self._leave()
        try:
            if not self._line.closed:
                await self._line.run(roll_back, to_its_end=True)
        finally:
            self._turn.release()

    def undo(self) -> None:
        if self._left:
            return
        self._leave()
        if self._line.closed:
            self._turn.release()
        else:
            asyncio.wrap_future(self._line.submit(roll_back)).add_done_callback(self._let_go)

    def _let_go(self, rolled_back: "asyncio.Future[None]") -> None:
        rolled_back.exception()  # a connection that cannot roll back says so to the next one
        self._turn.release()

    def _leave(self) -> None:
        self._left = True
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        """Its time is up: end what runs, roll back, let the next one go ahead."""
        places = whereabouts(self._task, self._holder)
        where = f", at {places[-1]}" if places else ""
        said = f"it held the database for over {self._hold_s:g} s{where}; it was rolled back."
        hint = "Let nothing wait inside it, or allow it longer: `transaction(hold_s=…)`."
        subject = f"transaction of {self._holder}"
        self.ended = lambda: HeldTooLong(said, subject=subject, hint=hint)
        self._line.interrupt()
        self.undo()

    def _expect_time(self) -> None:
        if self.ended is not None:
            raise self.ended()


class Cursor:
    """A statement that is run piece by piece on a connection of its own. Serves `streams.Cursor`.

    Args:
        pool: Of connections for streams.
        statement: What is run.
        params: Its parameters; refused here, if they cannot be held.
    """

    def __init__(self, pool: Pool, statement: Statement, params: Params) -> None:
        self.names: tuple[str, ...] = ()
        self._pool = pool
        self._statement = statement
        self._values = held(params, statement.shown)
        self._loop = asyncio.get_running_loop()
        self._line: Line | None = None
        self._cursor: sqlite3.Cursor | None = None
        self._closed = False

    async def next(self) -> Chunk:
        if self._line is None:
            line = await self._pool.take()
            if self._closed:  # by its context, meanwhile
                self._pool.give(line)
                raise stopped()
            self._line = line
        return await self._line.run(self._rows)

    def _rows(self, line: Connection) -> Chunk:
        """On the thread: find the next rows."""
        if self._cursor is None:
            self._cursor = begun(line, self._statement, self._values)
            self.names = tuple(column[0] for column in self._cursor.description)
        rows: Chunk = []
        size, until = 0, perf_counter() + _MOST_S
        try:
            for row in self._cursor:
                rows.append(row)
                size += sum(len(value) for value in row if isinstance(value, str | bytes))
                if len(rows) >= _MOST_ROWS or size >= _MOST_BYTES or perf_counter() > until:
                    break
        except FAILURES as error:
            raise explained(error, self._statement, line) from None
        return rows

    def close(self) -> None:
        with suppress(RuntimeError):  # the loop is closed, and the connection with it
            self._loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        self._closed = True
        line, self._line = self._line, None
        if line is not None and not line.closed:
            line.interrupt()  # if it is still looking for rows, for somebody who is stuck
            ending = asyncio.wrap_future(line.submit(self._end))
            ending.add_done_callback(lambda _: self._pool.give(line))

    def _end(self, line: Connection) -> None:
        """On the thread: let go of the snapshot."""
        if self._cursor is not None:
            self._cursor.close()


@asynccontextmanager
async def undone(line: Line) -> AsyncIterator[None]:
    """Roll back what the block leaves open when it fails."""
    try:
        yield
    except BaseException:
        if line.in_transaction and not line.closed:
            await line.run(roll_back, to_its_end=True)
        raise


def roll_back(line: sqlite3.Connection) -> None:
    """End a transaction, if there is one."""
    if line.in_transaction:
        line.execute("ROLLBACK")

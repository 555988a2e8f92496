"""The one writing connection: who has it, and what a transaction does with it.

Statements that have proved short run on the event loop; the others and every COMMIT that has
something to sync run on the writer's thread. Invariant: while a job is on the thread, nobody else
touches the connection, for its holder waits for the job. Called by `sqlite.py`.
"""

import asyncio
import sqlite3
import threading
from collections import deque

from ringfence.errors import ToolError
from ringfence.tools.db.contract import Busy, StorageFailure
from ringfence.tools.db.drivers._sqlite_line import (
    Inline,
    Line,
    native,
    patience,
    run_on_thread,
    stopped,
    translated,
)
from ringfence.tools.db.drivers._sqlite_lock import writer
from ringfence.tools.db.drivers._worker import Worker
from ringfence.tools.db.rows import Answer
from ringfence.tools.db.service import COMMITTED, NOT_COMMITTED, Params
from ringfence.tools.db.sql import Kind, Pace, Statement

# How long one attempt at another process's lock lasts: a cancelled wait ends this soon.
_SLICE_S = 0.05


class Turn:
    """Who may write: free, it is granted without suspending; taken, first come, first served."""

    def __init__(self) -> None:
        self._taken = False
        self.closed = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Return once it is the caller's."""
        if self.closed:
            raise stopped()
        if not self._taken:
            self._taken = True
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except BaseException:  # cancelled, or its coroutine thrown away
            if not waiter.cancel() and not waiter.cancelled() and waiter.exception() is None:
                self.give()
            raise

    def give(self) -> None:
        """Pass it on."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._taken = False

    def close(self) -> None:
        """Refuse who waits and who comes."""
        self.closed = True
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(stopped())


class Writer:
    """The writing connection, its thread and its turn."""

    def __init__(
        self, line: sqlite3.Connection, worker: Worker, inline: Inline, busy_timeout_s: float
    ) -> None:
        self.line = line
        self.worker = worker
        self.inline = inline
        self.turn = Turn()
        self._busy_timeout_s = busy_timeout_s

    async def begin(self) -> "WriterSession":
        """Take the turn, and the file's lock."""
        await self.turn.take()
        try:
            try:
                self.line.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                refused = translated(error, "db.transaction", self.line)
                if not isinstance(refused, Busy):
                    raise refused from None
                await self._begin_later()
        except BaseException:
            if not self.turn.closed and self.line.in_transaction:
                self.line.execute("ROLLBACK")
            self.turn.give()
            raise
        return WriterSession(self)

    async def _begin_later(self) -> None:
        """Wait for another process to let go; SQLite can only wait on a thread."""
        unwanted = threading.Event()
        job = self.worker.submit(lambda: self._begin_in_slices(unwanted))
        await job.wait_or_stop(unwanted.set)

    def _begin_in_slices(self, unwanted: threading.Event) -> None:
        slices = max(1, round(self._busy_timeout_s / _SLICE_S))
        with patience(self.line, _SLICE_S):
            for left in reversed(range(slices)):
                try:
                    self.line.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.Error as error:
                    refused = translated(error, "db.transaction", self.line)
                    if self.turn.closed:
                        raise stopped() from None
                    if not isinstance(refused, Busy) or not left or unwanted.is_set():
                        raise self._told(refused) from None

    def _told(self, refused: ToolError) -> ToolError:
        if isinstance(refused, Busy):
            who = writer(self.line.path if isinstance(self.line, Line) else None)
            refused.message = (
                f"{who} holds the database's lock; expected it within {self._busy_timeout_s:g} s."
            )
        return refused


class WriterSession:
    """A transaction on the writing connection."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._line = writer.line
        self._wrote = False

    @property
    def alive(self) -> bool:
        return not self._writer.turn.closed and self._line.in_transaction

    async def run(self, statement: Statement, params: Params) -> Answer:
        if self._writer.turn.closed:
            raise stopped()
        values = native(params, statement.shown)
        if statement.kind is Kind.WRITE:
            self._wrote = True
        line = self._line
        if statement.pace is not Pace.SHORT:
            job = self._writer.worker.submit(lambda: run_on_thread(line, statement, values))
            return await job.wait_or_stop(line.interrupt)
        inline = self._writer.inline
        answer = inline.run(line, statement, values)
        if inline.due():
            await asyncio.sleep(0)
        return answer

    async def mark(self, name: str) -> None:
        self._do(f"SAVEPOINT {name}")

    async def keep(self, name: str) -> None:
        self._do(f"RELEASE {name}")

    async def rewind(self, name: str) -> None:
        if self.alive:
            self._do(f"ROLLBACK TO {name}")
            self._do(f"RELEASE {name}")

    async def rollback(self) -> None:
        try:
            self._undo()
        finally:
            self._writer.turn.give()

    async def commit(self) -> None:
        # One transaction, one sync. Were several to share a sync, this is the place: they would
        # be savepoints that end here, and the turn would pass on before COMMIT, not after.
        give = self._writer.turn.give
        if not self._wrote:
            try:
                self._commit()
            finally:
                give()
            return
        job = self._writer.worker.submit(self._commit, then=give)
        cancelled = await job.outcome()
        if cancelled is not None:
            cancelled.add_note(COMMITTED if job.error is None else NOT_COMMITTED)
            raise cancelled
        await job.wait()

    def _commit(self) -> None:
        if not self.alive:
            raise StorageFailure("the transaction was lost.", subject="db.transaction")
        try:
            # Not execute("COMMIT"): this wants the interpreter's lock back once, not three times.
            self._line.commit()
        except sqlite3.Error as error:
            self._undo()
            raise translated(error, "db.transaction", self._line) from None

    def _undo(self) -> None:
        if self.alive:
            self._do("ROLLBACK")

    def _do(self, sql: str) -> None:
        if self._writer.turn.closed:
            raise stopped()
        try:
            self._line.execute(sql)
        except sqlite3.Error as error:
            raise translated(error, "db.transaction", self._line) from None

"""The reading connections: each read is a snapshot of the last commit.

Statements that have proved short share one connection on the event loop; the others borrow a
connection with a thread of its own, at most `most` at once, in order of asking. Called by
`sqlite.py`; `_sqlite_streams.py` has a `Pool` of its own.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from ringfence.kernel.ports import Clock, Timer
from ringfence.tools.db.contract import Busy
from ringfence.tools.db.drivers._sqlite_border import Border
from ringfence.tools.db.drivers._sqlite_line import (
    Inline,
    Line,
    native,
    open_line,
    run_on_thread,
    stopped,
    translated,
)
from ringfence.tools.db.drivers._worker import Job, Worker
from ringfence.tools.db.prepared import Params
from ringfence.tools.db.rows import Answer
from ringfence.tools.db.sql import Pace, Statement
from ringfence.tools.db.streams import Chunk


class Reader:
    """A connection and its thread; the connection is opened there, by the first read."""

    def __init__(self, path: Path, name: str, busy_timeout_s: float, border: Border) -> None:
        self.worker = Worker(f"ringfence-db-{name}")
        self.job: Job[Answer] | Job[Chunk] | None = None
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._border = border
        self._line: Line | None = None

    def line(self, statement: Statement) -> Line:
        """Return the connection; called on the thread, for the sake of a statement."""
        try:
            if self._line is None:
                self._line = open_line(
                    self._path,
                    query_only=True,
                    wait_s=self._busy_timeout_s,
                    border=self._border,
                )
        except sqlite3.Error as error:
            raise translated(error, statement.shown) from None
        return self._line

    def read(self, statement: Statement, values: Params) -> Answer:
        """Run a statement; called on the thread."""
        return run_on_thread(self.line(statement), statement, values)

    def interrupt(self) -> None:
        """End the statement that is running, if one is."""
        if self._line is not None:
            self._line.interrupt()

    def close(self) -> None:
        """Called on the thread, as its last job."""
        if self._line is not None:
            self._line.close()
            self._line = None


class Lent(Struct, frozen=True):
    """What a connection is lent for, and since when by the clock."""

    kind: str
    statement: Statement
    since: float


class Pool:
    """Connections with threads, lent to one after another, first come, first served.

    Args:
        path: The file.
        most: How many there may be.
        busy_timeout_s: How long each waits for another process's lock.
        name: What the threads are called.
        border: What all connections to the file share.
        clock: By which one is lent.
    """

    def __init__(
        self,
        path: Path,
        most: int,
        busy_timeout_s: float,
        name: str,
        border: Border,
        clock: Clock,
    ) -> None:
        self.all: list[Reader] = []
        self.lent: dict[Reader, Lent] = {}
        self._clock = clock
        self._border = border
        self._path = path
        self._most = most
        self._busy_timeout_s = busy_timeout_s
        self._name = name
        self._idle: list[Reader] = []
        self._waiting: deque[asyncio.Future[Reader]] = deque()

    async def borrow(
        self,
        statement: Statement,
        expect: Callable[[asyncio.Future[Reader]], Timer] | None = None,
    ) -> Reader:
        """Return one, to be given back.

        Args:
            statement: What it is borrowed for.
            expect: Called if all are lent, with what is waited for; may end that with an error
                later, unless it is cancelled.
        """
        reader = await self._free(expect)
        self.lent[reader] = Lent(self._name, statement, self._clock.monotonic())
        return reader

    async def _free(self, expect: Callable[[asyncio.Future[Reader]], Timer] | None) -> Reader:
        if self._idle:
            return self._idle.pop()
        if len(self.all) < self._most:
            name = f"{self._name}-{len(self.all) + 1}"
            reader = Reader(self._path, name, self._busy_timeout_s, self._border)
            self.all.append(reader)
            return reader
        waiter: asyncio.Future[Reader] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        timer = expect(waiter) if expect is not None else None
        try:
            return await waiter
        except BaseException:  # cancelled, or its coroutine thrown away
            if not waiter.cancel() and not waiter.cancelled() and waiter.exception() is None:
                self.give_back(waiter.result())
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def give_back(self, reader: Reader) -> None:
        """Lend it to who has waited longest."""
        self.lent.pop(reader, None)
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(reader)
                return
        self._idle.append(reader)

    def close(self) -> None:
        """Refuse who waits, and end what runs."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(stopped())
        for reader in self.all:
            if reader.job is not None:
                reader.job.insist(reader.interrupt)


class Readers:
    """The shared connection of the event loop, and those with threads."""

    def __init__(
        self,
        line: Line,
        path: Path,
        inline: Inline,
        most: int,
        busy_timeout_s: float,
        clock: Clock,
    ) -> None:
        self.line = line
        self.pool = Pool(path, most, busy_timeout_s, "read", line.guard.border, clock)
        self._inline = inline
        self._closed = False

    async def read(self, statement: Statement, params: Params) -> Answer:
        """Run a reading statement against the last commit."""
        if self._closed:
            raise stopped()
        values = native(params, statement.shown)
        if statement.pace is Pace.SHORT:
            try:
                answer = self._inline.run(self.line, statement, values)
            except Busy:  # another process recovers the file: to be waited for, on a thread
                return await self._read_on_thread(statement, values)
            if self._inline.due():
                await asyncio.sleep(0)
            return answer
        return await self._read_on_thread(statement, values)

    async def _read_on_thread(self, statement: Statement, values: Params) -> Answer:
        reader = await self.pool.borrow(statement)
        try:
            job = reader.job = reader.worker.submit(lambda: reader.read(statement, values))
            return await job.wait_or_stop(reader.interrupt)
        finally:
            self.pool.give_back(reader)

    def close(self) -> None:
        """Refuse who waits and who comes, and end what runs."""
        self._closed = True
        self.pool.close()
        self.line.close()

"""Streams: each borrows a connection and its thread, which steps the statement chunk by chunk.

A statement that is being stepped keeps its snapshot, so nothing else is needed for one. The
connections are none of those that slow reads have, and there are so many and no more. Called by
`sqlite.py`.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import perf_counter

from ringfence.kernel.ports import Clock, Timer
from ringfence.tools.db.contract import Busy, StorageFailure
from ringfence.tools.db.drivers._sqlite_border import Border
from ringfence.tools.db.drivers._sqlite_errors import FAILURES, explained, stopped
from ringfence.tools.db.drivers._sqlite_readers import Pool, Reader
from ringfence.tools.db.drivers._sqlite_values import native
from ringfence.tools.db.prepared import Params
from ringfence.tools.db.sql import Statement
from ringfence.tools.db.streams import Chunk

# One chunk: a hand-over between threads is worth some hundred rows, memory is bounded by bytes, and
# rows that are found slowly are not waited for.
MOST_ROWS = 500
MOST_BYTES = 256 * 1024
MOST_S = 0.05


class Streams:
    """The connections for streams, and who has one.

    Args:
        path: The file.
        most: How many may be open.
        wait_s: How long one that is too many waits.
        clock: By which it does.
        border: What all connections to the file share.
        alarm: Told of each failure of the storage.
    """

    def __init__(
        self,
        path: Path,
        most: int,
        wait_s: float,
        clock: Clock,
        border: Border,
        alarm: Callable[[StorageFailure], None],
    ) -> None:
        self.alarm = alarm
        self.pool = Pool(path, most, wait_s, "stream", border, clock)
        self.closed = False
        self._most = most
        self._wait_s = wait_s
        self._clock = clock

    def stream(self, statement: Statement, params: Params) -> "StreamCursor":
        """Make a stream ready; it borrows nothing yet."""
        return StreamCursor(self, statement, native(params, statement.shown))

    def close(self) -> None:
        """Refuse who waits and who comes, and end what runs."""
        self.closed = True
        self.pool.close()

    def expect(self, waiter: "asyncio.Future[Reader]") -> Timer:
        """Let nobody wait for ever: streams may be as slow as those who read them."""
        give_up = partial(self._give_up, waiter)
        return self._clock.call_at(self._clock.monotonic() + self._wait_s, give_up)

    def _give_up(self, waiter: "asyncio.Future[Reader]") -> None:
        if not waiter.done():
            waiter.set_exception(
                Busy(
                    f"{self._most} streams are open; expected one of them to end within "
                    f"{self._wait_s:g} s.",
                    subject="db.stream",
                    hint="Try again later, or raise `streams` in the database's configuration.",
                    retry_after_s=1.0,
                )
            )


class StreamCursor:
    """`streams.Cursor` for one statement."""

    def __init__(self, streams: Streams, statement: Statement, values: Params) -> None:
        self.names: tuple[str, ...] = ()
        self._streams = streams
        self._statement = statement
        self._values = values
        self._loop = asyncio.get_running_loop()
        self._reader: Reader | None = None
        self._cursor: sqlite3.Cursor | None = None
        self._closed = False

    async def next(self) -> Chunk:
        if self._streams.closed:
            raise stopped()
        if self._reader is None:
            reader = await self._streams.pool.borrow(self._statement, self._streams.expect)
            if self._closed or self._streams.closed:  # by its context, or by the stop, meanwhile
                self._streams.pool.give_back(reader)
                raise stopped()
            self._reader = reader
        reader = self._reader
        job = reader.worker.submit(lambda: self._fetch(reader))
        reader.job = job
        try:
            return await job.wait_or_stop(reader.interrupt)
        except StorageFailure as failure:
            self._streams.alarm(failure)
            raise

    def close(self) -> None:
        with suppress(RuntimeError):  # the loop is closed, and the connection with it
            self._loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        reader, self._reader = self._reader, None
        if reader is not None and not self._streams.closed:
            if reader.job is not None:
                reader.job.insist(reader.interrupt)  # if it still runs, for somebody who is stuck
            give_back = partial(self._streams.pool.give_back, reader)
            reader.worker.submit(self._let_go, then=give_back)

    def _let_go(self) -> None:
        """On the thread: end the snapshot."""
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None

    def _fetch(self, reader: Reader) -> Chunk:
        """On the thread: find the next rows."""
        line = reader.line(self._statement)
        try:
            if self._cursor is None:
                text, values = self._statement.text, self._statement.bound(self._values)
                self._cursor = line.execute(text, values)
                self.names = tuple(column[0] for column in self._cursor.description)
            return _chunk(self._cursor)
        except FAILURES as error:
            raise explained(error, self._statement, line) from None


def _chunk(cursor: sqlite3.Cursor) -> Chunk:
    rows: Chunk = []
    size = 0
    until = perf_counter() + MOST_S
    for row in cursor:
        rows.append(row)
        size += sum(len(value) for value in row if type(value) is str or type(value) is bytes)
        if len(rows) >= MOST_ROWS or size >= MOST_BYTES or perf_counter() > until:
            break
    return rows

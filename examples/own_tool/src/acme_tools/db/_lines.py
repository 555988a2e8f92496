"""Connections, each with the one thread that uses it, and pools of them.

Nothing ever runs on the event loop.
"""

import asyncio
import math
import sqlite3
from asyncio import CancelledError
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from acme_tools.db._errors import stopped, translated
from acme_tools.db._sqlite import Connection
from ringfence.kernel.ports import Clock
from ringfence.tools.db import Busy

T = TypeVar("T")
Job = Callable[[Connection], T]

# How long until a statement that was cancelled is told again to end.
_AGAIN_S = 0.05


class Line:
    """A connection and its thread; whoever runs something on it has it alone.

    Args:
        connect: Opens it; called on the thread, by the first job.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self.closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="acme-db")
        self._connect = connect
        self._open: Connection | None = None

    @property
    def in_transaction(self) -> bool:
        return self._open is not None and self._open.in_transaction

    async def run(self, job: Job[T], *, to_its_end: bool = False) -> T:
        """Run something on the thread, and come back when the thread has, also when cancelled.

        Args:
            job: What to run, with the connection.
            to_its_end: Whether a cancellation waits for it, instead of interrupting it.
        """
        if self.closed:
            raise stopped()
        running = asyncio.wrap_future(self.submit(job))
        return await finished(running, None if to_its_end else self.interrupt)

    def submit(self, job: Job[T]) -> Future[T]:
        """Have something run after all that was given to the thread before."""
        return self._thread.submit(self._run, job)

    def _run(self, job: Job[T]) -> T:
        try:
            if self._open is None:
                self._open = self._connect()
            return job(self._open)
        except sqlite3.Error as error:
            raise translated(error, "db") from None

    def interrupt(self) -> None:
        """End the statement that runs, if one does."""
        if self._open is not None:
            self._open.interrupt()

    async def close(self) -> None:
        """End what runs, and the thread."""
        self.closed = True
        closing = asyncio.wrap_future(self._thread.submit(self._close))
        while not closing.done():
            self.interrupt()
            await _waited(closing)
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        line, self._open = self._open, None
        if line is not None:
            line.close()


class Pool:
    """Connections for reading, one for each who has taken one.

    Args:
        lines: They.
        clock: By which somebody waits.
        wait_s: For how long; for ever, if infinite.
    """

    def __init__(self, lines: Sequence[Line], clock: Clock, wait_s: float = math.inf) -> None:
        self._lines = lines
        self._clock = clock
        self._wait_s = wait_s
        self._idle = list(lines)
        self._waiting: deque[asyncio.Future[Line]] = deque()

    async def take(self) -> Line:
        """Return a connection that nobody has; raises Busy where none comes free in time."""
        if self._idle:
            return self._idle.pop()
        waiter: asyncio.Future[Line] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        timer = None
        if not math.isinf(self._wait_s):
            until = self._clock.monotonic() + self._wait_s
            timer = self._clock.call_at(until, lambda: self._refuse(waiter))
        try:
            return await waiter
        except CancelledError:
            if not waiter.cancelled() and waiter.exception() is None:
                self.give(waiter.result())
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def give(self, line: Line) -> None:
        """Take one back."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(line)
                return
        self._idle.append(line)

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[Line]:
        """Have one inside the block."""
        line = await self.take()
        try:
            yield line
        finally:
            self.give(line)

    async def close(self) -> None:
        """End what runs; who waits is told."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(stopped())
        for line in self._lines:
            await line.close()

    def _refuse(self, waiter: "asyncio.Future[Line]") -> None:
        if not waiter.done():
            said = f"all {len(self._lines)} connections are in use; expected one to be free."
            waiter.set_exception(Busy(said, subject="db", retry_after_s=1.0))


async def finished(running: "asyncio.Future[T]", stop: Callable[[], None] | None) -> T:
    """Return what a thread's job returns; when cancelled, come back once the thread has.

    Args:
        running: The job.
        stop: Called when cancelled, until it has ended; None to let it come to its end.
    """
    try:
        await asyncio.wait([running])
    except CancelledError:
        while not running.done():
            if stop is not None:
                stop()
            await _waited(running)
        running.exception()  # nobody asks for it any more
        raise
    return running.result()


async def _waited(job: "asyncio.Future[T]") -> None:
    """Wait a while for a job; a cancellation has been noticed already."""
    try:
        await asyncio.wait([job], timeout=_AGAIN_S)
    except CancelledError:
        return

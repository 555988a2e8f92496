"""One daemon thread that does one thing after another for an event loop.

`Worker.submit` returns a `Job`; `Job.wait` may be cancelled, which leaves the job running, and
`Job.outcome` may not: it waits for the end, then passes the cancellation on. A worker is started
by its first job.

While a job does not get on and the event loop is busy, the loop gives up the interpreter's lock for
a moment in each millisecond: from a busy loop, a thread that wants it back after each step gets it
once in five otherwise. Called by the sqlite driver.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Generic, TypeVar, cast

R = TypeVar("R")

# How often a statement that does not stop is interrupted again: an interrupt that comes between
# two steps is lost, and nothing tells.
_AGAIN_S = 0.02
# Measured: beside a saturated loop 500 commits a second instead of 10 to 80, and a read of 1,000
# rows in 4 ms instead of seconds, for a twentieth of the loop's time while a thread starves.
_TICK_S = 0.001
_YIELD_S = 0.00005
_BUSY = 0.25  # of the time between two ticks: a loop that works less leaves the lock to others


class Job(Generic[R]):
    """One call on its way through a worker."""

    def __init__(
        self,
        call: Callable[[], R],
        loop: asyncio.AbstractEventLoop,
        then: Callable[[], None],
    ) -> None:
        self.done = False
        self.dropped = False  # nobody wants it any more: not to be started
        self.error: BaseException | None = None
        self._call = call
        self._loop = loop
        self._then = then
        self._result: R | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._running = threading.Lock()
        self._running.acquire()

    def run(self) -> None:
        """Do it; called on the worker's thread."""
        try:
            if not self.dropped:
                self._result = self._call()
        except BaseException as error:  # raised again on the loop, where it was asked for
            self.error = error
        self._running.release()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        self.done = True
        self._then()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> R:
        """Return its result or raise its error; when cancelled, the job goes on by itself."""
        if not self.done:
            self._waiter = self._loop.create_future()
            await self._waiter
        if self.error is not None:
            raise self.error
        return cast(R, self._result)

    async def outcome(self) -> asyncio.CancelledError | None:
        """Wait for the end, come what may; return the cancellation that came meanwhile."""
        cancelled: asyncio.CancelledError | None = None
        while not self.done:
            try:
                self._waiter = self._loop.create_future()
                await self._waiter
            except asyncio.CancelledError as error:
                cancelled = error
            except GeneratorExit:
                self._block(_nothing)
                raise
        return cancelled

    async def wait_or_stop(self, stop: Callable[[], None]) -> R:
        """Like `wait`; when cancelled, `stop` it and wait for its end before passing that on."""
        try:
            try:
                return await self.wait()
            except asyncio.CancelledError:
                if not self.done:
                    self.dropped = True
                    self.insist(stop)
                    await self.outcome()
                raise
        except GeneratorExit:
            self.dropped = True
            self._block(stop)
            raise

    def _block(self, stop: Callable[[], None]) -> None:
        """Wait without awaiting: the coroutine was thrown away, and what the thread is using
        must not be touched before it has done with it."""
        while not self._running.acquire(timeout=_AGAIN_S):
            stop()

    def insist(self, stop: Callable[[], None]) -> None:
        """Call `stop` again and again until the job is done."""
        if not self.done:
            stop()
            self._loop.call_later(_AGAIN_S, self.insist, stop)


def _nothing() -> None:
    """What cannot be stopped is waited for."""


class Worker:
    """A thread, started by its first job."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[Job[object] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._outstanding = 0
        self._progress = 0  # jobs that ended since the last tick
        self._ticking = False
        self._ticked_at = 0.0
        self._worked_s = 0.0

    def submit(self, call: Callable[[], R], then: Callable[[], None] | None = None) -> Job[R]:
        """Have the thread run `call` after what it has been given before.

        Args:
            call: What to run; its result or error is the job's.
            then: Called on the event loop at its end, whoever waits for it or does not.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        job = Job(call, self._loop, lambda: self._ended(then))
        self._outstanding += 1
        if not self._ticking:
            self._ticking = True
            self._ticked_at, self._worked_s = time.perf_counter(), time.thread_time()
            self._loop.call_later(_TICK_S, self._tick)
        self._jobs.put(cast(Job[object], job))
        return job

    def _ended(self, then: Callable[[], None] | None) -> None:
        self._outstanding -= 1
        self._progress += 1
        if then is not None:
            then()

    def _tick(self) -> None:
        if not self._outstanding:
            self._ticking = False
            return
        now, worked_s = time.perf_counter(), time.thread_time()
        busy = worked_s - self._worked_s > _BUSY * (now - self._ticked_at)
        self._ticked_at, self._worked_s = now, worked_s
        if busy and not self._progress:
            time.sleep(_YIELD_S)
        self._progress = 0
        self._loop.call_later(_TICK_S, self._tick)

    def end(self) -> None:
        """Let the thread end after its last job; it is a daemon, so it never holds an exit."""
        self._jobs.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end after `end`."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()

"""A few daemon threads that do an event loop's blocking work: the `Runner` of drivers that block.

Cancelled, whoever waits for a job goes on waiting until a thread has done with it, so that nothing
is let go of that a thread still uses; what no thread has begun is dropped. A coroutine that is
thrown away cannot wait: its job ends by itself. Threads are started when they are needed, and never
hold the end of the process.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Generic, TypeVar, cast

from ringfence.tools.files.contract import StorageFailure

R = TypeVar("R")


class _Job(Generic[R]):
    """One call on its way through a thread."""

    def __init__(self, threads: "Threads", call: Callable[[], R]) -> None:
        self.dropped = False  # nobody wants it any more: not to be begun
        self.done = False
        self.ran = False
        self.error: BaseException | None = None
        self.result: R | None = None
        self.orphaned: Callable[[R], None] | None = None  # takes what nobody waits for any more
        self._threads = threads
        self._call = call
        self._waiter: asyncio.Future[None] | None = None

    def run(self) -> None:
        """Do it; called on a thread."""
        if not self.dropped:
            try:
                self.result = self._call()
                self.ran = True
            except BaseException as error:  # raised again on the loop, where it was asked for
                self.error = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._threads.loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        self.done = True
        self._threads.ended()
        if self.orphaned is not None and self.ran:
            self.orphaned(cast(R, self.result))
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def outcome(self, *, droppable: bool) -> asyncio.CancelledError | None:
        """Wait for its end, come what may; return the cancellation that came meanwhile."""
        cancelled: asyncio.CancelledError | None = None
        while not self.done:
            try:
                self._waiter = self._threads.loop.create_future()
                await self._waiter
            except asyncio.CancelledError as error:
                cancelled = error
                self.dropped = droppable
            except GeneratorExit:
                self.dropped = droppable
                raise
        return cancelled


class Threads:
    """The threads of one driver.

    Args:
        name: Of the threads, for whoever looks at the process.
        size: How many there are at most.
    """

    def __init__(self, name: str, size: int) -> None:
        self.loop = asyncio.get_running_loop()
        self._name = name
        self._size = size
        self._jobs: SimpleQueue[_Job[object] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._outstanding = 0
        self._stopped = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def do(
        self,
        call: Callable[[], R],
        late: Callable[[R, asyncio.CancelledError], None] | None = None,
    ) -> R:
        """Serve `service.Runner`."""
        if self._stopped:
            raise StorageFailure("the tool has stopped.", subject="files")
        job = self._submit(call)
        try:
            cancelled = await job.outcome(droppable=True)
        except GeneratorExit:
            if late is not None:
                job.orphaned = lambda result: late(result, asyncio.CancelledError())
            raise
        if cancelled is not None:
            if job.ran and late is not None:
                late(cast(R, job.result), cancelled)
            raise cancelled
        if job.error is not None:
            raise job.error
        return cast(R, job.result)

    async def finish(self, call: Callable[[], None]) -> None:
        """Serve `service.Runner`."""
        if self._stopped:
            call()
            return
        job = self._submit(call)
        cancelled = await job.outcome(droppable=False)
        if cancelled is not None:
            raise cancelled
        if job.error is not None:
            raise job.error

    def leave(self, call: Callable[[], None]) -> None:
        """Serve `service.Runner`."""
        if not self._stopped:
            self._submit(call)

    async def stop(self) -> None:
        """Refuse new work and wait for what is in hand; then the threads end."""
        self._stopped = True
        await self._idle.wait()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()  # it has nothing left to do
        self._threads.clear()

    def ended(self) -> None:
        """A job has ended; called on the loop."""
        self._outstanding -= 1
        if not self._outstanding:
            self._idle.set()

    def _submit(self, call: Callable[[], R]) -> _Job[R]:
        job = _Job(self, call)
        self._outstanding += 1
        self._idle.clear()
        if self._outstanding > len(self._threads) < self._size:
            name = f"{self._name}-{len(self._threads) + 1}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put(cast(_Job[object], job))
        return job

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()
            del job  # and what it holds

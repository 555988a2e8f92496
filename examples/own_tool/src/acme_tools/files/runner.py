"""Where what blocks runs: threads, and an event loop that never leaves one of them behind."""

import asyncio
from asyncio import CancelledError
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from ringfence.tools.files import StorageFailure

R = TypeVar("R")
Late = Callable[[R, CancelledError], None]


class Threads:
    """Serves `service.Runner`.

    Args:
        size: How many there are at most.
    """

    def __init__(self, size: int) -> None:
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="acme-files")
        self._stopped = False

    async def do(self, call: Callable[[], R], late: Late[R] | None = None) -> R:
        if self._stopped:
            raise StorageFailure("the tool has stopped.", subject="files")
        job = self._threads.submit(call)
        try:
            cancelled = await _ended(job, droppable=True)
        except GeneratorExit:  # thrown away: nobody can wait any more
            if not job.cancel() and late is not None:
                job.add_done_callback(lambda ended: _tell(ended, late, CancelledError()))
            raise
        if cancelled is not None:
            if late is not None:
                _tell(job, late, cancelled)
            raise cancelled
        return job.result()

    async def finish(self, call: Callable[[], None]) -> None:
        if self._stopped:
            call()
            return
        job = self._threads.submit(call)
        cancelled = await _ended(job, droppable=False)
        if cancelled is not None:
            raise cancelled
        job.result()

    def leave(self, call: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # they have stopped
            self._threads.submit(call)

    async def stop(self) -> None:
        """Refuse new work, and wait for what is in hand."""
        self._stopped = True
        await asyncio.to_thread(self._threads.shutdown)


async def _ended(job: "Future[R]", *, droppable: bool) -> CancelledError | None:
    """Wait for a job, come what may; return the cancellation that came meanwhile."""
    waiting = asyncio.wrap_future(job)
    waiting.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    cancelled: CancelledError | None = None
    while not waiting.done():
        try:
            await asyncio.wait([waiting])
        except CancelledError as error:
            cancelled = error
            if droppable:
                job.cancel()  # if no thread has begun it
    return cancelled


def _tell(job: "Future[R]", late: Late[R], cancelled: CancelledError) -> None:
    """Give a result that nobody gets to who lets go of it."""
    if not job.cancelled() and job.exception() is None:
        late(job.result(), cancelled)

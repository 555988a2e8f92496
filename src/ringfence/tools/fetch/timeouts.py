"""A limit of time on a block, by the clock tool."""

import asyncio
from types import TracebackType

from ringfence.kernel.ports import Clock, Timer


class Late(Exception):
    """A block took longer than it may.

    Args:
        reason: What there was not within how long.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Within:
    """`with Within(clock, seconds, "an answer")`: cancel the block after that time, raise Late.

    Source: the cancel-and-uncancel protocol is that of `asyncio.timeout` (CPython 3.11).
    """

    def __init__(self, clock: Clock, seconds: float, wanted: str) -> None:
        self._clock = clock
        self._seconds = seconds
        self._wanted = wanted
        self._expired = False
        self._timer: Timer | None = None
        self._task: asyncio.Task[object] | None = None
        self._before = 0

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        assert self._task is not None, "what waits runs in a task"
        self._before = self._task.cancelling()
        self._timer = self._clock.call_at(self._clock.monotonic() + self._seconds, self._expire)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._timer is not None
        assert self._task is not None
        self._timer.cancel()
        task, self._task = self._task, None
        if self._expired and task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise Late(f"no {self._wanted} within {self._seconds:g} s") from error

    def _expire(self) -> None:
        if self._task is not None:
            self._expired = True
            self._task.cancel()

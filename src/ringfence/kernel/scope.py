"""How a context ends before its handler does: by its deadline, or by a budget that broke.

A deadline is armed only when the work suspends, so work that never waits pays nothing for it.
Whatever ends a context ends it even if its handler swallows the cancellation.
"""

import asyncio
import logging
from collections.abc import Coroutine, Generator, Sequence
from contextlib import suppress
from functools import partial
from types import coroutine
from typing import NoReturn, TypeVar

from ringfence.errors import DeadlineExceeded, RingfenceError
from ringfence.kernel.context import Context
from ringfence.kernel.ports import Clock

T = TypeVar("T")
_log = logging.getLogger("ringfence.kernel")
REAP_S = 1.0  # how long a cancelled task may take to end before it is left behind


def end(ctx: Context, error: RingfenceError) -> None:
    """End a context from outside its handler: the first reason counts."""
    if ctx.ending is None:
        ctx.ending = error
        if ctx.task is not None and ctx.task is not asyncio.current_task():
            ctx.task.cancel()


def deadline_error(ctx: Context, allowed_s: float) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"its time is up; expected an answer within {allowed_s:g} s.",
        subject=ctx.operation,
        hint="What it had begun was cancelled.",
    )


@coroutine
def bounded(
    ctx: Context, work: Coroutine[object, None, T], clock: Clock
) -> Generator[object, None, T]:
    """Run `work` until it is done or `ctx` is ended by its deadline or its budget.

    The first step runs inline; the timer is armed only if it suspends. An ended context's work is
    cancelled, and stays ended if it swallows that: it has `REAP_S` for what it still awaits, then
    it is closed. What would steer the loop instead of being an error to it becomes one.
    Source: the cancel-and-uncancel protocol is that of `asyncio.timeout` (CPython 3.11).
    """
    try:
        waiting = _step(work)
    except StopIteration as done:
        if ctx.ending is not None:
            raise ctx.ending from None
        answer: T = done.value
        return answer
    except Exception as error:  # of an ended context, whatever it raises instead
        if ctx.ending is None or error is ctx.ending:
            raise
        raise ctx.ending from error
    task = asyncio.current_task()
    assert task is not None, "a coroutine that suspends runs in a task"
    watch = _Watch(ctx, task, clock)
    try:
        while True:
            running = ctx.ending is None
            try:
                if not running and not watch.told:
                    watch.tell(cancelled=False)
                    raise asyncio.CancelledError
                yield waiting
            except BaseException as error:  # whatever arrives belongs to the work
                if watch.given_up:
                    watch.close(work)
                if running and ctx.ending is not None:
                    watch.tell(cancelled=True)
                waiting = work.throw(error)
            else:
                waiting = _step(work)
    except StopIteration as done:
        if ctx.ending is not None:
            raise _told(ctx, ()) from None
        answer = done.value
        return answer
    except (Exception, asyncio.CancelledError) as error:
        if ctx.ending is None or error is ctx.ending:
            raise
        if isinstance(error, asyncio.CancelledError) and watch.cancelled_by_others():
            raise
        raise _told(ctx, getattr(error, "__notes__", ())) from error
    finally:
        watch.end()


def _told(ctx: Context, notes: Sequence[str]) -> BaseException:
    """Return why `ctx` has ended, and whether something was committed all the same."""
    assert ctx.ending is not None
    if ctx.committed and not notes:
        notes = ("committed: a transaction had ended before; what came after it was cancelled",)
    if notes and isinstance(ctx.ending, RingfenceError):
        ctx.ending.hint = " ".join(notes)
    return ctx.ending


def _step(work: Coroutine[object, None, T]) -> object:
    """Let the work go on; what it raises is an error, whatever its class means to the loop."""
    try:
        return work.send(None)
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        raise RuntimeError(f"the handler raised {type(error).__name__}") from error


class _Watch:
    """The timers and the cancellations of one bounded piece of work that has suspended."""

    def __init__(self, ctx: Context, task: "asyncio.Task[object]", clock: Clock) -> None:
        self.told = False  # the work knows that it has ended
        self.given_up = False
        self._ctx = ctx
        self._task = task
        self._clock = clock
        self._ours = 0  # how often the task was cancelled here
        self._before = task.cancelling()
        ctx.task = task
        allowed_s = ctx.deadline_at - ctx.started_at
        late = partial(_expire, ctx, allowed_s)
        self._timer = clock.call_at(ctx.deadline_at, late)

    def tell(self, *, cancelled: bool) -> None:
        """The work is being told; from now on it has a moment to end."""
        self.told = True
        self._ours += cancelled
        self._timer.cancel()
        self._timer = self._clock.call_at(self._clock.monotonic() + REAP_S, self._give_up)

    def _give_up(self) -> None:
        self.given_up = True
        self._ours += 1
        self._task.cancel()

    def close(self, work: Coroutine[object, None, T]) -> NoReturn:
        """End work that swallows its cancellation and waits on."""
        _log.error("%s swallowed its cancellation and was closed", self._ctx.operation)
        with suppress(RuntimeError):  # it awaits even then: it is left where it is
            work.close()
        assert self._ctx.ending is not None
        raise self._ctx.ending

    def cancelled_by_others(self) -> bool:
        return self._task.cancelling() - self._ours > self._before

    def end(self) -> None:
        for _ in range(self._ours):
            self._task.uncancel()
        self._timer.cancel()
        self._ctx.task = None


def _expire(ctx: Context, allowed_s: float) -> None:
    end(ctx, deadline_error(ctx, allowed_s))

"""How a context ends: its deadline, its cancellation, and the tasks that it started.

A deadline is armed only when the work suspends, so work that never waits pays nothing for it.
Whatever ends a context ends it even if its handler swallows the cancellation, and no task outlives
the context that started it unseen.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context as Variables
from types import coroutine
from typing import TypeVar

from ringfence.errors import DeadlineExceeded, RingfenceError
from ringfence.kernel.context import Context, current
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
        hint="What it had begun was cancelled and rolled back.",
    )


@coroutine
def bounded(
    ctx: Context, work: Coroutine[object, None, T], clock: Clock
) -> Generator[object, None, T]:
    """Run `work` until it is done or `ctx` is ended by its deadline or its budget.

    The first step runs inline; the timer is armed only if it suspends. An ended context's work is
    cancelled, not abandoned, and stays ended if it swallows that: it waits for nothing more.
    Source: the cancel-and-uncancel protocol is that of `asyncio.timeout` (CPython 3.11).
    """
    try:
        waiting = work.send(None)
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
    cancelled_before = task.cancelling()
    ctx.task = task
    allowed_s = ctx.deadline_at - ctx.started_at
    timer = clock.call_at(ctx.deadline_at, lambda: end(ctx, deadline_error(ctx, allowed_s)))
    told = False  # the work knows that it has ended
    ours = 0  # how often `end` has cancelled this task
    try:
        while True:
            running = ctx.ending is None
            try:
                if not running and not told:
                    told = True
                    raise asyncio.CancelledError
                yield waiting
            except BaseException as error:  # whatever arrives belongs to the work
                if running and ctx.ending is not None:
                    told, ours = True, 1
                waiting = work.throw(error)
            else:
                waiting = work.send(None)
    except StopIteration as done:
        if ctx.ending is not None:
            raise ctx.ending from None
        answer = done.value
        return answer
    except (Exception, asyncio.CancelledError) as error:
        others = task.cancelling() - ours > cancelled_before
        if ctx.ending is None or error is ctx.ending:
            raise
        if others and isinstance(error, asyncio.CancelledError):
            raise
        raise ctx.ending from error
    finally:
        if ours:
            task.uncancel()
        timer.cancel()
        ctx.task = None


class ScopedTasks:
    """The event loop's task factory: every task belongs to the context that started it."""

    def __init__(self, inner: "Callable[..., asyncio.Future[object]] | None") -> None:
        self.inner = inner

    def __call__(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[object, None, object],
        **options: object,
    ) -> "asyncio.Future[object]":
        task: asyncio.Future[object]
        if self.inner is not None:
            task = self.inner(loop, work, **options)
        else:
            task = asyncio.Task(work, loop=loop, **options)  # type: ignore[arg-type]
        variables = options.get("context") if options else None
        ctx = variables.get(current) if isinstance(variables, Variables) else current.get()
        if ctx is not None and isinstance(task, asyncio.Task):
            adopt(ctx, task)
        return task


def adopt(ctx: Context, task: "asyncio.Task[T]") -> None:
    """Make `task` end with `ctx`; inside a transaction, with the context around it."""
    while ctx.held is not None and ctx.parent is not None:
        ctx = ctx.parent
    if ctx.tasks is None:
        ctx.tasks = set()
    ctx.tasks.add(task)
    task.add_done_callback(ctx.tasks.discard)


async def end_tasks(ctx: Context) -> None:
    """Cancel what `ctx` started and did not await, and wait until it has ended."""
    left = [task for task in ctx.tasks or () if not task.done()]
    if not left:
        return
    for task in left:
        task.cancel()
    _, stuck = await asyncio.wait(left, timeout=REAP_S)
    names = ", ".join(sorted(task.get_name() for task in left))
    _log.warning(
        "%s: %d task(s) were not awaited and have been cancelled: %s%s",
        ctx.operation,
        len(left),
        names,
        f"; {len(stuck)} did not end" if stuck else "",
    )


def scope_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Give the loop the factory that hands tasks to their contexts; once is enough."""
    factory = loop.get_task_factory()
    if not isinstance(factory, ScopedTasks):
        loop.set_task_factory(ScopedTasks(factory))  # type: ignore[arg-type]

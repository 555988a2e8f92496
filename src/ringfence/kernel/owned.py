"""What a context owns and must not outlive it: the tasks it started, the blocks it entered.

The event loop's task factory gives every task to the context that started it; a tool's block is
given to it when it is entered. Both end with the context, and what was left is named in the log.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import Context as Variables
from functools import partial

from ringfence.kernel.context import Context, Owned, current
from ringfence.kernel.scope import REAP_S

_log = logging.getLogger("ringfence.kernel")


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


def adopt(ctx: Context, owned: Owned) -> Context:
    """Make a task, or an open block, end with `ctx`; inside a transaction, with the context around
    it, which is returned."""
    while ctx.held is not None and ctx.parent is not None:
        ctx = ctx.parent
    if ctx.owned is None:
        ctx.owned = {}
    ctx.owned[owned] = None
    if isinstance(owned, asyncio.Task):
        owned.add_done_callback(partial(_forget, ctx.owned))
    return ctx


def _forget(owned: dict[Owned, None], task: "asyncio.Task[object]") -> None:
    owned.pop(task, None)


async def end_owned(ctx: Context) -> None:
    """End what `ctx` started and left: cancel its tasks and wait for them, close its blocks."""
    left = list(ctx.owned or ())
    tasks = [one for one in left if isinstance(one, asyncio.Task) and not one.done()]
    for task in tasks:
        task.cancel()
    if tasks:
        _, stuck = await asyncio.wait(tasks, timeout=REAP_S)
        names = ", ".join(sorted(task.get_name() for task in tasks))
        tail = f"; {len(stuck)} did not end" if stuck else ""
        what = "%s: %d task(s) were not awaited and have been cancelled: %s%s"
        _log.warning(what, ctx.operation, len(tasks), names, tail)
    before = current.get()
    for block in reversed(left):
        if not isinstance(block, asyncio.Task):
            if str(block):  # what was iterated, and not to its end, has no name: nothing is lost
                _log.error("%s has left %s open; it is rolled back", ctx.operation, block)
            try:
                await block.__aexit__(asyncio.CancelledError, asyncio.CancelledError(), None)
            except asyncio.CancelledError:
                pass  # the block passes on the cancellation that it was given
            except Exception:  # the next one must be closed as well
                _log.exception("closing %s has failed", block)
    current.set(before)


def scope_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Give the loop the factory that hands tasks to their contexts; once is enough."""
    factory = loop.get_task_factory()
    if not isinstance(factory, ScopedTasks):
        loop.set_task_factory(ScopedTasks(factory))  # type: ignore[arg-type]

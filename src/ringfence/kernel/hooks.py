"""Run what the kernel asks of plugins and tools outside any call, each within a deadline.

A hook that does not end is cancelled; one that swallows the cancellation, or blocks a thread, is
left behind. Whatever it raises comes back as a value, so that one hook never stops the others.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from ringfence.errors import DeadlineExceeded
from ringfence.kernel.bind import Seat
from ringfence.kernel.call import Gate, close, failure_of, roots
from ringfence.kernel.context import Budget, Origin, current, next_trace
from ringfence.kernel.owned import end_owned

LEFT_BEHIND_S = 0.5  # what a cancelled hook gets to end


async def run_hook(gate: Gate, place: Seat, name: str, timeout_s: float) -> BaseException | None:
    """Run a plugin's lifecycle method, if it has that one, in a root context of its own.

    Returns:
        What it raised; None where it ended well, or there is none.
    """
    # The class is asked: a field of that name is no hook.
    if not callable(inspect.getattr_static(type(place.instance), name, None)):
        return None
    hook = getattr(place.instance, name)
    operation = f"{place.facts.id}.{name}"
    origin = Origin(gate, next_trace(), None, None)
    ctx = roots(gate, operation, place.facts.id, Budget(wall_s=timeout_s))(origin)

    async def run() -> None:
        current.set(ctx)
        if inspect.iscoroutinefunction(hook):
            await hook()
        else:
            await place.run(hook, ())

    error = await within(run, operation, timeout_s)
    ctx.failure = None if error is None else failure_of(error)
    close(gate, ctx)
    await end_owned(ctx)
    return error


async def within(
    work: Callable[[], Awaitable[object]], subject: str, timeout_s: float
) -> BaseException | None:
    """Await `work()` for at most `timeout_s`; return what it raised, or that it did not end."""

    async def contain() -> BaseException | None:
        try:
            await work()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # SystemExit too: one hook must not end the process
            return error
        return None

    task = asyncio.create_task(contain(), name=subject)
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
        if not done:
            task.cancel()
            await asyncio.wait({task}, timeout=LEFT_BEHIND_S)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done or task.cancelled():
        return DeadlineExceeded(f"it has not ended within {timeout_s:g} s.", subject=subject)
    return task.result()

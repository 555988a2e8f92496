"""Letting requests in progress end, up to a deadline. Used by drivers as they close."""

import asyncio
from asyncio import Future, Task
from collections.abc import Iterator, Set
from contextlib import contextmanager

from ringfence.kernel.ports import Clock

# A cancelled request rolls back and is answered; one that takes longer is left behind.
CANCEL_S = 1.0


async def drain(tasks: Set["Task[None]"], clock: Clock, grace_s: float) -> None:
    """Wait until `tasks` are done.

    Args:
        tasks: Of the requests in progress; those that finish may leave the set.
        clock: By which the deadline is kept.
        grace_s: Seconds until those that are left are cancelled.
    """
    if await _settled(tasks, clock, grace_s):
        return
    for task in tuple(tasks):
        task.cancel()
    await _settled(tasks, clock, CANCEL_S)


async def _settled(tasks: Set["Task[None]"], clock: Clock, seconds: float) -> bool:
    """Wait for `tasks`, at most `seconds`; return whether none is left."""
    with alarm(clock, seconds) as late:
        while running := {task for task in tasks if not task.done()}:
            if late.done():
                return False
            await asyncio.wait({*running, late}, return_when=asyncio.FIRST_COMPLETED)
    return True


@contextmanager
def alarm(clock: Clock, seconds: float) -> Iterator["Future[None]"]:
    """Give the block a future that is done once `seconds` have passed."""
    late: Future[None] = asyncio.get_running_loop().create_future()

    def end() -> None:
        if not late.done():
            late.set_result(None)

    timer = clock.call_at(clock.monotonic() + seconds, end)
    try:
        yield late
    finally:
        timer.cancel()
        late.cancel()

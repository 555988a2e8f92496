"""A connection that stays: one context for as long as it lives, and a fork of it for each message.

The connection's own context has no wall budget and no purse; every message has both. What breaks
a message's budget or outlasts its deadline ends the connection. Made by `bind.py` for an ingress.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from ringfence.errors import RingfenceError
from ringfence.kernel.call import NEVER, Gate, close, fork, narrow
from ringfence.kernel.context import Budget, Context, current
from ringfence.kernel.limits import Bulkhead
from ringfence.kernel.ports import Live, Timer, Work
from ringfence.kernel.scope import deadline_error, end
from ringfence.kernel.threads import Run

T = TypeVar("T")
Lived = Callable[[Live, Work], Work]


class Connection:
    """`ports.Live` for one connection.

    Args:
        ctx: The connection's context.
        budget: What one message may spend.
        bulkhead: Where a message takes a place while it is worked on.
        run: How `thread` runs what it is given.
    """

    def __init__(
        self,
        gate: Gate,
        ctx: Context,
        budget: Budget,
        bulkhead: Bulkhead,
        run: Run,
    ) -> None:
        self._gate = gate
        self._ctx = ctx
        self._budget = budget
        self._bulkhead = bulkhead
        self._run = run
        self._fork: Context | None = None
        self._timer: Timer | None = None

    async def run(self, around: Lived, work: Work) -> object:
        """Run `around`, and leave no fork and no coroutine behind."""
        try:
            return await around(self, work)
        finally:
            work.close()  # if it was never started
            self._close()

    def turn(self, deadline: bool = True) -> None:
        if self._open_block():
            return
        self.rest()
        ctx = self._fork = self._forked()
        if not deadline:
            ctx.deadline_at = NEVER
            return
        self._timer = self._gate.clock.call_at(ctx.deadline_at, partial(self._expire, ctx))
        self._bulkhead.free -= 1
        if self._bulkhead.free < 0:
            raise self._bulkhead.refuse()

    def aside(self) -> None:
        if not self._open_block():
            before, ctx = current.get(), self._forked()
            ctx.deadline_at = NEVER
            if before is not None and before is not self._fork and not before.ended_at:
                self._record(before)

    def rest(self) -> None:
        if not self._open_block():
            self._close()

    def end(self, error: RingfenceError) -> None:
        end(self._ctx, error)

    def thread(self, function: Callable[..., T], *args: object) -> Awaitable[T]:
        return self._run(function, args)  # type: ignore[return-value]

    def _expire(self, ctx: Context) -> None:
        end(self._ctx, deadline_error(ctx, ctx.deadline_at - ctx.started_at))

    def _open_block(self) -> bool:
        """Whether a block of a tool is open, such as a transaction, and the message goes on. What
        another task has made current, or left behind, is no block."""
        inside = current.get()
        while inside is not None and inside.parent is not self._ctx:
            inside = inside.parent
        return inside is not None and current.get() is not inside

    def _forked(self) -> Context:
        ctx = fork(self._gate, self._ctx, self._ctx.operation, self._ctx.plugin)
        ctx.depth_left = self._ctx.depth_left
        if self._ctx.owned is None:
            self._ctx.owned = {}
        ctx.owned = self._ctx.owned  # a task that a message has started may outlast it
        narrow(ctx, self._budget)
        ctx.purse.owner = self._ctx
        current.set(ctx)
        return ctx

    def _record(self, ctx: Context) -> None:
        if ctx.queries or ctx.children:  # else it is one of many, and nothing to look at
            close(self._gate, ctx)

    def _close(self) -> None:
        if self._fork is None:
            return
        ctx, self._fork = self._fork, None
        ctx.purse.owner = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._bulkhead.free += 1
            close(self._gate, ctx)
        else:
            self._record(ctx)
        current.set(self._ctx)

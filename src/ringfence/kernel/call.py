"""The gate: every request, tick, hook and service call passes here, and nothing goes around it.

`Gate` holds what all calls of one application share. `opener` makes the way in from outside: a new
root context. `plain_call` is the way from one plugin to another, written out: refuse, spend, open
a context, run the handler, record. `fused.py` generates the same sequence inline, for speed; the
tests run both.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import copy_context
from traceback import walk_tb
from typing import TypeVar

from msgspec import Struct, field

from ringfence.errors import Invalid, NotGranted, PluginFailed, RingfenceError, TransactionHeld
from ringfence.kernel.context import (
    Budget,
    Context,
    Failure,
    Origin,
    Principal,
    Purse,
    current,
    next_root,
    next_span,
    next_trace,
    text_of,
)
from ringfence.kernel.limits import UNLIMITED, check_call, purse_for
from ringfence.kernel.payload import read
from ringfence.kernel.ports import Clock
from ringfence.kernel.registry import Entry, Registry
from ringfence.kernel.scope import REAP_S, bounded, end_tasks

T = TypeVar("T")
_log = logging.getLogger("ringfence.kernel")
NEVER = float("inf")
# A service as a context calls it: by a mapping of its parameters, answered in plain data.
NamedCall = Callable[[Context, Mapping[str, object]], Awaitable[object]]
Opener = Callable[..., Coroutine[object, None, object]]


class Gate(Struct, eq=False):
    """What every call of one application passes through."""

    clock: Clock
    registry: Registry
    budget: Budget  # a root's, where its ingress has none of its own
    spans: deque[Context]
    make_call: "Callable[[Gate, Entry], NamedCall]"  # plain, or fused
    # Both by plugin: the services that it may call, and how it calls those that it has called.
    grants: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    calls: dict[str, dict[str, NamedCall]] = field(default_factory=dict[str, dict[str, NamedCall]])
    background: set["asyncio.Task[None]"] = field(default_factory=set["asyncio.Task[None]"])

    def call(self, ctx: Context, name: str, payload: Mapping[str, object]) -> Awaitable[object]:
        """Serve `ctx.call`: check the grant, read the payload, answer in plain data."""
        inside = current.get()  # below `ctx` in its transaction, and in its background work
        if inside is not None and inside is not ctx and inside.plugin == ctx.plugin:
            ctx = inside
        try:
            return self.calls[ctx.plugin][name](ctx, payload)
        except KeyError:
            return self._first_call(ctx.plugin, name)(ctx, payload)

    def _first_call(self, plugin: str, name: str) -> NamedCall:
        if name not in self.grants.get(plugin, ()):
            raise NotGranted(
                "this service is not declared; expected it under @requires or in calls=.",
                subject=f"{plugin} → {name}",
                hint=f'Add calls=("{name}",) to the decorator of the method that calls it.',
            )
        entry = self.registry.get(name)
        if entry.declared is None and entry.refusal is not None:
            raise entry.refusal()
        made = self.calls.setdefault(plugin, {})[name] = self.make_call(self, entry)
        return made

    async def call_into(
        self, ctx: Context, name: str, payload: Mapping[str, object], into: type[T]
    ) -> T:
        """Serve `ctx.call(..., into=T)`."""
        answer = await self.call(ctx, name, payload)
        try:
            return read(answer, into, f"answer of {name}")
        except Invalid as error:  # no fault of whoever sent the payload
            raise PluginFailed(
                f"it wants what is not answered: {error}", subject=ctx.operation
            ) from None

    def spawn(
        self, ctx: Context, work: Coroutine[object, None, None], wall_s: float | None
    ) -> None:
        """Serve `ctx.spawn`: a task with a context, a deadline and a purse of its own."""
        name = f"{ctx.operation}.background"
        child = open_root(self, name, ctx.plugin, self.budget)
        if wall_s is not None:
            child.deadline_at = child.started_at + wall_s
        ctx.children += 1
        child.parent, child.origin, child.ordinal = ctx, ctx.origin, ctx.children
        variables = copy_context()
        variables.run(current.set, child)
        task = asyncio.Task(
            self._background(child, work),
            loop=asyncio.get_running_loop(),
            name=name,
            context=variables,
        )
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    async def end_background(self) -> None:
        """Cancel what `spawn` has started and still runs, and wait for it to end."""
        for task in self.background:
            task.cancel()
        if self.background:
            await asyncio.wait(self.background, timeout=REAP_S)

    async def _background(self, ctx: Context, work: Coroutine[object, None, None]) -> None:
        try:
            await bounded(ctx, work, self.clock)
        except BaseException as error:  # nobody awaits it: recorded here, or it would vanish
            ctx.failure = failure_of(error)
            if isinstance(error, asyncio.CancelledError):
                raise
            _log.error("%s failed in trace %s", name_of(ctx), ctx.trace_id, exc_info=error)
        finally:
            close(self, ctx)
            if ctx.tasks:
                await end_tasks(ctx)


def name_of(ctx: Context) -> str:
    label = "" if ctx.parent else ctx.origin.label
    return f"{label} ({ctx.operation})" if label else ctx.operation


def failure_of(error: BaseException) -> Failure:
    """Keep of an exception what explains it: its kind, its text, and the innermost line, of the
    application's own modules (whose names have an `@`) if it passed through any."""
    where = own = ""
    for frame, line in walk_tb(error.__traceback__):
        where = f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}"
        if "@" in str(frame.f_globals.get("__name__")):
            own = where
    where = own or where
    return Failure(type(error).__name__, text_of(error), where)


def held_refusal(parent: Context, operation: str) -> TransactionHeld:
    """Say why nothing but the database is used inside a transaction."""
    holder = parent.held.holder if parent.held is not None else ""
    return TransactionHeld(
        f"called inside the transaction of {holder}; expected nothing but the database there.",
        subject=operation,
        hint="Call it before the transaction begins, or after it has ended.",
    )


# ---- from outside: a new root


def open_root(
    gate: Gate,
    operation: str,
    plugin: str,
    budget: Budget,
    principal: Principal | None = None,
    tenant: str | None = None,
    label: str = "",
) -> Context:
    """Open a root context; the caller closes it."""
    started = gate.clock.monotonic()
    purse = purse_for(budget)
    deadline = NEVER if budget.wall_s is None else started + budget.wall_s
    ctx = Context(
        None,
        Origin(gate, next_trace(), principal, tenant, label),
        next_span(),
        operation,
        plugin,
        deadline,
        purse,
        UNLIMITED if budget.depth is None else budget.depth,
        next_root(),
        started,
    )
    purse.owner = ctx
    return ctx


def close(gate: Gate, ctx: Context) -> None:
    """End a context and record it as a span."""
    ctx.ended_at = gate.clock.monotonic()
    ctx.ending = None  # an exception holds frames, and frames hold plugins
    if ctx.purse.owner is ctx:
        ctx.purse.owner = None
    gate.spans.append(ctx)


def opener(gate: Gate, entry: Entry, budget: Budget, label: str) -> Opener:
    """Return the way into `entry` from outside.

    What it raises is a RingfenceError that carries the trace id, or a cancellation.
    """
    bulkhead, clock, now, record = (
        entry.bulkhead,
        gate.clock,
        gate.clock.monotonic,
        gate.spans.append,
    )
    full = purse_for(budget)
    wall_s = NEVER if budget.wall_s is None else budget.wall_s
    depth = UNLIMITED if budget.depth is None else budget.depth
    set_current = current.set

    async def open_(
        args: tuple[object, ...],
        principal: Principal | None = None,
        tenant: str | None = None,
    ) -> object:
        # As `open_root`, with all that is the same for each request worked out beforehand.
        purse = Purse(full.calls, full.queries, full.events, budget)
        started = now()
        ctx = Context(
            None,
            Origin(gate, next_trace(), principal, tenant, label),
            next_span(),
            entry.operation,
            entry.plugin,
            started + wall_s,
            purse,
            depth,
            next_root(),
            started,
        )
        purse.owner = ctx
        bulkhead.free -= 1
        set_current(ctx)
        try:
            if entry.refusal is not None:
                raise entry.refusal()
            if bulkhead.free < 0:
                raise bulkhead.refuse()
            return await bounded(ctx, entry.handler(*args), clock)
        except BaseException as error:
            ctx.failure = failure_of(error)
            if isinstance(error, asyncio.CancelledError | GeneratorExit | KeyboardInterrupt):
                raise
            raise escaped(ctx, error) from error
        finally:
            set_current(None)
            bulkhead.free += 1
            ctx.ending = None  # as in `close`
            purse.owner = None
            ctx.ended_at = now()
            record(ctx)
            if ctx.tasks:
                await end_tasks(ctx)

    return open_


def escaped(ctx: Context, error: BaseException) -> RingfenceError:
    """Translate what leaves a root: an expected error as it is, a bug as `internal`."""
    told = error if isinstance(error, RingfenceError) else None
    if told is None or told.status == 500:  # a bug, whoever found it: the caller is told no more
        _log.error("%s failed in trace %s", name_of(ctx), ctx.trace_id, exc_info=error)
    if told is not None:
        told.trace_id = ctx.trace_id
        return told
    failed = PluginFailed(
        "it failed unexpectedly; the cause is recorded under its trace.",
        subject=ctx.operation,
        hint=f"See `ringfence trace {ctx.trace_id}`.",
    )
    failed.trace_id = ctx.trace_id
    return failed


# ---- from plugin to plugin: a fork


def narrow(ctx: Context, budget: Budget) -> None:
    """Give a context a budget of its own, inside its caller's."""
    ctx.purse = purse_for(budget, ctx.purse)
    ctx.purse.owner = ctx
    if budget.depth is not None:
        ctx.depth_left = min(ctx.depth_left, budget.depth)
    if budget.wall_s is not None:
        ctx.deadline_at = min(ctx.deadline_at, ctx.started_at + budget.wall_s)


def fork(gate: Gate, parent: Context, operation: str, plugin: str) -> Context:
    """Open a context below `parent`; the caller closes it."""
    parent.children += 1
    return Context(
        parent,
        parent.origin,
        next_span(),
        operation,
        plugin,
        parent.deadline_at,
        parent.purse,
        parent.depth_left - 1,
        parent.children,
        gate.clock.monotonic(),
    )


def plain_call(
    gate: Gate, entry: Entry
) -> Callable[[Context, Callable[[], tuple[object, ...]]], Awaitable[object]]:
    """Return the way into `entry` from another plugin; `read` gives its arguments, once the call
    is allowed."""

    async def call(parent: Context, read: Callable[[], tuple[object, ...]]) -> object:
        if entry.refusal is not None:
            raise entry.refusal()
        if parent.held is not None:
            raise held_refusal(parent, entry.operation)
        args = read()
        purse = parent.purse
        purse.calls -= 1
        if purse.calls < 0 or parent.depth_left <= 0 or purse.outer is not None:
            check_call(parent, entry.operation, gate.spans)
        bulkhead = entry.bulkhead
        if bulkhead.free <= 0:
            raise bulkhead.refuse()
        bulkhead.free -= 1
        ctx = fork(gate, parent, entry.operation, entry.plugin)
        current.set(ctx)
        try:
            if entry.budget is None:
                return await entry.handler(*args)
            narrow(ctx, entry.budget)
            return await bounded(ctx, entry.handler(*args), gate.clock)
        except BaseException as error:
            ctx.failure = failure_of(error)
            raise
        finally:
            current.set(parent)
            bulkhead.free += 1
            close(gate, ctx)
            if ctx.tasks:
                await end_tasks(ctx)

    return call

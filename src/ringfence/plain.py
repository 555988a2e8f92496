"""The call path written out: what `kernel/fused.py` generates, composed of functions instead.

For reading, and for finding a fault in the generated path: `[kernel] call_path = "plain"` runs an
application on it. The tests of calls run on both.
"""

import inspect
from collections.abc import Awaitable, Callable
from functools import partial

from msgspec import ValidationError

from ringfence.contracts.compatibility import payload_keys
from ringfence.errors import Fault, Invalid, did_you_mean
from ringfence.kernel.call import (
    Gate,
    NamedCall,
    close,
    failure_of,
    fork,
    held_refusal,
    narrow,
    placed,
)
from ringfence.kernel.context import Context, current
from ringfence.kernel.limits import check_call
from ringfence.kernel.owned import end_owned
from ringfence.kernel.ports import REQUIRED
from ringfence.kernel.registry import Entry
from ringfence.kernel.scope import bounded
from ringfence.kernel.views import Payload, Values, View, outside


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
        before = current.get()
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
            current.set(before)
            bulkhead.free += 1
            close(gate, ctx)
            if ctx.owned:
                await end_owned(ctx)

    return call


def plain_view(gate: Gate, entry: Entry, view: View, name: str) -> Callable[..., Awaitable[object]]:
    """Return the callable that a consumer's field called `name` is given."""
    call = plain_call(gate, entry)
    signature = inspect.Signature(
        [
            inspect.Parameter(
                p,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=inspect.Parameter.empty if default is REQUIRED else default,
            )
            for p, default in zip(view.names, view.defaults, strict=True)
        ]
    )

    async def use(*given: object, **named: object) -> object:
        parent = current.get()
        if parent is None:
            raise outside(entry.operation)
        bound = signature.bind(*given, **named)
        bound.apply_defaults()
        result = await call(parent, partial(arguments, view, bound.arguments))
        return _read_answer(view, result)

    use.__name__ = name
    return use


def plain_named(gate: Gate, entry: Entry) -> NamedCall:
    """Return `entry` as a context calls it by name."""
    call = plain_call(gate, entry)
    view = gate.contracts.bind_named(entry)

    async def use(ctx: Context, payload: Payload) -> object:
        parent = placed(ctx, current.get())
        result = await call(parent, partial(arguments, view, payload))
        return _read_answer(view, result)

    return use


def _read_answer(view: View, result: object) -> object:
    if view.answer == "nothing":
        return None
    if view.answer == "class" and type(result) is view.answer_class:
        return result
    try:
        return view.read(result)
    except ValidationError:
        return view.misread(result)


def arguments(view: View, payload: Payload) -> Values:
    """Read a mapping into a handler's arguments; raises Invalid with every fault."""
    try:
        if view.build is not None:
            return (view.build(payload),)
        values = {
            f"a{i}": _checked(view, i, payload.get(name, view.defaults[i]))
            for i, name in enumerate(view.names)
        }
    except ValidationError:
        raise view.unfit(payload) from None
    values |= {f"fixed[{i}]": value for i, value in enumerate(view.fixed)}
    return tuple(values[expression] for expression in view.passed)


def refuse_unknown(view: View, entry: Entry, payload: Payload) -> None:
    """Raise Invalid for names that the service does not take, typed by hand as they are."""
    known = payload_keys(entry.signature)
    if known is None:
        return
    found = [
        Fault(f"$.{name}", f"unknown parameter{did_you_mean(name, known)}")
        for name in payload
        if name not in known
    ]
    if found:
        rest = view.unfit(payload).faults
        raise Invalid("the payload does not fit", subject=entry.operation, faults=[*found, *rest])


def _checked(view: View, i: int, value: object) -> object:
    if value is REQUIRED:
        raise ValidationError("is missing")
    if view.checks[i] == "class" and type(value) is view.classes[i]:
        return value
    return view.converts[i](value)

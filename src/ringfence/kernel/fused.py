"""The call path generated inline: one coroutine from a consumer's view to a provider's handler.

Source text is made once for each shape of call (how many parameters, which need a check), never
for each service, and compiled once; a service's own callable is a closure over that code with its
parameters renamed. What the text does, and in which order, is `call.plain_call`.
"""

import functools
import types
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from msgspec import Struct, ValidationError

from ringfence.kernel.call import Gate, NamedCall, failure_of, held_refusal, narrow
from ringfence.kernel.context import Context, current, next_span
from ringfence.kernel.limits import check_call
from ringfence.kernel.registry import Entry
from ringfence.kernel.scope import bounded, end_tasks
from ringfence.kernel.views import Check, View, outside

_TEXT = """
def make(entry, gate, classes, converts, fixed, build, read, answer_class, unfit, misread):
    operation, plugin, spans = entry.operation, entry.plugin, gate.spans
    now, record = gate.clock.monotonic, gate.spans.append

    async def call({parameters}):
        {arrive}
        if entry.refusal is not None:
            raise entry.refusal()
        if parent.held is not None:
            raise held_refusal(parent, operation)
        {check}
        purse = parent.purse
        purse.calls -= 1
        if purse.calls < 0 or parent.depth >= purse.depth or purse.outer is not None:
            check_call(parent, operation, spans)
        bulkhead = entry.bulkhead
        if bulkhead.free <= 0:
            raise bulkhead.refuse()
        bulkhead.free -= 1
        parent.children += 1
        ctx = Context(
            parent, gate, parent.trace, next_span(), operation, plugin, parent.principal,
            parent.tenant, parent.deadline_at, purse, parent.depth + 1, parent.children, now(),
        )
        current_set(ctx)
        try:
            {run}
        except BaseException as error:
            ctx.failure = failure_of(error)
            raise
        finally:
            current_set(parent)
            bulkhead.free += 1
            ctx.ended_at = now()
            record(ctx)
            if ctx.tasks:
                await end_tasks(ctx)
        {answer}

    return call
"""


class Shape(Struct, frozen=True):
    """What the text of a call depends on."""

    checks: tuple[Check, ...] | None  # None: arguments come read, as one tuple
    passed: tuple[str, ...] = ()  # expressions for the handler's arguments: `a0`, `fixed[1]`
    built: bool = False  # the parameters are the fields of one Struct
    bounded: bool = False
    answer: Literal["as_is", "nothing", "class", "convert"] = "as_is"


@functools.cache
def _maker(shape: Shape) -> Callable[..., Callable[..., Awaitable[object]]]:
    """Compile the text for one shape; cached, so that a thousand services share a few."""
    arguments = "*args" if shape.checks is None else ", ".join(shape.passed)
    handler = f"entry.handler({arguments})"
    run = f"result = await {handler}"
    if shape.bounded:
        run = f"narrow(gate, ctx, entry.budget)\nresult = await bounded(ctx, {handler}, gate.clock)"
    names = [f"a{i}" for i in range(len(shape.checks or ()))]
    text = _TEXT.format(
        parameters="parent, args" if shape.checks is None else ", ".join(names),
        arrive="pass" if shape.checks is None else "parent = current_get() or outside(gate, entry)",
        check=_indent(_check_text(shape, names), 8),
        run=_indent(run, 12),
        answer=_indent(_ANSWERS[shape.answer], 8),
    )
    scope = dict(_SCOPE)
    exec(compile(text, f"<call {shape}>", "exec"), scope)  # noqa: S102 - our own text, above
    make: Callable[..., Callable[..., Awaitable[object]]] = scope["make"]  # type: ignore[assignment]
    return make


_ANSWERS = {
    "as_is": "return result",
    "nothing": "return None",
    "class": "return result if type(result) is answer_class else misread(result)",
    "convert": "try:\n    return read(result)\nexcept ValidationError:\n    return misread(result)",
}


def _check_text(shape: Shape, names: Sequence[str]) -> str:
    values = f"({', '.join(names)},)"
    lines = []
    if shape.built:
        lines.append(f"    payload = build({values})")
    for i, check in enumerate(() if shape.built else shape.checks or ()):
        if check == "class":
            lines.append(f"    if type(a{i}) is not classes[{i}]:")
            lines.append(f"        a{i} = converts[{i}](a{i})")
        else:
            lines.append(f"    a{i} = converts[{i}](a{i})")
    if not lines:
        return "pass"
    raised = f"    raise unfit({values}) from None"
    return "\n".join(["try:", *lines, "except ValidationError:", raised])


def _indent(text: str, width: int) -> str:
    return text.replace("\n", "\n" + " " * width)


def fused_call(gate: Gate, entry: Entry) -> NamedCall:
    """Return the way into `entry` for arguments that have been read; as `plain_call`."""
    shape = Shape(None, bounded=entry.budget is not None)
    return _maker(shape)(entry, gate, (), (), (), None, None, None, None, None)


def fused_view(gate: Gate, entry: Entry, view: View) -> Callable[..., Awaitable[object]]:
    """Return the callable that a consumer's field is given; as `views.plain_view`."""
    shape = Shape(
        tuple(view.checks),
        tuple(view.passed),
        view.build is not None,
        entry.budget is not None,
        view.answer,
    )
    made = _maker(shape)(
        entry,
        gate,
        view.classes,
        view.converts,
        view.fixed,
        view.build,
        view.read,
        view.answer_class,
        view.unfit,
        view.misread,
    )
    assert isinstance(made, types.FunctionType)
    code = made.__code__
    named = code.replace(
        co_varnames=(*view.names, *code.co_varnames[len(view.names) :]),
        co_name=view.need.field,
        co_qualname=f"{view.consumer}.{view.need.field}",
    )
    call = types.FunctionType(
        named, made.__globals__, view.need.field, view.defaults, made.__closure__
    )
    call.__doc__ = view.need.view.doc
    return call


_SCOPE: dict[str, object] = {
    "Context": Context,
    "ValidationError": ValidationError,
    "bounded": bounded,
    "check_call": check_call,
    "current_get": current.get,
    "current_set": current.set,
    "end_tasks": end_tasks,
    "failure_of": failure_of,
    "held_refusal": held_refusal,
    "narrow": narrow,
    "next_span": next_span,
    "outside": outside,
}

"""The call path generated inline: one coroutine from a caller's arguments to a handler and back.

Source text is made once for each shape of call (how many parameters, which need a check), never
for each service, and compiled once; a service's own callable is a closure over that code with its
parameters renamed. What the text does, and in which order, is `ringfence.plain` does.
"""

import functools
import types
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct, ValidationError

from ringfence.kernel.call import Gate, NamedCall, close, failure_of, held_refusal, narrow, placed
from ringfence.kernel.context import Context, current, next_span
from ringfence.kernel.limits import check_call
from ringfence.kernel.owned import end_owned
from ringfence.kernel.ports import REQUIRED
from ringfence.kernel.registry import Entry
from ringfence.kernel.scope import bounded
from ringfence.kernel.views import Answer, Check, View, outside

_TEXT = """
def make(entry, gate, view):
    operation, plugin, bulkhead, spans = entry.operation, entry.plugin, entry.bulkhead, gate.spans
    now, record, clock = gate.clock.monotonic, gate.spans.append, gate.clock
    names, defaults, classes, converts = view.names, view.defaults, view.classes, view.converts
    fixed, build, unfit = view.fixed, view.build, view.unfit
    answer_class, result_class = view.answer_class, view.result_class
    pick, read, misread = view.pick, view.read, view.misread

    async def call({parameters}):
        {arrive}
        if entry.refusal is not None:
            raise entry.refusal()
        if parent.held is not None:
            raise held_refusal(parent, operation)
        {check}
        purse = parent.purse
        left = purse.calls = purse.calls - 1
        depth_left = parent.depth_left
        if left < 0 or depth_left <= 0 or purse.outer is not None:
            check_call(parent, operation, spans)
        free = bulkhead.free
        if free <= 0:
            raise bulkhead.refuse()
        bulkhead.free = free - 1
        ordinal = parent.children = parent.children + 1
        ctx = Context(
            parent, parent.origin, next_span(), operation, plugin, parent.deadline_at, purse,
            depth_left - 1, ordinal, now(),
        )
        current_set(ctx)
        try:
            {run}
        except BaseException as error:
            ctx.failure = failure_of(error)
            raise
        finally:
            current_set(before)
            bulkhead.free += 1
            {close}
            if ctx.owned:
                await end_owned(ctx)
        {answer}

    return call
"""

_READ = "try:\n    return read(result)\nexcept ValidationError:\n    return misread(result)"
_ANSWERS: dict[Answer, str] = {
    "nothing": "return None",
    "class": f"if type(result) is answer_class:\n    return result\n{_READ}",
    "one": f"if type(result) is result_class:\n    return answer_class(pick(result))\n{_READ}",
    "several": f"if type(result) is result_class:\n    return answer_class(*pick(result))\n{_READ}",
    "convert": _READ,
}


_TYPED = "before = parent = current_get()\nif parent is None:\n    raise outside(operation)"
_NAMED = "before = current_get()\nparent = placed(parent, before)"


class Shape(Struct, frozen=True):
    """What the text of a call depends on."""

    named: bool  # called with a context and a mapping, not with parameters
    checks: tuple[Check, ...]
    required: tuple[bool, ...]
    passed: tuple[str, ...]
    built: bool  # the parameters are the fields of one Struct
    bounded: bool  # the provider has a budget of its own
    answer: Answer


def _shape(entry: Entry, view: View, *, named: bool) -> Shape:
    return Shape(
        named,
        view.checks,
        tuple(default is REQUIRED for default in view.defaults) if named else (),
        view.passed,
        view.build is not None,
        entry.budget is not None,
        view.answer,
    )


@functools.cache
def _maker(shape: Shape) -> Callable[..., Callable[..., Awaitable[object]]]:
    """Compile the text for one shape; cached, so that a thousand services share a few."""
    names = [f"a{i}" for i in range(len(shape.checks))]
    run = f"result = await entry.handler({', '.join(shape.passed)})"
    if shape.bounded:
        run = run.replace("await entry", "await bounded(ctx, entry") + ", clock)"
        run = f"narrow(ctx, entry.budget)\n{run}"
    text = _TEXT.format(
        parameters="parent, payload" if shape.named else ", ".join(names),
        arrive=_indent(_NAMED if shape.named else _TYPED, 8),
        check=_indent(_check_text(shape, names), 8),
        run=_indent(run, 12),
        close="close(gate, ctx)"
        if shape.bounded
        else "ctx.ended_at = now()\n            record(ctx)",
        answer=_indent(_ANSWERS[shape.answer], 8),
    )
    scope = dict(_SCOPE)
    exec(compile(text, "<fused call>", "exec"), scope)  # noqa: S102 - our own text, above
    make = scope["make"]
    assert isinstance(make, types.FunctionType)
    return make


def _check_text(shape: Shape, names: Sequence[str]) -> str:
    payload = (
        "payload" if shape.named else f"dict(zip(names, ({''.join(n + ', ' for n in names)})))"
    )
    lines = [f"    built = build({payload})"] if shape.built else []
    for i, check in enumerate(() if shape.built else shape.checks):
        if shape.named:
            key = f"names[{i}]"
            get = f"[{key}]" if shape.required[i] else f".get({key}, defaults[{i}])"
            lines.append(f"    a{i} = payload{get}")
        if check == "class":
            lines.append(f"    if type(a{i}) is not classes[{i}]:")
            lines.append(f"        a{i} = converts[{i}](a{i})")
        else:
            lines.append(f"    a{i} = converts[{i}](a{i})")
    if not lines:
        return "pass"
    caught = "(ValidationError, KeyError)" if shape.named else "ValidationError"
    return "\n".join(["try:", *lines, f"except {caught}:", f"    raise unfit({payload}) from None"])


def _indent(text: str, width: int) -> str:
    return text.replace("\n", "\n" + " " * width)


def fused_named(gate: Gate, entry: Entry) -> NamedCall:
    """Return `entry` as a context calls it by name; as `plain.plain_named`."""
    view = gate.contracts.bind_named(entry)
    return _maker(_shape(entry, view, named=True))(entry, gate, view)


def fused_view(gate: Gate, entry: Entry, view: View, name: str) -> Callable[..., Awaitable[object]]:
    """Return the callable that a consumer's field called `name` is given; as `plain.plain_view`."""
    made = _maker(_shape(entry, view, named=False))(entry, gate, view)
    assert isinstance(made, types.FunctionType)
    code = _named_code(made.__code__, view.names, name)
    defaults = tuple(default for default in view.defaults if default is not REQUIRED)
    return types.FunctionType(code, made.__globals__, name, defaults, made.__closure__)


@functools.lru_cache(maxsize=1024)
def _named_code(code: types.CodeType, names: tuple[str, ...], name: str) -> types.CodeType:
    """Give the parameters of a shape's code the names of one view; those of like views share it."""
    return code.replace(co_varnames=(*names, *code.co_varnames[len(names) :]), co_name=name)


_SCOPE: dict[str, object] = {
    "Context": Context,
    "ValidationError": ValidationError,
    "bounded": bounded,
    "check_call": check_call,
    "close": close,
    "current_get": current.get,
    "current_set": current.set,
    "end_owned": end_owned,
    "failure_of": failure_of,
    "held_refusal": held_refusal,
    "narrow": narrow,
    "next_span": next_span,
    "outside": outside,
    "placed": placed,
}

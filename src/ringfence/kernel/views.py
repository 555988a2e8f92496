"""A consumer's view of a service, bound to its provider: what to check, pass on and read back.

A value of the provider's declared class passes as it is; anything else is converted once, on the
way in, and the result once, on the way out, into the consumer's own classes.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Literal, NoReturn

from msgspec import Struct, ValidationError, convert

from ringfence.errors import Fault, Invalid, PluginFailed
from ringfence.kernel.call import Gate, open_root, plain_call
from ringfence.kernel.context import Context, current
from ringfence.kernel.contract import constrained, sole_struct
from ringfence.kernel.manifest import ServiceNeed
from ringfence.kernel.payload import faults, read
from ringfence.kernel.ports import REQUIRED, Parameter
from ringfence.kernel.registry import Entry

Check = Literal["class", "convert"]
Values = tuple[object, ...]
Convert = Callable[[object], object]


class View(Struct, frozen=True):
    """How one consumer's parameters and result map to one provider's."""

    consumer: str
    need: ServiceNeed
    names: tuple[str, ...]
    defaults: Values
    checks: tuple[Check, ...]
    classes: tuple[object, ...]
    converts: tuple[Convert, ...]
    passed: tuple[str, ...]  # for each of the handler's arguments: `a0`, `fixed[0]`, `payload`
    fixed: Values  # the provider's defaults for what the view does not send
    build: Callable[[Values], object] | None  # makes the provider's Struct from its fields
    answer: Literal["nothing", "class", "convert"]
    answer_class: object
    read: Convert
    unfit: Callable[[Values], Invalid]
    misread: Callable[[object], NoReturn]


def bind(consumer: str, need: ServiceNeed, entry: Entry) -> View:
    """Work out how the view `need` of plugin `consumer` maps to `entry`; it is known to fit."""
    sent, taken = need.view.parameters, entry.signature.parameters
    names = tuple(p.name for p in sent)
    struct = sole_struct(entry.signature)
    fields_sent = struct is not None and names != (taken[0].name,)
    targets = {p.name: p.annotation for p in taken}
    passed, fixed = (("payload",), ()) if fields_sent else _positions(names, taken)
    result = need.view.result
    return View(
        consumer=consumer,
        need=need,
        names=names,
        defaults=tuple(p.default for p in sent if p.default is not REQUIRED),
        checks=tuple(_check(targets.get(p.name)) for p in sent),
        classes=tuple(targets.get(p.name) for p in sent),
        converts=tuple(_converter(targets.get(p.name)) for p in sent),
        passed=passed,
        fixed=fixed,
        build=partial(_build, names, struct) if struct is not None and fields_sent else None,
        answer=_answer(result),
        answer_class=result,
        read=_converter(result),
        unfit=partial(_unfit, entry.operation, names, struct if fields_sent else targets),
        misread=partial(_misread, entry, result),
    )


def _positions(names: Sequence[str], taken: Sequence[Parameter]) -> tuple[tuple[str, ...], Values]:
    passed: list[str] = []
    fixed: list[object] = []
    for parameter in taken:
        if parameter.name in names:
            passed.append(f"a{names.index(parameter.name)}")
        else:
            passed.append(f"fixed[{len(fixed)}]")
            fixed.append(parameter.default)
    return tuple(passed), tuple(fixed)


def _check(hint: object) -> Check:
    return "class" if isinstance(hint, type) and not constrained(hint) else "convert"


def _answer(hint: object) -> Literal["nothing", "class", "convert"]:
    if hint is None or hint is type(None):
        return "nothing"
    return "class" if hint in (str, int, float, bool, bytes) else "convert"


def _converter(hint: object) -> Convert:
    def convert_to(value: object) -> object:
        return convert(value, hint, from_attributes=True)  # type: ignore[call-overload]

    return convert_to


def _build(names: Sequence[str], struct: type, values: Values) -> object:
    return convert(dict(zip(names, values, strict=True)), struct, from_attributes=True)


def _unfit(operation: str, names: Sequence[str], target: object, values: Values) -> Invalid:
    given = dict(zip(names, values, strict=True))
    if isinstance(target, dict):
        found = [
            Fault(f"$.{name}{fault.path[1:]}", fault.message)
            for name, value in given.items()
            for fault in faults(value, target[name])
        ]
    else:
        found = faults(given, target)
    return Invalid("the payload does not fit", subject=operation, faults=found)


def _misread(entry: Entry, hint: object, result: object) -> NoReturn:
    """The provider broke its own declaration: name it, and say how."""
    try:
        read(result, hint, "")  # type: ignore[arg-type]
    except Invalid as error:
        listed = "; ".join(f"{fault.path}: {fault.message}" for fault in error.faults)
    raise PluginFailed(
        f"{entry.plugin} answered what it does not declare: {listed}.", subject=entry.operation
    )


def outside(gate: Gate, entry: Entry) -> Context:
    """Stand in as the caller of a call that comes from no context, as from a bare thread."""
    return open_root(gate, "outside", "", gate.budget)


def plain_view(gate: Gate, entry: Entry, view: View) -> Callable[..., Awaitable[object]]:
    """Return the callable that a consumer's field is given, composed instead of generated."""
    call = plain_call(gate, entry)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature(
        [
            inspect.Parameter(
                p.name, kind, default=inspect.Parameter.empty if p.default is REQUIRED else p.default
            )
            for p in view.need.view.parameters
        ]
    )

    async def use(*given: object, **named: object) -> object:
        parent = current.get() or outside(gate, entry)
        bound = signature.bind(*given, **named)
        bound.apply_defaults()
        values = tuple(bound.arguments.values())
        args = _arguments(view, values)
        result = await call(parent, args)
        match view.answer:
            case "nothing":
                return None
            case "class":
                return result if type(result) is view.answer_class else view.misread(result)
            case "convert":
                try:
                    return view.read(result)
                except ValidationError:
                    return view.misread(result)

    return use


def _arguments(view: View, values: Values) -> Values:
    try:
        if view.build is not None:
            return (view.build(values),)
        checked = [
            value if check == "class" and type(value) is cls else read_one(value)
            for value, check, cls, read_one in zip(
                values, view.checks, view.classes, view.converts, strict=True
            )
        ]
    except ValidationError:
        raise view.unfit(values) from None
    by_name = {f"a{i}": value for i, value in enumerate(checked)}
    by_name |= {f"fixed[{i}]": value for i, value in enumerate(view.fixed)}
    return tuple(by_name[expression] for expression in view.passed)

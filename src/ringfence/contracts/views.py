"""Work out how a call's payload and result map between a consumer and a provider.

The `View` that is made says what to check, pass on and read back. A value of the provider's
declared class passes as it is; anything else is converted once, on the way in, and the result once,
on the way out, into the consumer's own classes, or into plain data for `ctx.call`. This module is
the kernel's `Contracts`.
"""

from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from typing import NoReturn

from msgspec import Struct, to_builtins
from msgspec.structs import fields

from ringfence.contracts.compatibility import sole_struct
from ringfence.contracts.deliveries import reader as reader
from ringfence.contracts.payload import conform, faults, is_carried, is_class, to_plain
from ringfence.contracts.payload import read as read
from ringfence.errors import Fault, Invalid, PluginFailed
from ringfence.kernel.manifest import ServiceNeed
from ringfence.kernel.ports import REQUIRED, Parameter
from ringfence.kernel.registry import Entry
from ringfence.kernel.views import Answer, Convert, Payload, Values, View

_SCALARS = (str, int, float, bool, bytes)


def bind(need: ServiceNeed, entry: Entry) -> View:
    """Work out how the view of a field under `@requires` maps to `entry`; it is known to fit."""
    result = need.view.result
    offered = entry.signature.result
    answer = _answer(offered, result)
    picked = answer in ("one", "several") and isinstance(result, type)
    names = [f.name for f in fields(result)] if picked else []  # type: ignore[arg-type]
    # Required ones first, as in any Python function; a view's keywords may come in any order.
    sent = sorted(need.view.parameters, key=lambda p: p.default is not REQUIRED)
    return _view(
        entry,
        sent,
        answer=answer,
        answer_class=_class(result),
        pick=attrgetter(*names) if names else _as_it_is,
        read=_converter(result, offered),
        answer_hint=result,
    )


def bind_named(entry: Entry) -> View:
    """Work out how a mapping of `entry`'s own parameters maps to it, and its result to data."""
    plain = to_builtins if _scalar_fields(entry.signature.result) else to_plain
    struct = sole_struct(entry.signature)
    return _view(
        entry,
        () if struct is not None else entry.signature.parameters,
        answer="convert",
        answer_class=None,
        pick=_as_it_is,
        read=plain,
        whole=struct is not None,
    )


def _view(
    entry: Entry,
    sent: Sequence[Parameter],
    *,
    answer: Answer,
    answer_class: type[object] | None,
    pick: Convert,
    read: Convert,
    answer_hint: object = None,
    whole: bool = False,
) -> View:
    taken = entry.signature.parameters
    names = tuple(p.name for p in sent)
    struct = sole_struct(entry.signature)
    by_field = struct is not None and (whole or names != (taken[0].name,))
    targets = {p.name: p.annotation for p in taken}
    classes = tuple(_class(targets.get(p.name)) for p in sent)
    passed, fixed = (("built",), ()) if by_field else _positions(names, taken)
    return View(
        names=names,
        defaults=tuple(p.default for p in sent),
        checks=tuple("convert" if cls is None else "class" for cls in classes),
        classes=classes,
        converts=tuple(_converter(targets.get(p.name), p.annotation) for p in sent),
        passed=passed,
        fixed=fixed,
        build=partial(conform, hint=struct) if struct is not None and by_field else None,
        answer=answer,
        answer_class=answer_class,
        result_class=entry.signature.result,
        pick=pick,
        read=read,
        unfit=partial(_unfit, entry.operation, struct if struct and by_field else taken),
        misread=partial(_misread, entry, answer_hint),
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


def _class(hint: object) -> type[object] | None:
    return hint if isinstance(hint, type) else None


def _answer(offered: object, wanted: object) -> Answer:
    """Choose how a result becomes a view: picking fields is enough where both are Structs and
    every field of the view is a plain scalar, of the same type in both."""
    if wanted is None or wanted is type(None):
        return "nothing"
    if wanted is offered and _is_scalar(wanted):
        return "class"
    if not (isinstance(wanted, type) and isinstance(offered, type)):
        return "convert"
    if not (_scalar_fields(wanted) and issubclass(offered, Struct)) or _built_specially(wanted):
        return "convert"
    given = {f.name: f.type for f in fields(offered)}
    if any(given.get(f.name) is not f.type for f in fields(wanted)):
        return "convert"
    return "one" if len(fields(wanted)) == 1 else "several"


def _scalar_fields(hint: object) -> bool:
    if not (is_class(hint) and issubclass(hint, Struct)):
        return _is_scalar(hint)
    return bool(fields(hint)) and all(f.type in _SCALARS for f in fields(hint))


def _is_scalar(hint: object) -> bool:
    return any(hint is scalar for scalar in _SCALARS)


def _built_specially(struct: type) -> bool:
    """Whether a Struct takes more than its fields in order: keywords, or a `__post_init__`."""
    in_order = getattr(struct, "__match_args__", ()) == getattr(struct, "__struct_fields__", ())
    return not in_order or hasattr(struct, "__post_init__")


def _as_it_is(value: object) -> object:
    return value


def _converter(hint: object, source: object) -> Convert:
    """An adapter says what of its objects is data; their attributes may be something else."""
    by_attributes = not is_carried(source)
    return partial(conform, hint=hint, from_attributes=by_attributes)  # type: ignore[arg-type]


def _unfit(operation: str, target: type | Sequence[Parameter], given: Payload) -> Invalid:
    if isinstance(target, type):
        found = faults(given, target)
    else:
        found = [
            Fault(f"$.{p.name}{fault.path[1:]}", fault.message)
            for p in target
            if p.name in given
            for fault in faults(given[p.name], p.annotation)
        ]
        missing = [p.name for p in target if p.name not in given and p.default is REQUIRED]
        found += [Fault(f"$.{name}", "is missing") for name in missing]
    return Invalid("the payload does not fit", subject=operation, faults=found)


def _misread(entry: Entry, hint: object, result: object) -> NoReturn:
    """The provider broke its own declaration: name it, and say how."""
    listed = "; ".join(f"{fault.path}: {fault.message}" for fault in faults(result, hint))
    raise PluginFailed(
        f"{entry.plugin} answered what it does not declare: {listed}.", subject=entry.operation
    )

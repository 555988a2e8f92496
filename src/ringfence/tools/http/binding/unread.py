"""What a declaration says and nothing reads: constraints and defaults written for other frameworks.

`misfits` looks at parameters and at the fields of the classes that they are made of. A default is
a value of its type: a `Query(1, ge=1)` would reach the method as it is. Metadata is msgspec's
`Meta` or a mark; what comes from other packages for good reasons is let be, and refused is only
that of frameworks which would have read it. Classes that an adapter carries read their own.
"""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace, UnionType
from typing import Annotated, Union, cast, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, UNSET, UnsetType, ValidationError, convert, inspect

from ringfence.contracts.payload import adapter_of, describe
from ringfence.kernel.ports import REQUIRED, Parameter
from ringfence.tools.http.binding.markers import Mark, mark_of
from ringfence.tools.http.binding.plan import Misfit, shown

_FRAMEWORKS = ("annotated_types", "fastapi", "litestar", "pydantic", "pydantic_core", "starlette")
_INERT = ("DocInfo", "Unit")  # of annotated_types: they constrain nothing
_INJECTED = ("Dependency", "Depends", "Provide", "Security")
_MARKED = ("Header", "Cookie", "Form")
# What `Meta` calls as these frameworks do.
_META = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")
_OBJECTS = (inspect.StructType, inspect.DataclassType, inspect.TypedDictType)
_UNKNOWN = (TypeError, NameError, NotImplementedError)  # of a hint: `plan` says what is wrong


def misfits(parameters: Sequence[Parameter]) -> Iterator[Misfit]:
    """Yield each default that is no value of its type, and metadata that nothing reads.

    Args:
        parameters: Of an operation.
    """
    seen: list[object] = []
    for parameter in parameters:
        subject = f"parameter {parameter.name!r}"
        yield from _misfits(subject, parameter.name, parameter.annotation, parameter.default, seen)


def _misfits(
    subject: str, name: str, hint: object, default: object, seen: list[object]
) -> Iterator[Misfit]:
    if default is not REQUIRED and not _fits(default, hint):
        said = f"the default of {subject} is {_named(default)}; expected {shown(hint)}"
        yield Misfit("RF315", said, _fix_of_default(name, hint, default))
    for part in _parts(hint, seen):
        for told in get_args(part)[1:] if get_origin(part) is Annotated else ():
            if _is_foreign(told) and type(told).__name__ not in _INERT:
                said = f"{subject} is annotated with {_named(told)}, which nothing reads"
                yield Misfit("RF316", said, _fix("", part, told))
        yield from _fields(part, seen)


def _fields(hint: object, seen: list[object]) -> Iterator[Misfit]:
    """Look at the fields of a class, once."""
    cls = get_origin(hint) or hint
    if not isinstance(cls, type) or cls.__module__ == "builtins" or cls in seen:
        return
    seen.append(cls)
    try:
        info = None if adapter_of(cls) is not None else describe(cls)
        if not isinstance(info, _OBJECTS):
            return
        hints = get_type_hints(cls, include_extras=True)
    except _UNKNOWN:
        return
    for field in info.fields:
        subject = f"field {field.name!r} of {cls.__name__}"
        default = REQUIRED if field.default is NODEFAULT else field.default
        yield from _misfits(subject, field.name, hints.get(field.name, object), default, seen)


def _parts(hint: object, seen: list[object]) -> Iterator[object]:
    """Yield a type hint and all that it is made of."""
    yield hint
    alias = _aliased(hint)
    if alias is not None and hint not in seen:
        seen.append(hint)  # it may be made of itself
        yield from _parts(alias, seen)
    inner = get_args(hint)
    for part in inner[:1] if get_origin(hint) is Annotated else inner:
        yield from _parts(part, seen)


def _aliased(hint: object) -> object:
    """Return what a type alias or a NewType stands for; None for any other hint."""
    alias: object = getattr(get_origin(hint) or hint, "__value__", None)
    return getattr(hint, "__supertype__", alias)


def _fits(value: object, hint: object) -> bool:
    """Say whether a default is of its type; how large it is, is its author's affair."""
    arms = list(_arms(hint))
    if value is UNSET:
        return UnsetType in arms
    if any(arm in type(value).__mro__[:-1] for arm in arms):
        return True
    return not _is_foreign(value) and any(_converts(value, arm) for arm in arms)


def _arms(hint: object) -> Iterator[object]:
    alias = _aliased(hint)
    if alias is not None:
        yield from _arms(alias)
    elif get_origin(hint) is Annotated:
        yield from _arms(get_args(hint)[0])
    elif get_origin(hint) in (Union, UnionType):
        for arm in get_args(hint):
            yield from _arms(arm)
    else:
        yield hint


def _converts(value: object, hint: object) -> bool:
    try:
        bare = get_type_hints(SimpleNamespace(__annotations__={"it": hint}))["it"]
        convert(value, cast("type[object]", bare), str_keys=True, dec_hook=_instance)
    except ValidationError:
        origin = get_origin(hint)  # `Sequence[int]` is more than the lists that msgspec knows
        special = type(value) not in (list, tuple, set, frozenset, dict)
        return special and isinstance(origin, type) and isinstance(value, origin)
    except Exception:  # contained: a class that checks itself raises what it likes
        return True
    return True


def _instance(cls: type, value: object) -> object:
    """Read nothing: what a class makes of a value is not the default."""
    if isinstance(value, cls):
        return value
    raise TypeError(f"expected {cls.__name__}")


def _is_foreign(told: object) -> bool:
    cls = told if isinstance(told, type) else type(told)
    return cls.__module__.partition(".")[0] in _FRAMEWORKS


def _named(value: object) -> str:
    cls = value if isinstance(value, type) else type(value)
    if value is None or value is ...:
        return repr(value)
    if cls.__module__ == "builtins":
        return f"{cls.__name__}"
    return f"{cls.__module__}.{cls.__qualname__}"


def _fix_of_default(name: str, hint: object, default: object) -> str:
    if default is None:
        return f"write `{name}: {_written(f'{shown(hint)} | None', mark_of(hint))} = None`"
    if not _is_foreign(default):
        return f"give a value of {shown(hint)}, or leave the default out where there is none"
    inner = getattr(default, "default", ...)
    if inner is None and "None" not in shown(hint):
        return _fix(name, hint, default, " = None", " | None")
    plain = isinstance(inner, str | int | float | None)
    return _fix(name, hint, default, f" = {inner!r}" if plain else "")


def _fix(name: str, hint: object, told: object, default: str = "", arm: str = "") -> str:
    kind = told.__name__ if isinstance(told, type) else type(told).__name__
    if kind in _INJECTED:
        return (
            "nothing is injected so: declare a tool or a service as a field of the plugin,"
            " take a request value as a parameter, and call what checks"
        )
    begin = f"{name}: " if name else ""
    if kind == "File":
        return f"write `{begin}UploadFile`"
    mark = mark_of(hint)
    if mark is None and kind in _MARKED:
        alias: object = getattr(told, "alias", None)
        mark = Mark(kind.lower(), alias if isinstance(alias, str) else "")  # type: ignore[arg-type]
    metas = _metas(told)
    if not metas and kind not in (*_MARKED, "Query", "Path", "Body") and not default:
        return (
            "take it out; write what constrains a value as msgspec's `Meta`, or check it yourself"
        )
    written = _written(shown(hint) + arm, mark, metas)
    return f"write `{begin}{written}{default}`{', with `Meta` of msgspec' if metas else ''}"


def _metas(told: object) -> str:
    """Return what `Meta` says the same with; empty: nothing."""
    found: dict[str, object] = {}
    several: object = getattr(told, "metadata", ())
    for one in (told, *(several if isinstance(several, list | tuple) else ())):
        for key in _META:
            value: object = getattr(one, key, None)
            if value is not None:
                found[key] = getattr(value, "pattern", value)
    return ", ".join(f"{key}={value!r}" for key, value in found.items())


def _written(inner: str, mark: Mark | None, metas: str = "") -> str:
    """Return a type hint as its author would write it."""
    told = [f"Meta({metas})"] if metas else []
    if mark is not None and mark.name:
        told.insert(0, f'{mark.place}("{mark.name}")')
    elif mark is not None:
        inner = f"{mark.place.capitalize()}[{inner}]"
    return f"Annotated[{', '.join([inner, *told])}]" if told else inner

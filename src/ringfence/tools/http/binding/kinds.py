"""What sort of thing a type is over HTTP: one value, several, an object, a document, a file, or
nothing.

`kind_of` is total: a type that HTTP cannot carry is `Kind.UNSUPPORTED`, never an exception. Classes
that stand for a part of a request say which by their attribute `__ringfence_http__`.
"""

import types
from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Union, get_args, get_origin

from msgspec import Struct, inspect

from ringfence.contracts.payload import describe

_SCALARS = (
    inspect.StrType,
    inspect.IntType,
    inspect.FloatType,
    inspect.BoolType,
    inspect.UUIDType,
    inspect.DateTimeType,
    inspect.DateType,
    inspect.TimeType,
    inspect.TimeDeltaType,
    inspect.DecimalType,
    inspect.EnumType,
    inspect.LiteralType,
)
_LISTS = (inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType)
_SPECIAL = "__ringfence_http__"
_OBJECTS = (inspect.StructType, inspect.DataclassType, inspect.TypedDictType)


class Kind(Enum):
    """How HTTP carries a type."""

    SCALAR = "one value: in a path or a query"
    REPEATED = "several values: in a query, each under the same name"
    OBJECT = "named fields: a body, or a whole query"
    DOCUMENT = "JSON of another shape: a body"
    FILE = "an uploaded file: in a form"
    FILES = "uploaded files: in a form, each under the same name"
    RAW = "bytes: a body of any type"
    STREAM = "a body of any type, as it comes in"
    REQUEST = "the request itself"
    MATCH = "the version of what a request is for"
    SOCKET = "the connection itself"
    UNSUPPORTED = "nothing that HTTP carries"


_PARTS = {
    "upload": Kind.FILE,
    "body": Kind.STREAM,
    "request": Kind.REQUEST,
    "if_match": Kind.MATCH,
    "socket": Kind.SOCKET,
}

# Answers that are not plain JSON. By name: who uses none of them does not load them.
_ANSWERS = ("Reply", "File", "Stream", "EventStream")


class QueryField(Struct, frozen=True):
    """One value, or several, that a query, headers, cookies or a form give under a name."""

    name: str
    kind: Kind
    finite: bool  # no NaN, no infinity: text can say them where JSON cannot
    truth: bool = False  # or its opposite: a checkbox says `on`


def kind_of(hint: object) -> Kind:
    """Say how HTTP carries values of a type."""
    try:
        return _kind(describe(hint))
    except (TypeError, NameError, NotImplementedError):
        return Kind.UNSUPPORTED


def query_field(name: str, hint: object) -> QueryField:
    """Describe a parameter of kind SCALAR or REPEATED."""
    info = describe(hint)
    return _field(name, info)


def query_fields(hint: object) -> list[QueryField]:
    """Describe the fields of a type of kind OBJECT."""
    info = _bare(describe(hint))
    if not isinstance(info, _OBJECTS):
        return []
    return [_field(f.encode_name, f.type) for f in info.fields]


def _field(name: str, info: inspect.Type) -> QueryField:
    value = _value(info)
    finite = isinstance(value, inspect.FloatType | inspect.DecimalType)
    return QueryField(name, _kind(info), finite, isinstance(value, inspect.BoolType))


def is_closed(hint: object) -> bool:
    """Whether a type of kind OBJECT forbids fields that it does not have."""
    info = _bare(describe(hint))
    return isinstance(info, inspect.StructType) and info.forbid_unknown_fields


def arms_of(hint: object) -> tuple[object, ...]:
    """Return the types that values of a type hint have one of."""
    if get_origin(hint) is Annotated:
        return arms_of(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return get_args(hint)
    return (hint,)


def answer_of(hint: object) -> str:
    """Return which answer of this tool's own a type is, `File`; empty: plain JSON."""
    cls = get_origin(hint) or hint
    name: str = getattr(cls, "__name__", "")
    is_own = str(getattr(cls, "__module__", "")).startswith("ringfence.tools.http.")
    return name if is_own and name in _ANSWERS else ""


def answers_wide(result: object) -> bool:
    """Say whether a result is more than JSON."""
    return any(answer_of(arm) for arm in arms_of(result))


def unserialisable(hint: object) -> str | None:
    """Return what of a type JSON cannot carry; None when it can be sent."""
    try:
        info = describe(hint)
    except (TypeError, NameError, NotImplementedError) as error:
        return str(error)
    for part in _walk(info, set()):
        if isinstance(part, inspect.CustomType):
            return part.cls.__qualname__
    return None


def _kind(info: inspect.Type) -> Kind:
    info = _bare(info)
    if isinstance(info, _SCALARS):
        return Kind.SCALAR
    if isinstance(info, inspect.BytesType):
        return Kind.RAW
    if isinstance(info, inspect.CustomType | inspect.StructType):
        part = _PARTS.get(getattr(info.cls, _SPECIAL, ""))
        if part is not None:
            return part
    if isinstance(info, _LISTS) and isinstance(_bare(info.item_type), _SCALARS):
        return Kind.REPEATED
    if isinstance(info, inspect.ListType) and _kind(info.item_type) is Kind.FILE:
        return Kind.FILES
    if any(isinstance(part, inspect.CustomType) for part in _walk(info, set())):
        return Kind.UNSUPPORTED
    if isinstance(info, _OBJECTS):
        return Kind.OBJECT
    if isinstance(info, (*_LISTS, inspect.DictType)):
        return Kind.DOCUMENT
    if isinstance(info, inspect.UnionType):
        arms = [_bare(arm) for arm in info.types if not isinstance(arm, inspect.NoneType)]
        if all(isinstance(arm, inspect.StructType) for arm in arms):
            return Kind.DOCUMENT
    return Kind.UNSUPPORTED


def _bare(info: inspect.Type) -> inspect.Type:
    """Strip metadata, and `| None`."""
    while isinstance(info, inspect.Metadata):
        info = info.type
    if isinstance(info, inspect.UnionType):
        arms = [arm for arm in info.types if not isinstance(arm, inspect.NoneType)]
        if len(arms) == 1:
            return _bare(arms[0])
    return info


def _value(info: inspect.Type) -> inspect.Type:
    """Return what one of the values under a name is."""
    info = _bare(info)
    return _value(info.item_type) if isinstance(info, _LISTS) else info


def _walk(info: inspect.Type, seen: set[int]) -> Iterator[inspect.Type]:
    """All types that a type is made of, each once."""
    if id(info) in seen:
        return
    seen.add(id(info))
    yield info
    for name in info.__struct_fields__:
        value = getattr(info, name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, inspect.Field):
                part = part.type
            if isinstance(part, inspect.Type):
                yield from _walk(part, seen)

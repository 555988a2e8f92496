"""The schema of a payload as it is written into a lock: types as plain data, without class names.

`shape_of` describes a type hint. A type that occurs again is written once and named by the path of
its first place (`same`), so that a recursive one ends and a shared one stays short. Called by
`lock.py`; `difference.py` compares what is made here.
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct, field
from msgspec import inspect as types

from ringfence.contracts.payload import choices, describe

Bound = int | float | str | bool
_OBJECTS = (types.StructType, types.DataclassType, types.TypedDictType)
_ARRAYS = (
    types.ListType,
    types.SetType,
    types.FrozenSetType,
    types.VarTupleType,
    types.CollectionType,
)
_MAPPINGS = (types.DictType, types.FrozenDictType)
_BOUNDS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "tz")


class Shape(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One type.

    Args:
        type: Its kind: `int`, `str`, `object`, `array`, `map`, `tuple`, `union`, `literal`, `same`.
        bounds: Its constraints, as in `msgspec.Meta`; and what tags a union's member.
        fields: Of an object, by the names in its payload.
        optional: Of these, those that a sender may leave out, or an answer may lack.
        closed: Of an object: unknown fields are refused.
        parts: Types of a tuple or a union; the item of an array; key and value of a map.
        values: Of a literal or an enum.
        name: Of a class that has no schema; of `same`, the path of the type that it repeats.
    """

    type: str
    bounds: Mapping[str, Bound] = {}
    fields: "Mapping[str, Shape]" = {}
    optional: tuple[str, ...] = ()
    closed: bool = False
    parts: "tuple[Shape, ...]" = ()
    values: tuple[str | int | float, ...] = ()
    name: str = ""

    def below(self, path: str) -> "Iterator[tuple[str, Shape]]":
        """Yield the types that this one at `path` is made of, with their paths."""
        for name, inner in self.fields.items():
            yield f"{path}.{name}" if path else name, inner
        for index, inner in enumerate(self.parts):
            yield path + _suffix(self.type, index), inner


class Described(Struct):
    """What one description has met already: each type, by where it stands first."""

    met: dict[int, str] = field(default_factory=dict)


def shape_of(hint: object, path: str, *, sent: bool) -> Shape:
    """Describe a type hint.

    Args:
        hint: A type that msgspec or an adapter reads.
        path: Where it stands in the contract: `result`, or a parameter's name.
        sent: Whether its values are written by the provider, rather than read.
    """
    return _shape(describe(hint, sent=sent), path, sent, Described())


def _suffix(kind: str, index: int) -> str:
    match kind:
        case "array":
            return "[]"
        case "map":
            return "{key}" if index == 0 else "{}"
        case "union":
            return f"|{index}"
        case _:
            return f"[{index}]"


def _shape(described: types.Type, path: str, sent: bool, seen: Described) -> Shape:
    if isinstance(described, types.Metadata):
        return _shape(described.type, path, sent, seen)
    if isinstance(described, _OBJECTS):
        if id(described) in seen.met:
            return Shape("same", name=seen.met[id(described)])
        seen.met[id(described)] = path
        return _object(described, path, sent, seen)
    kind, inner = _composed(described)
    if kind:
        parts = tuple(
            _shape(one, path + _suffix(kind, index), sent, seen) for index, one in enumerate(inner)
        )
        return Shape(kind, _bounds(described), parts=parts)
    taken = choices(described)
    kind = type(described).__name__.removesuffix("Type").lower()
    if taken is not None:
        return Shape(kind, values=_values(taken))
    name = described.cls.__qualname__ if isinstance(described, types.CustomType) else ""
    return Shape(kind, _bounds(described), name=name)


def _object(described: types.Type, path: str, sent: bool, seen: Described) -> Shape:
    assert isinstance(described, _OBJECTS)
    may_lack = isinstance(described, types.TypedDictType) or not sent
    members = sorted(described.fields, key=lambda one: one.encode_name)
    bounds: dict[str, Bound] = {}
    closed = False
    if isinstance(described, types.StructType):
        closed = described.forbid_unknown_fields and not sent
        if described.tag_field is not None and described.tag is not None:
            bounds["tag"] = f"{described.tag_field}={described.tag}"
    return Shape(
        "object",
        bounds,
        {m.encode_name: _shape(m.type, f"{path}.{m.encode_name}", sent, seen) for m in members},
        tuple(m.encode_name for m in members if may_lack and not m.required),
        closed,
    )


def _composed(described: types.Type) -> tuple[str, Sequence[types.Type]]:
    if isinstance(described, types.UnionType):
        return "union", sorted(described.types, key=_order)
    if isinstance(described, _ARRAYS):
        return "array", (described.item_type,)
    if isinstance(described, _MAPPINGS):
        return "map", (described.key_type, described.value_type)
    if isinstance(described, types.TupleType):
        return "tuple", described.item_types
    if isinstance(described, types.NamedTupleType):
        return "tuple", [member.type for member in described.fields]
    return "", ()


def _order(described: types.Type) -> tuple[str, str]:
    """Sort a union's members, whatever order they were written in."""
    return type(described).__name__, getattr(getattr(described, "cls", None), "__qualname__", "")


def _bounds(described: types.Type) -> dict[str, Bound]:
    found = ((name, getattr(described, name, None)) for name in sorted(_BOUNDS))
    return {name: value for name, value in found if value is not None}


def _values(taken: Sequence[object]) -> tuple[str | int | float, ...]:
    plain = (one if isinstance(one, str | int | float) else repr(one) for one in taken)
    return tuple(sorted(plain, key=lambda one: (type(one).__name__, str(one))))

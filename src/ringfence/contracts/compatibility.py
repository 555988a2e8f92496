"""Whether a consumer's view of a service fits what its provider offers.

A consumer declares only what it sends and reads, in classes of its own. `misfits` compares two
types structurally; `view_misfits` compares a consumer's Protocol with a provider's signature.
Constraints (`Meta(gt=0)`) are not compared: they are checked on each value at the boundary.
"""

from collections.abc import Iterator, Sequence

from msgspec import inspect as types

from ringfence.contracts.payload import adapter_of, choices, describe, members
from ringfence.errors import did_you_mean
from ringfence.kernel.ports import REQUIRED, Parameter, Signature

_OBJECTS = (types.StructType, types.DataclassType, types.TypedDictType)
_TUPLES = (types.TupleType, types.NamedTupleType)
_ARRAYS = (
    types.ListType,
    types.SetType,
    types.FrozenSetType,
    types.VarTupleType,
    types.CollectionType,
)
_MAPPINGS = (types.DictType, types.FrozenDictType)


def view_misfits(view: Signature, offer: Signature) -> list[str]:
    """List why a consumer's `view` of a service does not fit its provider's `offer`.

    Args:
        view: The signature of the consumer's Protocol.
        offer: The signature of the provider's method.

    Returns:
        One line for each misfit, naming the parameter or the path in the result; empty if it fits.
    """
    return [*_parameter_misfits(view.parameters, offer), *_result_misfits(view, offer)]


def payload_parameters(offer: Signature) -> Sequence[Parameter]:
    """Return what a caller passes by name: a lone Struct's fields stand for the Struct."""
    struct = sole_struct(offer)
    if struct is None:
        return offer.parameters
    known = members(struct) or []
    return [Parameter(m.key, m.hint, REQUIRED if m.required else None) for m in known]


def payload_keys(offer: Signature) -> Sequence[str] | None:
    """Return the names that a caller may pass; None where what is passed says so itself."""
    struct = sole_struct(offer)
    adapter = adapter_of(struct)
    if struct is None or adapter is None:
        return [parameter.name for parameter in payload_parameters(offer)]
    keys = adapter.keys(struct)
    return None if keys is None else sorted(keys)


def sole_struct(offer: Signature) -> type | None:
    """Return the object-like type that is the operation's only parameter, if that is its shape."""
    if len(offer.parameters) != 1:
        return None
    hint = offer.parameters[0].annotation
    return hint if isinstance(hint, type) and members(hint) is not None else None


def _parameter_misfits(sent: Sequence[Parameter], offer: Signature) -> Iterator[str]:
    if [p.name for p in sent] == [p.name for p in offer.parameters]:
        taken = {p.name: p for p in offer.parameters}
    else:
        taken = {p.name: p for p in payload_parameters(offer)}
    for parameter in sent:
        target = taken.get(parameter.name)
        if target is None:
            hint = did_you_mean(parameter.name, list(taken))
            yield f"it takes no parameter {parameter.name!r}{hint}"
        else:
            source = describe(parameter.annotation, sent=True)
            yield from misfits(source, describe(target.annotation), parameter.name)
    given = {parameter.name for parameter in sent}
    for name, target in taken.items():
        if target.default is REQUIRED and name not in given:
            yield f"it needs parameter {name!r}, which the view does not send"


def _result_misfits(view: Signature, offer: Signature) -> Iterator[str]:
    wanted = describe(view.result)
    if not isinstance(wanted, types.NoneType):
        yield from misfits(describe(offer.result, sent=True), wanted, "result")


def misfits(source: types.Type, target: types.Type, path: str) -> list[str]:
    """List why a value described by `source` cannot be read as `target`."""
    return list(_misfits(source, target, path, frozenset()))


def _misfits(
    source: types.Type, target: types.Type, path: str, seen: frozenset[tuple[object, object]]
) -> Iterator[str]:
    source, target = _bare(source), _bare(target)
    if isinstance(target, types.AnyType):
        return
    if isinstance(source, types.UnionType):
        for member in source.types:
            yield from _misfits(member, target, path, seen)
    elif isinstance(target, types.UnionType):
        attempts = [list(_misfits(source, member, path, seen)) for member in target.types]
        if all(attempts):
            yield (
                min(attempts, key=len)[0]
                if len(target.types) == 2
                else _differ(source, target, path)
            )
    elif isinstance(target, _OBJECTS) and isinstance(source, _OBJECTS):
        pair = (source.cls, target.cls)
        if pair not in seen:
            yield from _field_misfits(source, target, path, seen | {pair})
    elif isinstance(target, _TUPLES) and isinstance(source, _TUPLES):
        yield from _tuple_misfits(source, target, path, seen)
    elif isinstance(target, _ARRAYS) and isinstance(source, _ARRAYS):
        yield from _misfits(source.item_type, target.item_type, f"{path}[]", seen)
    elif isinstance(target, _MAPPINGS) and isinstance(source, _MAPPINGS):
        yield from _misfits(source.key_type, target.key_type, f"{path} key", seen)
        yield from _misfits(source.value_type, target.value_type, f"{path} value", seen)
    elif not _scalar_fits(source, target):
        yield _differ(source, target, path)


def _bare(described: types.Type) -> types.Type:
    """Return a type without what `Meta` says of it for people: a description, a title."""
    while isinstance(described, types.Metadata):
        described = described.type
    return described


def _field_misfits(
    source: types.Type, target: types.Type, path: str, seen: frozenset[tuple[object, object]]
) -> Iterator[str]:
    assert isinstance(source, _OBJECTS)
    assert isinstance(target, _OBJECTS)
    offered = {field.encode_name: field for field in source.fields}
    may_lack = isinstance(source, types.TypedDictType)
    for wanted in target.fields:
        below = f"{path}.{wanted.encode_name}"
        field = offered.pop(wanted.encode_name, None)
        if field is not None:
            if wanted.required and may_lack and not field.required:
                yield f"{below}: the provider's {source.cls.__name__} may lack it"
            yield from _misfits(field.type, wanted.type, below, seen)
        elif wanted.required:
            hint = did_you_mean(wanted.encode_name, list(offered))
            yield f"{below}: the provider's {source.cls.__name__} has no such field{hint}"
    if isinstance(target, types.StructType) and target.forbid_unknown_fields and offered:
        yield f"{path}: {target.cls.__name__} forbids unknown fields, such as {min(offered)!r}"


def _tuple_misfits(
    source: types.Type, target: types.Type, path: str, seen: frozenset[tuple[object, object]]
) -> Iterator[str]:
    given, taken = _item_types(source), _item_types(target)
    if len(given) != len(taken):
        yield f"{path}: {len(given)} items do not fit {len(taken)}"
        return
    for index, (mine, theirs) in enumerate(zip(given, taken, strict=True)):
        yield from _misfits(mine, theirs, f"{path}[{index}]", seen)


def _item_types(described: types.Type) -> Sequence[types.Type]:
    if isinstance(described, types.NamedTupleType):
        return [field.type for field in described.fields]
    return described.item_types if isinstance(described, types.TupleType) else ()


def _scalar_fits(source: types.Type, target: types.Type) -> bool:
    match source, target:
        case (types.IntType(), types.FloatType()):
            return True
        case (types.LiteralType() | types.EnumType(), types.LiteralType() | types.EnumType()):
            return set(choices(source) or ()) <= set(choices(target) or ())
        case (
            types.LiteralType(values=given),
            types.StrType() | types.IntType() | types.FloatType(),
        ):
            kind = str if isinstance(target, types.StrType) else int
            return all(isinstance(value, kind) for value in given)
        case (types.CustomType(cls=given), types.CustomType(cls=taken)):
            return issubclass(given, taken)
        case _:
            return type(source) is type(target)


def _differ(source: types.Type, target: types.Type, path: str) -> str:
    return f"{path}: {_word(source)} does not fit {_word(target)}"


def _word(described: types.Type) -> str:
    """Name a described type as an author would write it."""
    if isinstance(described, types.UnionType):
        return " | ".join(_word(member) for member in described.types)
    if isinstance(described, _ARRAYS):
        return f"{_plain(described)}[{_word(described.item_type)}]"
    if isinstance(described, (*_OBJECTS, types.NamedTupleType, types.EnumType, types.CustomType)):
        return described.cls.__name__
    return _plain(described)


def _plain(described: types.Type) -> str:
    return type(described).__name__.removesuffix("Type").lower()

"""Payloads at the boundary: read a mapping into typed arguments, and name every fault in it.

msgspec validates in one pass and stops at the first fault. The pass that succeeds costs nothing
more; a payload that fails is read again, field by field, so that the answer lists all its faults.
"""

import dataclasses
import difflib
import functools
import re
import types
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import (
    Annotated,
    NotRequired,
    Required,
    TypeGuard,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)
from uuid import UUID

from msgspec import Struct, ValidationError, convert, to_builtins
from msgspec import inspect as types_of
from msgspec.structs import fields as struct_fields

from ringfence.errors import Fault, Invalid

T = TypeVar("T")
_MESSAGE = re.compile(r"^(?P<what>.*?)(?: - at `\$?(?P<path>[^`]*)`)?$", re.DOTALL)
_SEQUENCES = (list, tuple, set, frozenset, Sequence)
_MAPPINGS = (dict, Mapping)
# What plain data keeps as it is, beside what JSON knows.
_KEPT = (bytes, datetime, date, time, timedelta, Decimal, UUID)


class Member(Struct, frozen=True):
    """One field of an object-like type: the key in a payload, its type hint, whether it must be."""

    key: str
    hint: object
    required: bool


def read(value: object, hint: type[T], subject: str) -> T:
    """Convert `value` into `hint`; raise `Invalid` with every fault otherwise."""
    try:
        return conform(value, hint)
    except ValidationError:
        raise Invalid(
            "the payload does not fit", subject=subject, faults=faults(value, hint)
        ) from None


def conform(value: object, hint: type[T], *, strict: bool = True) -> T:
    """Convert `value` into `hint` or raise ValidationError; by attributes, as msgspec does.

    What has no attributes to read (a TypedDict, an Enum of another module, fields under other
    names) goes by way of plain data.
    """
    try:
        return convert(value, hint, strict=strict, from_attributes=True, str_keys=True)
    except ValidationError:
        try:
            plain = to_plain(value)
        except TypeError:
            plain = value  # of no class that has plain data: what is wrong was said above
        return convert(plain, hint, strict=strict, from_attributes=True, str_keys=True)


def to_plain(value: object) -> object:
    """Return `value` as dicts, lists and scalars."""
    plain: object = to_builtins(value, builtin_types=_KEPT)
    return plain


def describe(hint: object) -> types_of.Type:
    """Return msgspec's description of a type hint; raises TypeError for what it cannot read.

    While an application starts, each type is described once: see `forget_descriptions`.
    """
    try:
        return _described(hint)
    except TypeError:
        return types_of.type_info(hint)  # a hint that cannot be hashed; or the error itself


@functools.lru_cache(maxsize=64)
def _described(hint: object) -> types_of.Type:
    return types_of.AnyType() if hint is object else types_of.type_info(hint)


def forget_descriptions() -> None:
    """Let go of the described types: kept, they would hold every class of a stopped application."""
    _described.cache_clear()


def faults(value: object, hint: object, *, strict: bool = True) -> list[Fault]:
    """List everything that keeps `value` from being read as `hint`; empty when it fits.

    Args:
        value: Decoded data: mappings, sequences, scalars; or objects of other classes.
        hint: A type that msgspec reads.
        strict: As in msgspec; False also reads numbers and booleans from text.
    """
    found: list[Fault] = []
    _examine(value, hint, "$", strict, found)
    return found


def _examine(value: object, hint: object, path: str, strict: bool, found: list[Fault]) -> None:
    before = len(found)
    shape = _unwrap(hint, value)
    known = members(shape)
    item_hint = _item_hint(shape)
    given = _fields_of(value) if known is not None else value
    if known is not None and _is_mapping(given):
        _examine_members(given, shape, known, path, strict, found)
    elif item_hint is not None and _is_sequence(value):
        for index, item in enumerate(value):
            _examine(item, item_hint, f"{path}[{index}]", strict, found)
    elif get_origin(shape) in _MAPPINGS and _is_mapping(value):
        for key, item in value.items():
            _examine(item, get_args(shape)[1], f"{path}.{key}", strict, found)
    if len(found) == before:
        _examine_whole(value, hint, path, strict, found)


def _fields_of(value: object) -> object:
    """Return the fields of an object by the keys that they have in plain data."""
    if isinstance(value, Struct):
        return {f.encode_name: getattr(value, f.name) for f in struct_fields(type(value))}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    return value


def _is_mapping(value: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(value, Mapping)


def _is_sequence(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list | tuple)


def _examine_members(
    value: Mapping[str, object],
    shape: object,
    known: Sequence[Member],
    path: str,
    strict: bool,
    found: list[Fault],
) -> None:
    for member in known:
        if member.key in value:
            _examine(value[member.key], member.hint, f"{path}.{member.key}", strict, found)
        elif member.required:
            found.append(Fault(f"{path}.{member.key}", "is missing"))
    names = [member.key for member in known]
    found += [
        Fault(f"{path}.{key}", f"unknown field{did_you_mean(str(key), names)}")
        for key in value
        if key not in names and _forbids_unknown(shape)
    ]


def _forbids_unknown(shape: object) -> bool:
    if not (isinstance(shape, type) and issubclass(shape, Struct)):
        return False
    return shape.__struct_config__.forbid_unknown_fields


def _examine_whole(
    value: object, hint: object, path: str, strict: bool, found: list[Fault]
) -> None:
    try:
        conform(value, cast("type[object]", hint), strict=strict)
    except ValidationError as error:
        parts = _MESSAGE.match(str(error))
        what, below = (parts["what"], parts["path"] or "") if parts else (str(error), "")
        if what.startswith("Invalid enum value") and not below:
            what = _expected_choice(what, _unwrap(hint, value))
        found.append(Fault(path + below, what))


def _expected_choice(what: str, shape: object) -> str:
    """Name the values that an Enum or a Literal has; msgspec names only the wrong one."""
    described = describe(shape)
    if isinstance(described, types_of.LiteralType):
        taken = list(described.values)
    elif isinstance(described, types_of.EnumType):
        taken = [member.value for member in described.cls]
    else:
        return what
    got = what.removeprefix("Invalid enum value ")
    return f"Expected one of {', '.join(map(repr, taken))}, got {got}"


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return `; did you mean ...?` when one of `known` is close to `word`, else nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def members(hint: object) -> list[Member] | None:
    """Return the fields of a Struct, dataclass or TypedDict; None for any other type."""
    if not is_class(hint):
        return None
    if issubclass(hint, Struct):
        return [Member(f.encode_name, f.type, f.required) for f in struct_fields(hint)]
    cls: type[object] = hint
    if is_typeddict(cls):
        required: frozenset[str] = getattr(cls, "__required_keys__", frozenset())
        hints = get_type_hints(cls, include_extras=True)
        return [Member(k, _inner(v), k in required) for k, v in hints.items()]
    if dataclasses.is_dataclass(cls):
        hints = get_type_hints(cls, include_extras=True)
        return [Member(f.name, hints[f.name], _no_default(f)) for f in dataclasses.fields(cls)]
    return None


def is_class(hint: object) -> TypeGuard[type[object]]:
    """Whether a type hint is a plain class."""
    return isinstance(hint, type)


def _inner(hint: object) -> object:
    """Strip what only a TypedDict's keys may say."""
    return get_args(hint)[0] if get_origin(hint) in (Required, NotRequired) else hint


def _no_default(field: "dataclasses.Field[object]") -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _unwrap(hint: object, value: object) -> object:
    """Strip `Annotated`, and `| None` where the value is there."""
    if get_origin(hint) is Annotated:
        return _unwrap(get_args(hint)[0], value)
    if get_origin(hint) in (Union, types.UnionType):
        rest = [arm for arm in get_args(hint) if arm is not type(None)]
        if len(rest) == 1 and value is not None:
            return _unwrap(rest[0], value)
    return hint


def _item_hint(hint: object) -> object | None:
    args = get_args(hint)
    if get_origin(hint) in _SEQUENCES and args and (len(args) == 1 or args[1] is Ellipsis):
        item: object = args[0]
        return item
    return None

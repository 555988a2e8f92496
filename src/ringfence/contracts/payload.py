"""Payloads at the boundary: read a mapping into typed arguments, and name every fault in it.

msgspec validates in one pass and stops at the first fault. The pass that succeeds costs nothing
more; a payload that fails is read again, field by field, so that the answer lists all its faults.
Classes that msgspec does not know are carried by an `Adapter`, of the package that they come from.
"""

import dataclasses
import functools
import re
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from inspect import isawaitable
from itertools import islice
from typing import (
    Annotated,
    NotRequired,
    Protocol,
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

from ringfence.errors import Fault, Invalid, did_you_mean

T = TypeVar("T")
_MESSAGE = re.compile(r"^(?P<what>.*?)(?: - at `\$?(?P<path>[^`]*)`)?$", re.DOTALL)
_SEQUENCES = (list, tuple, set, frozenset, Sequence)
_MAPPINGS = (dict, Mapping)
MOST_FAULTS = 100  # that are looked for: whoever sent a payload decides how many there are
_AT_ONCE = 64  # items that are read together, and one by one if they have a fault
_SAID_OF_KEYS = (Required, NotRequired)  # in a TypedDict alone
# Where msgspec's descriptions hold others; the rest of their fields are constraints.
_HOLDS = {"fields", "item_type", "item_types", "key_type", "type", "types", "value_type"}
_OPEN = Struct.__struct_config__
# What plain data keeps as it is, beside what JSON knows.
_KEPT = (bytes, datetime, date, time, timedelta, Decimal, UUID)


class Adapter(Protocol):
    """How the classes of another package are carried: a module with these functions.

    It is announced by an entry point of the group `ringfence.payloads`, named after that package.
    """

    def carries(self, cls: type) -> bool:
        """Whether it knows a class that has bases from its package."""
        ...

    def describe(self, cls: type, sent: bool) -> types_of.Type:
        """Describe its plain data: as it is read, or, if `sent`, as it is written. Raises
        TypeError where it has none."""
        ...

    def keys(self, cls: type) -> frozenset[str] | None:
        """Return the keys that `read` knows, if it ignores all others; None if it does not."""
        ...

    def read(self, cls: type, value: object, strict: bool) -> object:
        """Make an instance of plain data; raises ValueError. Not `strict`: of text as well."""
        ...

    def faults(self, cls: type, value: object, strict: bool) -> list[Fault]:
        """List all that keeps plain data from being read; paths begin with `$`."""
        ...

    def plain(self, value: object) -> object:
        """Return an instance as what JSON knows."""
        ...

    def json(self, value: object) -> bytes:
        """Return an instance as JSON."""
        ...

    def schema(self, cls: type, sent: bool, reference: str) -> dict[str, object]:
        """Return its JSON Schema, with what it refers to under `$defs`.

        Args:
            cls: The class.
            sent: As for `describe`.
            reference: How a schema refers to another, with `{model}` for its name.
        """
        ...


@functools.cache
def _announced() -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="ringfence.payloads")}


@functools.lru_cache(maxsize=256)
def _adapter(module: str) -> Adapter | None:
    package = module.partition(".")[0]
    # What is installed is read, which takes its time, once some class may be carried.
    known = package == "msgspec" or package in sys.stdlib_module_names
    point = None if known else _announced().get(package)
    return point.load() if point is not None else None


def adapter_of(cls: object) -> Adapter | None:
    """Return what carries a class that msgspec does not know; None where nothing does."""
    if not is_class(cls) or issubclass(cls, Struct):
        return None
    adapters = (_adapter(base.__module__) for base in cls.__mro__[1:])
    return next((one for one in adapters if one is not None and one.carries(cls)), None)


def carry_in(cls: type, value: object, strict: bool = True) -> object:
    """Read an instance of a class that msgspec does not know: its `dec_hook`; `carry_text_in` is
    that of `strict=False`."""
    if isinstance(value, cls):
        return value
    adapter = adapter_of(cls)
    if adapter is None:
        raise TypeError(f"Expected `{cls.__name__}`, got `{type(value).__name__}`")
    return adapter.read(cls, value, strict)


carry_text_in = partial(carry_in, strict=False)


def carry_out(value: object) -> object:
    """Return an object that msgspec does not know as plain data: its `enc_hook`."""
    adapter = adapter_of(type(value))
    if isinstance(value, types.CoroutineType):
        value.close()  # or a warning would name whatever line drops it
        raise TypeError(f"{value.__qualname__}() was called without `await` before it")
    if adapter is None:
        hint = " Write `await` in front of it." if isawaitable(value) else ""
        raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported.{hint}")
    return adapter.plain(value)


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


def conform(
    value: object, hint: type[T], *, strict: bool = True, from_attributes: bool = True
) -> T:
    """Convert `value` into `hint` or raise ValidationError; by attributes, as msgspec does.

    What has no attributes to read (a TypedDict, an Enum of another module, fields under other
    names, whatever an adapter carries) goes by way of plain data.
    """
    hook = carry_in if strict else carry_text_in
    try:
        return convert(
            value,
            hint,
            strict=strict,
            from_attributes=from_attributes,
            str_keys=True,
            dec_hook=hook,
        )
    except ValidationError:
        plain = _plain_or_same(value)
        return convert(
            plain, hint, strict=strict, from_attributes=True, str_keys=True, dec_hook=hook
        )


def to_plain(value: object) -> object:
    """Return `value` as dicts, lists and scalars."""
    return cast("object", to_builtins(value, builtin_types=_KEPT, enc_hook=carry_out))


def _plain_or_same(value: object) -> object:
    try:
        return to_plain(value)
    except TypeError:
        return value  # of no class that has plain data: what is wrong is said elsewhere


def describe(hint: object, *, sent: bool = False) -> types_of.Type:
    """Return msgspec's description of a type hint; raises TypeError for what it cannot read.

    While an application starts, each type is described once: see `forget_descriptions`.

    Args:
        hint: A type hint, or what has been described already.
        sent: What its values look like when they are written, where that is another thing.
    """
    return hint if isinstance(hint, types_of.Type) else _description(hint, sent)[0]


def is_carried(hint: object) -> bool:
    """Whether an adapter carries a class that a type hint is made of."""
    return _description(hint, True)[1]


def _description(hint: object, sent: bool) -> tuple[types_of.Type, bool]:
    try:
        return _described(hint, sent)
    except TypeError:
        return _described.__wrapped__(hint, sent)  # it cannot be hashed; or the error itself


@functools.lru_cache(maxsize=64)
def _described(hint: object, sent: bool) -> tuple[types_of.Type, bool]:
    whole = types_of.ListType(types_of.AnyType() if hint is object else types_of.type_info(hint))
    carried = _fill(whole, sent, set())
    return whole.item_type, carried


def _fill(holder: Struct, sent: bool, seen: set[int]) -> bool:
    """Let adapters describe what msgspec cannot; say whether there was any."""
    carried = False
    for name in _HOLDS.intersection(holder.__struct_fields__):
        value: object = getattr(holder, name)
        parts = cast("tuple[object, ...]", value if isinstance(value, tuple) else (value,))
        for i, part in enumerate(parts):
            adapter = adapter_of(part.cls) if isinstance(part, types_of.CustomType) else None
            if adapter is not None and isinstance(part, types_of.CustomType):
                parts = (*parts[:i], adapter.describe(part.cls, sent), *parts[i + 1 :])
                setattr(holder, name, parts if isinstance(value, tuple) else parts[0])
                carried = True
            elif isinstance(part, types_of.Type | types_of.Field) and id(part) not in seen:
                seen.add(id(part))
                carried |= _fill(part, sent, seen)
    return carried


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
    try:
        _examine(value, hint, "$", strict, found)
    except _Enough:
        found[MOST_FAULTS:] = [Fault("$", f"and more; the first {MOST_FAULTS} faults are listed")]
    return found


class _Enough(Exception):
    """As many faults have been found as are listed."""


def _examine(value: object, hint: object, path: str, strict: bool, found: list[Fault]) -> None:
    before = len(found)
    shape = _unwrap(hint, value)
    known = members(shape)
    item_hint = _item_hint(shape)
    given = _fields_of(value) if known is not None else value
    adapter = adapter_of(shape)
    if adapter is not None and is_class(shape):
        below = adapter.faults(shape, _plain_or_same(value), strict)
        found += [Fault(path + fault.path[1:], fault.message) for fault in below]
    elif known is not None and _is_mapping(given):
        _examine_members(given, shape, known, path, strict, found)
    elif item_hint is not None and _is_sequence(value):
        _examine_each(value, lambda i: f"{path}[{i}]", item_hint, strict, found)
    elif get_origin(shape) in _MAPPINGS and _is_mapping(value):
        keys, items = list(value), list(value.values())
        _examine_each(items, lambda i: f"{path}.{keys[i]}", get_args(shape)[1], strict, found)
    if len(found) == before:
        _examine_whole(value, hint, path, strict, found)
    if len(found) > MOST_FAULTS:
        raise _Enough


def _examine_each(
    items: Sequence[object],
    path_of: Callable[[int], str],
    hint: object,
    strict: bool,
    found: list[Fault],
) -> None:
    several = types.GenericAlias(list, (hint,))
    for start in range(0, len(items), _AT_ONCE):  # so that one fault among many is found quickly
        part, wrong = items[start : start + _AT_ONCE], list[Fault]()
        _examine_whole(part, several, "", strict, wrong)
        for index, item in enumerate(part if wrong else (), start):
            _examine(item, hint, path_of(index), strict, found)


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
    closed = getattr(shape, "__struct_config__", _OPEN).forbid_unknown_fields
    unknown = (key for key in value if closed and key not in names)
    found += [
        Fault(f"{path}.{key}", f"unknown field{did_you_mean(str(key), names)}")
        for key in islice(unknown, MOST_FAULTS + 1)
    ]


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
    taken = choices(describe(shape))
    if taken is None:
        return what
    got = what.removeprefix("Invalid enum value ")
    return f"Expected one of {', '.join(map(repr, taken))}, got {got}"


def choices(described: types_of.Type) -> Sequence[object] | None:
    """Return the values that an Enum or a Literal takes; None for any other type."""
    if isinstance(described, types_of.LiteralType):
        return described.values
    if isinstance(described, types_of.EnumType):
        return [member.value for member in described.cls]
    return None


def members(hint: object) -> list[Member] | None:
    """Return the fields of a Struct, dataclass, TypedDict or what an adapter carries as one; None
    for any other type."""
    if not is_class(hint):
        return None
    if issubclass(hint, Struct):
        return [Member(f.encode_name, f.type, f.required) for f in struct_fields(hint)]
    cls: type[object] = hint
    if is_typeddict(cls):
        required: frozenset[str] = getattr(cls, "__required_keys__", frozenset())
        hints = get_type_hints(cls, include_extras=True)
        bare = {
            k: get_args(v)[0] if get_origin(v) in _SAID_OF_KEYS else v for k, v in hints.items()
        }
        return [Member(key, hint, key in required) for key, hint in bare.items()]
    if dataclasses.is_dataclass(cls):
        hints = get_type_hints(cls, include_extras=True)
        return [
            Member(f.name, hints[f.name], f.default is f.default_factory is dataclasses.MISSING)
            for f in dataclasses.fields(cls)
        ]
    described = describe(cls) if adapter_of(cls) is not None else None
    if isinstance(described, types_of.StructType):
        return [Member(f.encode_name, f.type, f.required) for f in described.fields]
    return None


def is_class(hint: object) -> TypeGuard[type[object]]:
    """Whether a type hint is a plain class."""
    return isinstance(hint, type)


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
    several = args and (len(args) == 1 or args[1] is Ellipsis)
    return cast("object", args[0]) if several and get_origin(hint) in _SEQUENCES else None

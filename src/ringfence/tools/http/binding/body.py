"""The JSON body: bounded reading, and readers that forbid unknown fields at the top level.

`reader` returns how content becomes a value. A Struct is decoded as a derived class that forbids
unknown fields, then given back its declared class, which is one assignment and copies nothing; only
the top level is strict, a Struct or the items of a list or mapping, since what is below it keeps
its declared class throughout.
"""

import functools
import operator
import re
import types
from collections.abc import Callable, Mapping
from itertools import islice
from typing import (
    Annotated,
    NotRequired,
    Required,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from msgspec import (
    NODEFAULT,
    DecodeError,
    Struct,
    ValidationError,
    defstruct,
    inspect,
    json,
)
from msgspec.structs import fields as struct_fields

from ringfence.contracts.payload import MOST_FAULTS, Adapter, adapter_of, carry_in, faults
from ringfence.errors import Fault
from ringfence.kernel.ports import did_you_mean
from ringfence.tools.http.problem import Refused
from ringfence.tools.http.wire import Disconnected, Headers, Message, Receive

# A string or a number of JSON that is well formed; each is read once, whatever is in it.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|(-?\d++)(\.\d++)?([eE][+-]?\d++)?')


class BodyReader(Struct, frozen=True):
    """How content becomes a value of one type.

    `declared` is set when `decode` returns an instance of a derived class, which is to be given
    this class. `strict` is the type that a rejected body is explained by; `keys` are the fields
    that it has, where it would ignore others. `carried` is set when an adapter reads it, which
    lists no faults of what it can read.
    """

    decode: Callable[[bytes], object]
    strict: object
    declared: type[Struct] | None = None
    keys: frozenset[str] | None = None
    carried: bool = False

    def unknown(self, value: object) -> list[Fault]:
        """Name the fields that are refused, though `strict` ignores them."""
        keys = self.keys
        if keys is None or not isinstance(value, dict):
            return []
        known = sorted(keys)
        unknown = (name for name in value if name not in keys)
        return [
            Fault(f"$.{name}", f"unknown field{did_you_mean(name, known)}")
            for name in islice(unknown, MOST_FAULTS + 1)  # whoever sends it decides how many
        ]


def reader(hint: object) -> BodyReader:
    """Return how a body is read as `hint`: a Struct, a union of tagged Structs, a dataclass, a
    TypedDict, what an adapter carries, or a collection of those."""
    arms = _struct_arms(hint)
    if len(arms) == 1:
        return BodyReader(_decoder(_strict(arms[0])), _strict(arms[0]), arms[0])
    if arms:
        return _union_reader(arms)
    items = item_structs(hint)
    if items:
        return _items_reader(hint, items)
    carried = _carried_arm(hint)
    if carried is not None:
        return _carried_reader(hint, *carried)
    decode = _decoder(hint)
    mirror = _mirror(hint)
    if mirror is None:
        return BodyReader(decode, hint)
    check = _decoder(mirror)

    def decode_checked(content: bytes) -> object:
        check(content)
        return decode(content)

    return BodyReader(decode_checked, mirror)


def _decoder(hint: object) -> Callable[[bytes], object]:
    return json.Decoder(cast("type[object]", hint), dec_hook=carry_in).decode


def _struct_arms(hint: object) -> list[type[Struct]]:
    """The Struct that a hint is, or those that it is a union of; nothing for any other type."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    union = get_origin(hint) in (Union, types.UnionType)
    arms = [arm for arm in get_args(hint) if arm is not type(None)] if union else [hint]
    if all(isinstance(arm, type) and issubclass(arm, Struct) for arm in arms):
        return cast("list[type[Struct]]", arms)
    return []


def _strict(declared: type[Struct]) -> type[Struct]:
    config = declared.__struct_config__
    return defstruct(
        declared.__name__,
        [],
        bases=(declared,),
        module=declared.__module__,
        forbid_unknown_fields=True,
        frozen=False,  # so that an instance can be given back its declared class
        tag=config.tag,
        tag_field=config.tag_field,
    )


def _union_reader(arms: list[type[Struct]]) -> BodyReader:
    declared: dict[type, type[Struct]] = {_strict(arm): arm for arm in arms}
    union = functools.reduce(operator.or_, declared)  # of classes known only now
    decode = _decoder(union)

    def decode_declared(content: bytes) -> object:
        value: object = decode(content)
        value.__class__ = declared[type(value)]
        return value

    return BodyReader(decode_declared, union)


def item_structs(hint: object) -> list[type[Struct]]:
    """Return the Structs that the items of a list or mapping have one of; none for other types."""
    if get_origin(hint) is Annotated:
        return item_structs(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        arms = [arm for arm in get_args(hint) if arm is not type(None)]
        return item_structs(arms[0]) if len(arms) == 1 else []
    return _struct_arms(get_args(hint)[-1]) if get_origin(hint) in (list, dict) else []


def _items_reader(hint: object, items: list[type[Struct]]) -> BodyReader:
    declared: dict[type, type[Struct]] = {_strict(item): item for item in items}
    whole = _replaced(hint, {item: strict for strict, item in declared.items()})
    decode = _decoder(whole)

    def decode_declared(content: bytes) -> object:
        value = cast("list[object] | dict[str, object] | None", decode(content))
        for item in value.values() if isinstance(value, dict) else value or ():
            if item is not None:
                item.__class__ = declared[type(item)]
        return value

    return BodyReader(decode_declared, whole)


def _replaced(hint: object, classes: Mapping[type[Struct], type]) -> object:
    """Return a type hint that has other classes in the place of some."""
    if isinstance(hint, type) and issubclass(hint, Struct):
        return classes[hint]
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return Annotated[(_replaced(args[0], classes), *args[1:])]
    arms = [_replaced(arm, classes) for arm in args]
    if origin in (Union, types.UnionType):
        return functools.reduce(operator.or_, arms)
    return types.GenericAlias(origin, tuple(arms)) if isinstance(origin, type) else hint


def _carried_arm(hint: object) -> tuple[type, Adapter] | None:
    """The class that a hint is, or `| None`, if an adapter carries it."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    arms = [arm for arm in get_args(hint) if arm is not type(None)]
    if get_origin(hint) in (Union, types.UnionType) and len(arms) == 1:
        return _carried_arm(arms[0])
    adapter = adapter_of(hint)
    return (hint, adapter) if adapter is not None and isinstance(hint, type) else None


def _carried_reader(hint: object, cls: type, adapter: Adapter) -> BodyReader:
    parse = json.Decoder().decode
    keys = adapter.keys(cls)
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    optional = type(None) in get_args(bare)

    def decode(content: bytes) -> object:
        value: object = parse(content)
        if value is None and optional:
            return None
        if keys is not None and isinstance(value, dict) and not keys.issuperset(value):
            raise ValidationError("Object contains unknown fields")
        try:
            return adapter.read(cls, value, True)
        except ValueError as error:
            raise ValidationError(str(error)) from None

    return BodyReader(decode, hint, keys=keys, carried=True)


def _mirror(hint: object) -> type[Struct] | None:
    """A strict Struct of the same fields as a dataclass, TypedDict or generic Struct."""
    match inspect.type_info(hint):
        case inspect.StructType(cls=cls) if not isinstance(hint, type):
            known = [(f.name, f.encode_name, f.type, f.required) for f in struct_fields(cls)]
        case inspect.DataclassType(cls=cls) | inspect.TypedDictType(cls=cls) as info:
            hints = get_type_hints(cls, include_extras=True)
            known = [(f.name, f.encode_name, _bare(hints[f.name]), f.required) for f in info.fields]
        case _:
            return None
    ordered = [(name, kind, NODEFAULT if required else None) for name, _, kind, required in known]
    return defstruct(
        getattr(hint, "__name__", "Body"),
        ordered,
        kw_only=True,
        forbid_unknown_fields=True,
        rename={name: key for name, key, _, _ in known},
    )


def _bare(hint: object) -> object:
    return get_args(hint)[0] if get_origin(hint) in (Required, NotRequired) else hint


def whole_numbers(content: bytes, error: BaseException) -> bytes | None:
    """Return a body that `error` refused with its `2.0` written as `2`: one integer to JSON.

    None where that is not what it was refused for, or it is no JSON.
    """
    if b".0" not in content or "got `float`" not in str(error):
        return None
    try:
        json.decode(content)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return _TOKEN.sub(_whole, content)


def _whole(token: re.Match[bytes]) -> bytes:
    digits, fraction, exponent = token.groups()
    return digits if fraction and not exponent and not fraction.strip(b".0") else token[0]


def explain(content: bytes, read: BodyReader) -> list[Fault]:
    """List every fault of a body that `read` has rejected.

    Raises:
        Refused: 400, when it is not JSON at all.
    """
    try:
        value: object = json.decode(content)
    except RecursionError:
        raise Refused(400, "json_too_deep", "the body is nested too deeply") from None
    except ValidationError as wrong:
        return [Fault("$", str(wrong))]
    except (DecodeError, UnicodeDecodeError) as wrong:
        raise Refused(400, "malformed_json", _position(content, wrong)) from None
    return [*read.unknown(value), *faults(value, read.strict)]


def _position(content: bytes, error: Exception) -> str:
    if not content:
        return "the body is empty; expected JSON"
    if isinstance(error, UnicodeDecodeError) or "UTF-8" in str(error):
        return "the body is not UTF-8"
    said = str(error)
    return said if "(byte " in said else f"{said} (byte {len(content)})"


async def read_rest(
    content: bytes, message: Message, receive: Receive, headers: Headers, limit: int
) -> bytes:
    """Read a body that did not come in one piece; hold at most one piece more than `limit`.

    Raises:
        Refused: 413.
        Disconnected: The client went away.
    """
    refuse_long(headers, limit)
    pieces = [content]
    size_bytes = len(content)
    while True:
        if message["type"] != "http.request":
            raise Disconnected
        if size_bytes > limit:
            raise too_long(limit)
        if not message.get("more_body", False):
            return b"".join(pieces)
        message = await receive()
        pieces.append(message.get("body", b""))
        size_bytes += len(pieces[-1])


def refuse_long(headers: Headers, limit: int) -> None:
    """Raise `Refused` (413) when a body announces that it is longer than `limit`."""
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and int(value[:20]) > limit:
            raise too_long(limit)


def too_long(limit: int) -> Refused:
    """Return the refusal of a body of more than `limit` bytes; it ends the connection."""
    return Refused(
        413,
        "body_too_long",
        f"the body is longer than {limit} bytes",
        headers=((b"connection", b"close"),),
    )


def expect_json(headers: Headers, content: bytes) -> None:
    """Raise `Refused` (415) when there is a body that does not say that it is JSON."""
    if not content:
        return
    given = b"no content type"
    for name, value in headers:
        if name == b"content-type":
            given = value.partition(b";")[0].strip().lower()
    kind, _, subtype = given.partition(b"/")
    if kind != b"application" or not (subtype == b"json" or subtype.endswith(b"+json")):
        raise Refused(
            415,
            "unsupported_media_type",
            "expected a body of type application/json; set the header Content-Type",
            headers=((b"accept", b"application/json"),),
        )

"""Results as they are declared: what a subclass knows more of does not leave.

`narrowing(declared)` returns what makes a result exactly that. A value of the declared classes
passes as it is; anything else is read as what is declared, as a consumer reads a service's result.
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import cast
from uuid import UUID

from msgspec import Struct, ValidationError, convert, inspect, to_builtins

from ringfence.contracts.payload import carry_in, carry_out

Exact = Callable[[object], bool]
_SEVERAL = (
    inspect.ListType,
    inspect.SetType,
    inspect.FrozenSetType,
    inspect.VarTupleType,
    inspect.CollectionType,
)
# What plain data keeps as it is, on its way from one class to another.
_KEPT = (bytes, datetime, date, time, timedelta, Decimal, UUID)
_SCALARS = (str, int, float, *_KEPT)


class Narrowing(Struct, frozen=True):
    """How a result becomes what is declared.

    Args:
        cls: The class whose instances pass as they are, where that is all there is to ask.
        narrow: Takes any result. Raises ValidationError for one that does not fit.
    """

    cls: type | None
    narrow: Callable[[object], object]


def narrowing(declared: object) -> Narrowing | None:
    """Return how results of a type are narrowed; None where they cannot be more than it.

    Args:
        declared: A type that JSON carries.
    """
    # As msgspec sees it: what an adapter carries is a class to it, and writes itself as declared.
    info = _bare(inspect.AnyType() if declared is object else inspect.type_info(declared))
    exact = _exact(info, ())
    if exact is _always:
        return None

    def narrow(value: object) -> object:
        if exact(value):
            return value
        plain = to_builtins(value, builtin_types=_KEPT, enc_hook=carry_out)
        wanted = cast("type[object]", declared)
        try:
            return convert(plain, wanted, str_keys=True, dec_hook=carry_in)
        except ValidationError as error:
            named = getattr(declared, "__name__", declared)
            got = type(value).__name__
            said = f"the result, a {got}, does not fit what is declared, {named}: {error}"
            raise ValidationError(said) from error

    return Narrowing(_sole_class(info), narrow)


def nothing_but(declared: object) -> Callable[[], None]:
    """Return what is called where a handler has returned None.

    It raises TypeError where None is not among the results that a type declares: the document of
    the application promises each client a value.
    """
    info = inspect.AnyType() if declared is object else inspect.type_info(declared)
    told = getattr(declared, "__name__", None) if isinstance(declared, type) else declared

    def refuse() -> None:
        raise TypeError(f"the handler returned None, and declares {told}")

    return _accept if _takes_none(info) else refuse


def _accept() -> None:
    """Let None be answered."""


def _takes_none(info: inspect.Type) -> bool:
    match info:
        case inspect.Metadata(type=inner):
            return _takes_none(inner)
        case inspect.UnionType(types=arms):
            return any(map(_takes_none, arms))
        case _:
            return isinstance(info, inspect.AnyType | inspect.NoneType)


def _sole_class(info: inspect.Type) -> type | None:
    if not isinstance(info, inspect.StructType | inspect.DataclassType):
        return None
    plain = all(_exact(field.type, ()) is _always for field in info.fields)
    return _class_of(info) if plain else None


def _bare(info: inspect.Type) -> inspect.Type:
    """Strip metadata, and `| None`: None is never more than itself."""
    while isinstance(info, inspect.Metadata):
        info = info.type
    if isinstance(info, inspect.UnionType):
        arms = [arm for arm in info.types if not isinstance(arm, inspect.NoneType)]
        if len(arms) == 1:
            return _bare(arms[0])
    return info


def _class_of(info: inspect.StructType | inspect.DataclassType) -> type:
    """The class of its instances; that of `Page[Order]` is `Page`."""
    return cast("type", getattr(info.cls, "__origin__", info.cls))


def _always(value: object) -> bool:
    return True


def _never(value: object) -> bool:
    return False


def _exact(info: inspect.Type, above: tuple[type, ...]) -> Exact:
    """Return what says whether a value is no more than is declared; `_always` where none can be.

    Args:
        info: What is declared.
        above: The classes that it is a part of. One that is a part of itself is always read anew.
    """
    match _bare(info):
        case inspect.StructType() | inspect.DataclassType() as described:
            return _exact_object(described, above)
        case inspect.CustomType(cls=cls):
            return lambda value: value is None or value.__class__ is cls
        case inspect.UnionType(types=arms):
            checks = [check for arm in arms if (check := _exact(arm, above)) is not _always]
            return _any_of(checks) if checks else _always
        case inspect.DictType(value_type=inner):
            each = _exact(inner, above)
            return each if each is _always else _values_all(each)
        case inspect.TypedDictType():
            return _never
        case inspect.TupleType(item_types=parts):
            return _always if all(_exact(p, above) is _always for p in parts) else _never
        case described if isinstance(described, _SEVERAL):
            each = _exact(described.item_type, above)
            return each if each is _always else _all(each)
        case _:
            return _always


def _exact_object(
    info: inspect.StructType | inspect.DataclassType, above: tuple[type, ...]
) -> Exact:
    cls = _class_of(info)
    if cls in above:
        return _never
    checks = [(field.name, _exact(field.type, (*above, cls))) for field in info.fields]
    asked = [(name, check) for name, check in checks if check is not _always]

    def is_exact(value: object) -> bool:
        if value is None or value.__class__ is cls:
            return all(check(getattr(value, name, None)) for name, check in asked)
        return False

    return is_exact


def _any_of(checks: Iterable[Exact]) -> Exact:
    return lambda value: isinstance(value, _SCALARS) or any(check(value) for check in checks)


def _all(each: Exact) -> Exact:
    return lambda value: value is None or (isinstance(value, Iterable) and all(map(each, value)))


def _values_all(each: Exact) -> Exact:
    return lambda value: (
        value is None or (isinstance(value, dict) and all(map(each, value.values())))
    )

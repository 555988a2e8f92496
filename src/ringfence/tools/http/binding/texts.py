"""Values that a client writes as texts under names: in a query, in headers, cookies and forms.

`Named` is one value or several under one name, `Whole` an object, a field from each name. Both read
with `take`, which raises at the first fault, and list every fault with `explain`.
"""

from typing import ClassVar, cast

from msgspec import Struct, ValidationError, convert

from ringfence.contracts.payload import carry_text_in, faults
from ringfence.errors import Fault
from ringfence.kernel.ports import REQUIRED, Parameter
from ringfence.tools.http.binding.kinds import Kind, QueryField
from ringfence.tools.http.binding.query import Query

_GOT = ", got "
_TRUTHS = {"on": "true", "yes": "true", "off": "false", "no": "false"}  # beside those of msgspec


class Named(Struct, frozen=True):
    """The values under a name, among `place`; what they are is not told where it is `secret`."""

    place: ClassVar[str]
    secret: ClassVar[bool] = False

    parameter: Parameter
    field: QueryField

    def take(self, given: Query) -> object:
        """Read it. Raises ValidationError."""
        values = given.get(self.field.name)
        if values is None:
            if self.parameter.default is REQUIRED:
                raise ValidationError("is missing")
            return self.parameter.default
        return read_text(_given(values, self.field), self.field, self.parameter.annotation)

    def explain(self, sent: Query) -> list[Fault]:
        """List everything wrong with it."""
        place = f"{self.place}.{self.field.name}"
        values = sent.get(self.field.name)
        if values is None:
            required = self.parameter.default is REQUIRED
            return [Fault(place, "is missing")] if required else []
        if self.field.kind is Kind.SCALAR and len(values) > 1:
            return [Fault(place, f"is given {len(values)} times; expected once")]
        given = _given(values, self.field)
        found = explain_text(given, self.field, self.parameter.annotation, place)
        if self.secret:
            return [Fault(fault.path, fault.message.partition(_GOT)[0]) for fault in found]
        return found


class Whole(Struct, frozen=True):
    """An object, a field from each name among `place`.

    `known` are the names that may stand there; None: any.
    """

    place: ClassVar[str]

    parameter: Parameter
    fields: tuple[QueryField, ...]
    known: frozenset[str] | None = None

    def take(self, values: Query) -> object:
        """Read it. Raises ValidationError."""
        if not values and self.parameter.default is not REQUIRED:
            return self.parameter.default
        if self.known is not None and not self.known.issuperset(values):
            raise ValidationError("has an unknown field")
        given: dict[str, object] = {}
        for field in self.fields:
            texts = values.get(field.name)
            if texts is not None:
                given[field.name] = _given(texts, field)
                _refuse_infinite(given[field.name], field)
        return _convert(given, self.parameter.annotation)

    def explain(self, values: Query, hint: object) -> list[Fault]:
        """List everything wrong with it, read as `hint`, which refuses what is unknown."""
        if not values and self.parameter.default is not REQUIRED:
            return []
        found: list[Fault] = []
        given: dict[str, object] = {}
        if self.known is not None:
            given.update((name, None) for name in values if name not in self.known)
        for field in self.fields:
            texts = values.get(field.name, [])
            if texts:
                given[field.name] = _given(
                    texts if field.kind is Kind.REPEATED else texts[:1], field
                )
            place = f"{self.place}.{field.name}"
            if field.kind is Kind.SCALAR and len(texts) > 1:
                found.append(Fault(place, f"is given {len(texts)} times; expected once"))
            elif field.finite and any(map(_infinite, texts)):
                found.append(Fault(place, "is not a finite number"))
        for fault in faults(given, hint, strict=False):
            message = _named(fault.message, given.get(fault.path.removeprefix("$.")))
            found.append(Fault(under(self.place, fault.path), message))
        return found


def _given(values: list[str], field: QueryField) -> str | list[str]:
    if field.truth:
        values = [_TRUTHS.get(value.lower(), value) for value in values]
    if field.kind is Kind.REPEATED:
        return values
    if len(values) > 1:
        raise ValidationError("is given more than once")
    return values[0]


def read_text(given: object, field: QueryField, hint: object) -> object:
    """Read what a client wrote as `hint`. Raises ValidationError."""
    _refuse_infinite(given, field)
    return _convert(given, hint)


def _convert(given: object, hint: object) -> object:
    # A hint is read from a signature, and `plan` knows it for a type that msgspec reads.
    return convert(given, cast("type[object]", hint), strict=False, dec_hook=carry_text_in)


def _refuse_infinite(given: object, field: QueryField) -> None:
    if field.finite and any(map(_infinite, given if isinstance(given, list) else [given])):
        raise ValidationError("is not a finite number")


def _infinite(text: object) -> bool:
    return str(text).strip().lstrip("+-").lower().startswith(("nan", "snan", "inf"))


def explain_text(given: object, field: QueryField, hint: object, place: str) -> list[Fault]:
    """List everything wrong with it."""
    try:
        _refuse_infinite(given, field)
    except ValidationError as error:
        return [Fault(place, str(error))]
    return [
        Fault(under(place, fault.path), _named(fault.message, given))
        for fault in faults(given, hint, strict=False)
    ]


def under(place: str, path: str) -> str:
    """Return a place in an argument as one in the request."""
    return place + path.removeprefix("$")


def _named(message: str, given: object) -> str:
    """In a query everything is text: say which, where msgspec says `str`."""
    if isinstance(given, str):
        return message.replace("got `str`", f"got {given[:40]!r}")
    return message

"""Where one argument of an operation comes from, and how it is read from a request.

`take` reads it, and raises at the first fault; `faults` explains a request that was refused, and
lists them all. `shape.py` calls the first on every request, the second only after a failure.
"""

from typing import cast

from msgspec import MsgspecError, Struct, ValidationError, convert

from ringfence.errors import Fault
from ringfence.kernel.ports import REQUIRED, Parameter, faults
from ringfence.tools.http import body
from ringfence.tools.http.kinds import Kind, QueryField
from ringfence.tools.http.query import Query

# What a request is rejected for; anything else that reading it raises is a bug.
UNREADABLE = (MsgspecError, UnicodeDecodeError, RecursionError)


class Request(Struct, frozen=True):
    """The parts of a request that arguments come from."""

    captures: tuple[str, ...]
    query: Query
    content: bytes


class FromPath(Struct, frozen=True):
    """The segment at `index` among the captured ones."""

    parameter: Parameter
    index: int
    field: QueryField

    @property
    def is_text(self) -> bool:
        """Whether the segment is the argument as it stands."""
        return self.parameter.annotation is str

    def take(self, text: str) -> object:
        """Read it. Raises ValidationError."""
        return _read(text, self.field, self.parameter.annotation)

    def faults(self, request: Request) -> list[Fault]:
        text = request.captures[self.index]
        return _faults(text, self.field, self.parameter.annotation, f"path.{self.parameter.name}")


class FromQuery(Struct, frozen=True):
    """The values under its name."""

    parameter: Parameter
    field: QueryField

    def take(self, query: Query) -> object:
        """Read it. Raises ValidationError."""
        values = query.get(self.field.name)
        if values is None:
            if self.parameter.default is REQUIRED:
                raise ValidationError("is missing")
            return self.parameter.default
        return _read(_given(values, self.field), self.field, self.parameter.annotation)

    def faults(self, request: Request) -> list[Fault]:
        place = f"query.{self.field.name}"
        values = request.query.get(self.field.name)
        if values is None:
            required = self.parameter.default is REQUIRED
            return [Fault(place, "is missing")] if required else []
        if self.field.kind is Kind.SCALAR and len(values) > 1:
            return [Fault(place, f"is given {len(values)} times; expected once")]
        given = _given(values, self.field)
        return _faults(given, self.field, self.parameter.annotation, place)


class FromWholeQuery(Struct, frozen=True):
    """An object, a field from each name."""

    parameter: Parameter
    fields: tuple[QueryField, ...]

    def take(self, query: Query) -> object:
        """Read it. Raises ValidationError."""
        if not query and self.parameter.default is not REQUIRED:
            return self.parameter.default
        given: dict[str, object] = {}
        for field in self.fields:
            values = query.get(field.name)
            if values is not None:
                given[field.name] = _given(values, field)
                _refuse_infinite(given[field.name], field)
        return _convert(given, self.parameter.annotation)

    def faults(self, request: Request) -> list[Fault]:
        found: list[Fault] = []
        given: dict[str, object] = {}
        for field in self.fields:
            values = request.query.get(field.name, [])
            if values:
                given[field.name] = values if field.kind is Kind.REPEATED else values[0]
            single = FromQuery(Parameter(field.name, object, None), field)
            found += single.faults(request)
        hint = self.parameter.annotation
        for fault in faults(given, hint, strict=False):
            message = _named(fault.message, given.get(fault.path.removeprefix("$.")))
            found.append(Fault(_under("query", fault.path), message))
        return found


class FromBody(Struct):
    """The whole body."""

    parameter: Parameter
    built: body.BodyReader | None = None

    @property
    def reader(self) -> body.BodyReader:
        """How it is read; made when it is first read, since making it costs a class."""
        self.built = self.built or body.reader(self.parameter.annotation)
        return self.built

    @property
    def is_struct(self) -> bool:
        """Whether a decoded body only has to be given its declared class."""
        return self.reader.declared is not None and self.parameter.default is REQUIRED

    def take(self, content: bytes) -> object:
        """Read it. Raises ValidationError, DecodeError, UnicodeDecodeError, RecursionError."""
        if not content and self.parameter.default is not REQUIRED:
            return self.parameter.default
        value = self.reader.decode(content)
        if self.reader.declared is not None:
            value.__class__ = self.reader.declared
        return value

    def faults(self, request: Request) -> list[Fault]:
        if not request.content and self.parameter.default is not REQUIRED:
            return []
        try:
            self.take(request.content)
        except UNREADABLE as wrong:
            return body.explain(request.content, self.reader.strict, wrong)
        return []


def _given(values: list[str], field: QueryField) -> str | list[str]:
    if field.kind is Kind.REPEATED:
        return values
    if len(values) > 1:
        raise ValidationError("is given more than once")
    return values[0]


def _read(given: object, field: QueryField, hint: object) -> object:
    _refuse_infinite(given, field)
    return _convert(given, hint)


def _convert(given: object, hint: object) -> object:
    # A hint is read from a signature, and `plan` knows it for a type that msgspec reads.
    return convert(given, cast("type[object]", hint), strict=False)


def _refuse_infinite(given: object, field: QueryField) -> None:
    if field.finite and any(map(_infinite, given if isinstance(given, list) else [given])):
        raise ValidationError("is not a finite number")


def _infinite(text: object) -> bool:
    return str(text).strip().lstrip("+-").lower().startswith(("nan", "snan", "inf"))


def _faults(given: object, field: QueryField, hint: object, place: str) -> list[Fault]:
    try:
        _refuse_infinite(given, field)
    except ValidationError as error:
        return [Fault(place, str(error))]
    return [
        Fault(_under(place, fault.path), _named(fault.message, given))
        for fault in faults(given, hint, strict=False)
    ]


def _under(place: str, path: str) -> str:
    return place + path.removeprefix("$")


def _named(message: str, given: object) -> str:
    """In a query everything is text: say which, where msgspec says `str`."""
    if isinstance(given, str):
        return message.replace("got `str`", f"got {given[:40]!r}")
    return message

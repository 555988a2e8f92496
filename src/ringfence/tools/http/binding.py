"""From an operation's signature to where each of its arguments comes from.

A parameter named in the path is bound there and nowhere else; one value or several come from the
query; one object is the body, and on GET and DELETE the query. `plan` is total: what cannot be
bound is a `Misfit`, which `check` turns into a finding.
"""

from collections.abc import Sequence
from typing import Protocol, cast

from msgspec import MsgspecError, Struct, ValidationError, convert

from ringfence.errors import Fault
from ringfence.kernel.ports import REQUIRED, Parameter, Signature, faults
from ringfence.tools.http import body
from ringfence.tools.http.contract import Method
from ringfence.tools.http.kinds import Kind, QueryField, kind_of, query_field, query_fields
from ringfence.tools.http.query import Query

BODY_METHODS = ("POST", "PUT", "PATCH")
# What a request is rejected for; anything else that reading it raises is a bug.
UNREADABLE = (MsgspecError, UnicodeDecodeError, RecursionError)


class Request(Struct, frozen=True):
    """The parts of a request that arguments come from."""

    captures: tuple[str, ...]
    query: Query
    content: bytes


class Argument(Protocol):
    """Where one argument comes from."""

    @property
    def parameter(self) -> Parameter: ...

    def faults(self, request: Request, error: BaseException) -> list[Fault]:
        """List everything wrong with it in a request that failed with `error`."""
        ...


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

    def faults(self, request: Request, error: BaseException) -> list[Fault]:
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

    def faults(self, request: Request, error: BaseException) -> list[Fault]:
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

    def faults(self, request: Request, error: BaseException) -> list[Fault]:
        found: list[Fault] = []
        given: dict[str, object] = {}
        for field in self.fields:
            values = request.query.get(field.name, [])
            if values:
                given[field.name] = values if field.kind is Kind.REPEATED else values[0]
            single = FromQuery(Parameter(field.name, object, None), field)
            found += single.faults(request, error)
        hint = self.parameter.annotation
        for fault in faults(given, hint, strict=False):
            found.append(Fault(_under("query", fault.path), fault.message))
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

    def faults(self, request: Request, error: BaseException) -> list[Fault]:
        if not request.content and self.parameter.default is not REQUIRED:
            return []
        try:
            self.take(request.content)
        except UNREADABLE as wrong:
            return body.explain(request.content, self.reader.strict, wrong)
        return []


class Misfit(Struct, frozen=True):
    """A parameter that cannot be bound: the rule that it breaks, what is wrong, what to do."""

    rule: str
    message: str
    fix: str


class Plan(Struct, frozen=True):
    """Where the arguments of an operation come from, in the order of its signature."""

    arguments: tuple[FromPath | FromQuery | FromWholeQuery | FromBody, ...]
    misfits: tuple[Misfit, ...]


def plan(method: Method, names: Sequence[str], signature: Signature) -> Plan:
    """Bind the parameters of a signature.

    Args:
        method: Of the route.
        names: The parameters of its path, in order.
        signature: Of the operation.
    """
    bound = _Binding(method, names)
    arguments = [bound.argument(parameter) for parameter in signature.parameters]
    known = {parameter.name for parameter in signature.parameters}
    for name in names:
        if name not in known:
            bound.miss(
                "RF303",
                f"the path has {{{name}}}, the method has no parameter {name!r}",
                f"add the parameter `{name}: str`, or take {{{name}}} out of the path",
            )
    return Plan(tuple(a for a in arguments if a is not None), tuple(bound.misfits))


class _Binding:
    """The parameters of one signature on their way into a plan."""

    def __init__(self, method: Method, names: Sequence[str]) -> None:
        self.method = method
        self.names = list(names)
        self.objects: list[str] = []
        self.misfits: list[Misfit] = []

    def miss(self, rule: str, message: str, fix: str) -> None:
        self.misfits.append(Misfit(rule, message, fix))

    def argument(
        self, parameter: Parameter
    ) -> FromPath | FromQuery | FromWholeQuery | FromBody | None:
        kind = kind_of(parameter.annotation)
        if parameter.name in self.names:
            return self._from_path(parameter, kind)
        match kind:
            case Kind.SCALAR | Kind.REPEATED:
                field = query_field(parameter.name, parameter.annotation)
                return FromQuery(parameter, field)
            case Kind.OBJECT | Kind.DOCUMENT:
                return self._object(parameter, kind)
            case Kind.UNSUPPORTED:
                self._unsupported(parameter.name, parameter.annotation)
                return None

    def _unsupported(self, name: str, hint: object) -> None:
        self.miss(
            "RF307",
            f"parameter {name!r} has a type that HTTP does not carry: {_shown(hint)}",
            "use a scalar, a list of scalars, a Struct, a dataclass or a TypedDict",
        )

    def _from_path(self, parameter: Parameter, kind: Kind) -> FromPath | None:
        if kind is not Kind.SCALAR:
            self.miss(
                "RF304",
                f"path parameter {parameter.name!r} is {_shown(parameter.annotation)};"
                " expected one value",
                "use str, int, float, bool, UUID, datetime, date, Decimal, an Enum or a Literal",
            )
            return None
        field = query_field(parameter.name, parameter.annotation)
        return FromPath(parameter, self.names.index(parameter.name), field)

    def _object(self, parameter: Parameter, kind: Kind) -> FromWholeQuery | FromBody | None:
        self.objects.append(parameter.name)
        if len(self.objects) > 1:
            self.miss(
                "RF305",
                f"parameters {' and '.join(map(repr, self.objects))} would each be the body",
                "take one Struct with a field for each",
            )
            return None
        if self.method in BODY_METHODS:
            return FromBody(parameter)
        if kind is Kind.DOCUMENT:
            self.miss(
                "RF306",
                f"parameter {parameter.name!r} is {_shown(parameter.annotation)}, and {self.method}"
                " has no body",
                "take one Struct, which is read from the query, or use POST, PUT or PATCH",
            )
            return None
        fields = tuple(query_fields(parameter.annotation))
        for field in fields:
            if field.kind not in (Kind.SCALAR, Kind.REPEATED):
                self.miss(
                    "RF306",
                    f"field {field.name!r} of parameter {parameter.name!r} cannot be read from"
                    f" a query, and {self.method} has no body",
                    "give the field a scalar type or a list of scalars",
                )
        return FromWholeQuery(parameter, fields)


def _shown(hint: object) -> str:
    return hint.__qualname__ if isinstance(hint, type) else str(hint).replace("typing.", "")


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

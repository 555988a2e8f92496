"""From an operation's signature to where each of its arguments comes from.

A parameter named in the path is bound there and nowhere else; a mark or a type of this tool's own
says where any other comes from. Without one, values come from the query, and one object is the
body, on GET and DELETE the query. `plan` is total: what cannot be bound is a `Misfit`, which
`check` turns into a finding.
"""

from collections.abc import Sequence
from typing import Annotated, get_args, get_origin

from msgspec import Struct, structs

from ringfence.kernel.ports import Parameter, Signature
from ringfence.tools.http.binding.arguments import (
    Argument,
    FromBody,
    FromBodyStream,
    FromCookie,
    FromFile,
    FromForm,
    FromFormField,
    FromHeader,
    FromIfMatch,
    FromPath,
    FromQuery,
    FromRawBody,
    FromRequest,
    FromSocket,
    FromWholeQuery,
    HotArgument,
)
from ringfence.tools.http.binding.kinds import (
    Kind,
    QueryField,
    is_closed,
    kind_of,
    query_field,
    query_fields,
)
from ringfence.tools.http.binding.markers import Mark, mark_of
from ringfence.tools.http.contract import Method

BODY_METHODS = ("POST", "PUT", "PATCH")
# What other frameworks hand to a handler, and where it comes from here.
_DATABASE = "declare a field `db: Database` of the plugin"
_REPLY = "return `Reply(value, headers=…, cookies=…)`"
_INSTEAD = {
    ("starlette", "BackgroundTasks"): "take `ctx: Context`, and `ctx.spawn(…)` what goes on",
    ("fastapi", "BackgroundTasks"): "take `ctx: Context`, and `ctx.spawn(…)` what goes on",
    ("starlette", "Request"): "take `Request` of ringfence.tools.http",
    ("django", "HttpRequest"): "take `Request` of ringfence.tools.http",
    ("starlette", "Response"): _REPLY,
    ("fastapi", "Response"): _REPLY,
    ("sqlalchemy", "AsyncSession"): _DATABASE,
    ("sqlalchemy", "Session"): _DATABASE,
}


class Misfit(Struct, frozen=True):
    """A parameter that cannot be bound: the rule that it breaks, what is wrong, what to do."""

    rule: str
    message: str
    fix: str


class Plan(Struct, frozen=True):
    """Where the arguments of an operation come from, in the order of its signature."""

    arguments: tuple[Argument, ...]
    misfits: tuple[Misfit, ...]
    kinds: frozenset[type] = frozenset()  # of the arguments

    @property
    def wide(self) -> bool:
        """Whether more than path, query and a JSON body is read: `shape.py` serves none of it."""
        return not all(isinstance(argument, HotArgument) for argument in self.arguments)


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
    bound.finish()
    found = _closed(tuple(a for a in arguments if a is not None))
    return Plan(found, tuple(bound.misfits), frozenset(map(type, found)))


def _closed(arguments: tuple[Argument, ...]) -> tuple[Argument, ...]:
    """Tell the whole forms, and the whole queries that forbid it, which names are known."""
    asked = {
        FromWholeQuery: {a.field.name for a in arguments if isinstance(a, FromQuery)},
        FromForm: {a.field.name for a in arguments if isinstance(a, FromFormField | FromFile)},
    }
    told: list[Argument] = []
    for argument in arguments:
        if isinstance(argument, FromForm) or (
            isinstance(argument, FromWholeQuery) and is_closed(argument.parameter.annotation)
        ):
            names = {field.name for field in argument.fields} | asked[type(argument)]
            argument = structs.replace(argument, known=frozenset(names))
        told.append(argument)
    return tuple(told)


class _Binding:
    """The parameters of one signature on their way into a plan."""

    def __init__(self, method: Method, names: Sequence[str]) -> None:
        self.method = method
        self.names = list(names)
        self.bodies: list[str] = []  # parameters that are a body, or the query as a whole
        self.fields: list[str] = []  # parameters that are a part of a form
        self.whole_form = ""
        self.sockets = 0
        self.misfits: list[Misfit] = []

    def miss(self, rule: str, message: str, fix: str) -> None:
        self.misfits.append(Misfit(rule, message, fix))

    def argument(self, parameter: Parameter) -> Argument | None:
        kind, mark = kind_of(parameter.annotation), mark_of(parameter.annotation)
        if parameter.name in self.names:
            return self._from_path(parameter, kind, mark)
        if mark is not None:
            return self._marked(parameter, kind, mark)
        match kind:
            case Kind.SCALAR | Kind.REPEATED:
                return FromQuery(parameter, query_field(parameter.name, parameter.annotation))
            case Kind.OBJECT | Kind.DOCUMENT:
                return self._object(parameter, kind)
            case Kind.FILE | Kind.FILES:
                named = QueryField(parameter.name, kind, finite=False)
                return FromFile(parameter, named) if self._in_form(parameter) else None
            case Kind.RAW:
                return FromRawBody(parameter) if self._is_body(parameter) else None
            case Kind.STREAM:
                return FromBodyStream(parameter) if self._is_body(parameter) else None
            case Kind.REQUEST:
                return FromRequest(parameter)
            case Kind.MATCH:
                return FromIfMatch(parameter)
            case Kind.SOCKET:
                return self._socket(parameter)
            case Kind.UNSUPPORTED:
                self._unsupported(parameter.name, parameter.annotation)
                return None

    def finish(self) -> None:
        """Note what only shows once every parameter has been seen."""
        if self.method == "WEBSOCKET" and self.sockets != 1:
            self.miss(
                "RF313",
                f"{self.sockets} parameters are a WebSocket; expected one",
                "add the parameter `socket: WebSocket`" if not self.sockets else "keep one",
            )

    def _marked(self, parameter: Parameter, kind: Kind, mark: Mark) -> Argument | None:
        if mark.place == "form" and kind is Kind.OBJECT:
            return self._whole(parameter)
        fits = (Kind.SCALAR,) if mark.place == "cookie" else (Kind.SCALAR, Kind.REPEATED)
        if kind not in fits:
            several = "" if mark.place == "cookie" else " or a list of them"
            self.miss(
                "RF311",
                f"{mark.place} {parameter.name!r} is {shown(parameter.annotation)};"
                f" expected a scalar{several}",
                "use str, int, float, bool, UUID, datetime, date, Decimal, an Enum or a Literal",
            )
            return None
        name = mark.name or parameter.name
        match mark.place:
            case "header":
                name = mark.name or parameter.name.replace("_", "-")
                named = query_field(name.lower(), parameter.annotation)
                return FromHeader(parameter, named)
            case "cookie":
                return FromCookie(parameter, query_field(name, parameter.annotation))
            case "form":
                named = query_field(name, parameter.annotation)
                return FromFormField(parameter, named) if self._in_form(parameter) else None

    def _whole(self, parameter: Parameter) -> FromForm | None:
        fields = tuple(query_fields(parameter.annotation))
        for field in fields:
            if field.kind not in (Kind.SCALAR, Kind.REPEATED):
                self.miss(
                    "RF311",
                    f"field {field.name!r} of form {parameter.name!r} is neither a scalar nor a"
                    " list of them",
                    "take a file by a parameter of its own; send what has fields as JSON",
                )
        if not self._in_form(parameter):
            return None
        if self.whole_form:
            self._two_bodies([self.whole_form, parameter.name])
            return None
        self.whole_form = parameter.name
        return FromForm(parameter, fields)

    def _in_form(self, parameter: Parameter) -> bool:
        if not self._has_body(parameter):
            return False
        self.fields.append(parameter.name)
        if self.bodies:
            self._two_bodies([*self.bodies, parameter.name])
            return False
        return True

    def _is_body(self, parameter: Parameter) -> bool:
        """Claim the body for a parameter, or say why it cannot be."""
        if not self._has_body(parameter):
            return False
        self.bodies.append(parameter.name)
        if len(self.bodies) > 1 or self.fields:
            self._two_bodies([*self.fields, *self.bodies])
            return False
        return True

    def _has_body(self, parameter: Parameter) -> bool:
        if self.method in BODY_METHODS:
            return True
        self.miss(
            "RF306",
            f"parameter {parameter.name!r} is {shown(parameter.annotation)}, and {self.method}"
            " has no body",
            "use POST, PUT or PATCH",
        )
        return False

    def _two_bodies(self, names: Sequence[str]) -> None:
        self.miss(
            "RF305",
            f"parameters {' and '.join(map(repr, names))} would each be the body",
            "take one Struct with a field for each, or a form alone",
        )

    def _socket(self, parameter: Parameter) -> FromSocket | None:
        self.sockets += 1
        if self.method == "WEBSOCKET":
            return FromSocket(parameter)
        self.miss(
            "RF313",
            f"parameter {parameter.name!r} is a WebSocket, and {self.method} opens none",
            "declare the method with @websocket",
        )
        return None

    def _unsupported(self, name: str, hint: object) -> None:
        self.miss(
            "RF307",
            f"parameter {name!r} has a type that HTTP does not carry: {shown(hint)}",
            _INSTEAD.get(
                _origin(hint),
                "use a scalar, a list of scalars, a Struct, a dataclass or a TypedDict",
            ),
        )

    def _from_path(self, parameter: Parameter, kind: Kind, mark: Mark | None) -> FromPath | None:
        if mark is not None:
            self.miss(
                "RF304",
                f"parameter {parameter.name!r} is in the path, and marked as a {mark.place}",
                f"name it differently, or take {{{parameter.name}}} out of the path",
            )
            return None
        if kind is not Kind.SCALAR:
            self.miss(
                "RF304",
                f"path parameter {parameter.name!r} is {shown(parameter.annotation)};"
                " expected one value",
                "use str, int, float, bool, UUID, datetime, date, Decimal, an Enum or a Literal",
            )
            return None
        field = query_field(parameter.name, parameter.annotation)
        return FromPath(parameter, self.names.index(parameter.name), field)

    def _object(self, parameter: Parameter, kind: Kind) -> FromWholeQuery | FromBody | None:
        if self.method in BODY_METHODS:
            return FromBody(parameter) if self._is_body(parameter) else None
        self.bodies.append(parameter.name)
        if len(self.bodies) > 1:
            self._two_bodies(self.bodies)
            return None
        if kind is Kind.DOCUMENT:
            self.miss(
                "RF306",
                f"parameter {parameter.name!r} is {shown(parameter.annotation)}, and {self.method}"
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


def shown(hint: object) -> str:
    """Return a type hint as it reads, without what annotates it."""
    if get_origin(hint) is Annotated:
        return shown(get_args(hint)[0])
    return hint.__qualname__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def _origin(hint: object) -> tuple[str, str]:
    """The package of a class, and its name."""
    module = getattr(hint, "__module__", None)
    return (module or "").partition(".")[0], getattr(hint, "__name__", "")

"""From an operation's signature to where each of its arguments comes from.

A parameter named in the path is bound there and nowhere else; one value or several come from the
query; one object is the body, and on GET and DELETE the query. `plan` is total: what cannot be
bound is a `Misfit`, which `check` turns into a finding.
"""

from collections.abc import Sequence

from msgspec import Struct

from ringfence.kernel.ports import Parameter, Signature
from ringfence.tools.http.arguments import FromBody, FromPath, FromQuery, FromWholeQuery
from ringfence.tools.http.contract import Method
from ringfence.tools.http.kinds import Kind, kind_of, query_field, query_fields

BODY_METHODS = ("POST", "PUT", "PATCH")
Argument = FromPath | FromQuery | FromWholeQuery | FromBody


class Misfit(Struct, frozen=True):
    """A parameter that cannot be bound: the rule that it breaks, what is wrong, what to do."""

    rule: str
    message: str
    fix: str


class Plan(Struct, frozen=True):
    """Where the arguments of an operation come from, in the order of its signature."""

    arguments: tuple[Argument, ...]
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

    def argument(self, parameter: Parameter) -> Argument | None:
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

"""A feature as it is planned, before it is written: what it lets in, what it calls, what it keeps.

Values only. `feature.py` makes them; `code.py` writes the feature from them, `trial.py` its test.
"""

from collections.abc import Mapping

from msgspec import Struct

from ringfence.scaffold.layout import Code
from ringfence.scaffold.views import Call, Input


class Route(Struct, frozen=True):
    """`POST /orders/{order_id}`: the decorator's name, the path, and the parameters in it."""

    verb: str
    path: str
    names: tuple[str, ...]


class Timer(Struct, frozen=True):
    """A method that runs by itself."""

    interval: str
    seconds: float
    method: str
    inputs: tuple[Input, ...]  # what its own calls send


class Handler(Struct, frozen=True):
    """The method that a route, a service or both lead to."""

    service: str
    route: Route | None
    method: str
    plain: tuple[Input, ...]  # parameters of its own: from the path, or the query
    body: tuple[Input, ...]  # fields of its one Struct
    arguments: Mapping[tuple[str, str], str]  # a called service and its parameter → the input
    echoes: tuple[Input, ...]  # what it answers with where it has nothing else
    row: str  # the input that names a row

    @property
    def verb(self) -> str:
        return self.route.verb if self.route else ""

    def value(self, name: str) -> str:
        """Return an input as the method's body names it."""
        return f"given.{name}" if any(one.name == name for one in self.body) else name


class Feature(Struct, frozen=True):
    """All of it. `request`, `result` and `row` are the names of its classes."""

    domain: str
    name: str
    cls: str
    request: str
    result: str
    row: str
    handler: Handler | None
    timer: Timer | None
    calls: tuple[Call, ...]
    classes: tuple[Code, ...]
    table: str

    @property
    def logs(self) -> bool:
        return self.timer is not None

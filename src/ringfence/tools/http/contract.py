"""What a plugin says to be reached over HTTP: one decorator for each method of the protocol.

    @post("/orders", status=201)
    async def place(self, order: NewOrder) -> Order: ...

A path is `/` and segments; a segment is text or `{name}`, which stands for one non-empty segment
and is bound to the parameter of that name. Decorators only declare: a bad path is a finding.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Literal, ParamSpec, Protocol, TypeVar

from ringfence.kernel.ports import Budget, Declaration, declare

F = TypeVar("F", bound=Callable[..., object])
P = ParamSpec("P")
T = TypeVar("T")
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "WEBSOCKET"]


class Http(Protocol):
    """The HTTP ingress. Plugins are reached through it and hold no handle on it."""


class Route(Declaration, frozen=True):
    """A method of a plugin answers `method path` with `status`; or, as `WEBSOCKET path`, it talks
    to whoever connects there."""

    tool = "http"
    kind = "route"

    method: Method
    path: str
    status: int = 200
    max_body_bytes: int | None = None

    @property
    def key(self) -> str:
        """What no two routes share: the names of path parameters do not tell routes apart."""
        return f"{self.method} {self.shape}"

    @property
    def shape(self) -> str:
        """The path, without the names of its parameters."""
        parts = str(self.path).split("/")
        return "/".join("{}" if part[:1] == "{" else part for part in parts)

    @property
    def label(self) -> str:
        return f"{self.method} {self.path}"


# Arguments that decorators of other frameworks have, and what says the same here.
_ELSEWHERE: Mapping[str, str] = {
    "status_code": "write `status=`",
    "response_model": "annotate what the method returns",
    "response_class": "return a `Reply`, a `File` or a `Stream`",
    "responses": "errors that the method declares are in the document by themselves",
    "dependencies": "call a service in the method, which raises where it says no",
    "tags": "the domain is the tag",
    "summary": "write a docstring",
    "description": "write a docstring",
    "deprecated": "write `Deprecated: why` in the docstring",
    "methods": "write a decorator for each: `@get`, `@post`",
}


def _told(decorator: Callable[P, T]) -> Callable[P, T]:
    """Refuse arguments of other frameworks with what to write."""

    @wraps(decorator)
    def telling(*args: P.args, **kwargs: P.kwargs) -> T:
        for name in kwargs:
            if name in _ELSEWHERE:
                called = decorator.__name__
                raise TypeError(f"{called}() takes no `{name}`: {_ELSEWHERE[name]}")
        return decorator(*args, **kwargs)

    return telling


@_told
def get(
    path: str, *, status: int = 200, calls: Sequence[str] = (), budget: Budget | None = None
) -> Callable[[F], F]:
    """Answer GET, and HEAD without the body.

    Args:
        path: `/orders/{order_id}`; each `{name}` is a parameter of the method.
        status: Of a successful answer, 200 to 299. None is answered with 204 and no body, or
            with this status where it is not 200.
        calls: Services that the method reaches through `ctx.call`.
        budget: What one request may spend, beside the budget of every request.
    """
    return declare(Route("GET", path, status, calls=tuple(calls), budget=budget))


@_told
def post(
    path: str,
    *,
    status: int = 200,
    max_body_bytes: int | None = None,
    calls: Sequence[str] = (),
    budget: Budget | None = None,
) -> Callable[[F], F]:
    """Answer POST; one Struct among the method's parameters is the JSON body.

    Args:
        path: As for `get`.
        status: As for `get`; 201 where something was made.
        max_body_bytes: Of its body, in the place of `max_body_bytes` under `[tools.http]`.
        calls: As for `get`.
        budget: As for `get`.
    """
    return declare(Route("POST", path, status, max_body_bytes, calls=tuple(calls), budget=budget))


@_told
def put(
    path: str,
    *,
    status: int = 200,
    max_body_bytes: int | None = None,
    calls: Sequence[str] = (),
    budget: Budget | None = None,
) -> Callable[[F], F]:
    """Answer PUT; one Struct among the method's parameters is the JSON body.

    Args:
        path: As for `get`.
        status: As for `get`.
        max_body_bytes: As for `post`.
        calls: As for `get`.
        budget: As for `get`.
    """
    return declare(Route("PUT", path, status, max_body_bytes, calls=tuple(calls), budget=budget))


@_told
def patch(
    path: str,
    *,
    status: int = 200,
    max_body_bytes: int | None = None,
    calls: Sequence[str] = (),
    budget: Budget | None = None,
) -> Callable[[F], F]:
    """Answer PATCH; one Struct among the method's parameters is the JSON body.

    Args:
        path: As for `get`.
        status: As for `get`.
        max_body_bytes: As for `post`.
        calls: As for `get`.
        budget: As for `get`.
    """
    return declare(Route("PATCH", path, status, max_body_bytes, calls=tuple(calls), budget=budget))


@_told
def delete(
    path: str, *, status: int = 200, calls: Sequence[str] = (), budget: Budget | None = None
) -> Callable[[F], F]:
    """Answer DELETE; like `get`, it reads parameters from path and query alone.

    Args:
        path: As for `get`.
        status: As for `get`.
        calls: As for `get`.
        budget: As for `get`.
    """
    return declare(Route("DELETE", path, status, calls=tuple(calls), budget=budget))


@_told
def websocket(
    path: str, *, calls: Sequence[str] = (), budget: Budget | None = None
) -> Callable[[F], F]:
    """Talk to whoever opens a WebSocket there; one parameter of the method is a `WebSocket`.

    What the method raises before it accepts answers the handshake, as any other request.

    Args:
        path: As for `get`.
        calls: As for `get`.
        budget: What one message may spend, beside the budget of every request.
    """
    return declare(Route("WEBSOCKET", path, calls=tuple(calls), budget=budget))

"""The ASGI application: finds what serves a request and lets it.

`App(health, limits)`, `bind`, then call it as any ASGI application; it needs no server of a
particular kind and no lifespan. A route is compiled at its first request, so that binding a
thousand of them costs little. Drivers own an `App` each.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import quote

from ringfence.errors import PluginQuarantined
from ringfence.kernel.ports import Endpoint, Health, StaticName
from ringfence.tools.http import openapi, system
from ringfence.tools.http.binding import plan
from ringfence.tools.http.contract import Route
from ringfence.tools.http.limits import Limits
from ringfence.tools.http.path import Pattern, parse
from ringfence.tools.http.problem import Refused, answer_to
from ringfence.tools.http.routes import Match, Table
from ringfence.tools.http.shape import Shapes
from ringfence.tools.http.wire import Handle, Receive, Scope, Send, bodiless

_METHODS = {"get": "GET", "post": "POST", "put": "PUT", "patch": "PATCH", "delete": "DELETE"}
_NOWHERE: Mapping[bytes, "_Target"] = {}


class _Target:
    """What serves a route; compiled at its first request."""

    def __init__(self, operation: str, compiled: Callable[[], Handle]) -> None:
        self._operation = operation
        self._compiled = compiled
        self.handle: Handle = self._first

    async def _first(
        self, scope: Scope, receive: Receive, send: Send, captures: tuple[str, ...]
    ) -> None:
        try:
            self.handle = self._compiled()
        except Exception as error:  # contained: one route that cannot be compiled fails alone
            await answer_to(error, self._operation).send_to(send)
            return
        await self.handle(scope, receive, send, captures)


class App:
    """One application's routes, as an ASGI callable.

    Args:
        health: What `/health/ready` tells.
        limits: What a request may be, at most.
        title: The application's name, for the OpenAPI document.
    """

    def __init__(self, health: Callable[[], Health], limits: Limits, title: str) -> None:
        self._max_target_bytes = limits.max_target_bytes
        self._title = title
        self._shapes = Shapes(limits)
        self._endpoints: Sequence[Endpoint] = ()
        self._table: Table[_Target] = Table()
        for path, handle in system.handles(health, self._describe).items():
            self._answer_at("GET", path, handle)

    def bind(self, endpoints: Sequence[Endpoint], absent: Sequence[StaticName]) -> None:
        """Take the routes to serve, and those whose plugins are quarantined."""
        self._endpoints = tuple(endpoints)
        for endpoint in endpoints:
            route = endpoint.declared.declaration
            if isinstance(route, Route):
                self._bind(endpoint, route)
        for name in absent:
            if name.decorator in _METHODS:
                self._answer_at(_METHODS[name.decorator], name.name, _quarantined(name))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise ValueError(f"http: only HTTP requests are served here, not {scope['type']!r}")
        await self.dispatch(scope, receive, send)

    def dispatch(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Return the coroutine that serves one HTTP request; a driver awaits it directly."""
        raw_path, method = scope.get("raw_path", b""), scope["method"]
        if len(raw_path) + len(scope["query_string"]) <= self._max_target_bytes:
            target = self._table.static.get(method, _NOWHERE).get(raw_path)
            if target is not None and not scope.get("root_path"):
                return target.handle(scope, receive, send, ())
        if method == "HEAD":
            send = bodiless(send)
        try:
            match = self._find(scope)
        except Refused as refused:
            return refused.answer().send_to(send)
        return match.target.handle(scope, receive, send, match.captures)

    def _find(self, scope: Scope) -> Match[_Target]:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        raw_path = _raw_path(scope)
        limit = self._max_target_bytes
        if len(raw_path) + len(scope["query_string"]) > limit:
            raise Refused(414, "target_too_long", f"path and query exceed {limit} bytes")
        found = self._table.find(method, raw_path)
        if isinstance(found, Match):
            return found
        if found is None:
            hint = "nothing is served at this path; GET /openapi.json lists what is"
            raise Refused(404, "no_such_route", hint)
        served = ", ".join(found.allow)
        raise Refused(
            405,
            "method_not_allowed",
            f"expected {served} at this path, got {scope['method']}",
            headers=((b"allow", served.encode()),),
        )

    def _bind(self, endpoint: Endpoint, route: Route) -> None:
        def compiled() -> Handle:
            bound = plan(route.method, _names(route.path), endpoint.declared.signature)
            return self._shapes.route(endpoint, bound, route.status)

        self._add(route.method, route.path, _Target(endpoint.operation, compiled))

    def _answer_at(self, method: str, path: str, handle: Handle) -> None:
        self._add(method, path, _Target("http", lambda: handle))

    def _add(self, method: str, path: str, target: _Target) -> None:
        pattern = parse(path)
        if isinstance(pattern, Pattern):
            self._table.add(method, pattern, target)

    def _describe(self) -> bytes:
        return openapi.describe(self._title, self._endpoints)


def _names(path: str) -> tuple[str, ...]:
    pattern = parse(path)
    return pattern.names if isinstance(pattern, Pattern) else ()


def _quarantined(name: StaticName) -> Handle:
    return system.answering(lambda: answer_to(PluginQuarantined(subject=name.plugin), "http"))


def _raw_path(scope: Scope) -> bytes:
    """The path below where this application is mounted, as it came in."""
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    root = scope.get("root_path")
    return raw.removeprefix(root.encode()) if root else raw

"""The ASGI application: finds what serves a request and lets it.

`App(config, env)`, `bind`, `start`, then `serve` as any ASGI application; it needs no server of a
particular kind and no lifespan. A route is compiled at its first request, so that binding a
thousand of them costs little. Drivers own an `App` each.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from urllib.parse import quote

from ringfence.errors import PluginQuarantined
from ringfence.kernel.ports import Clock, Endpoint, StaticName, ToolEnv
from ringfence.tools.http import system
from ringfence.tools.http.beside.mounts import Beside
from ringfence.tools.http.binding.kinds import answers_wide
from ringfence.tools.http.binding.plan import plan
from ringfence.tools.http.contract import Route
from ringfence.tools.http.description import docs, openapi
from ringfence.tools.http.limits import Common
from ringfence.tools.http.live.leaving import HangUps
from ringfence.tools.http.path import Pattern, parse
from ringfence.tools.http.problem import Refused, answer_to
from ringfence.tools.http.routes import Match, Table, Wrong
from ringfence.tools.http.shape import Shapes
from ringfence.tools.http.wire import (
    Answer,
    Asgi,
    Handle,
    Receive,
    Scope,
    Send,
    answer,
    bodiless,
    path_below,
)

_METHODS = {name.lower(): name for name in ("GET", "POST", "PUT", "PATCH", "DELETE", "WEBSOCKET")}
_NOWHERE: Mapping[bytes, "_Target"] = {}
_NO_METHOD = "WEBSOCKET"  # what a scope without a method is


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
            await answer(answer_to(error, self._operation), scope, send)
            return
        await self.handle(scope, receive, send, captures)


class App:
    """One application's routes, as an ASGI callable.

    Args:
        config: What a request may be, and what is served beside routes.
        env: Of the driver that owns it.
    """

    def __init__(self, config: Common, env: ToolEnv) -> None:
        self._config = config
        self._env = env
        self._max_target_bytes = config.max_target_bytes
        self._shapes = Shapes(config, env.redact)
        self._endpoints: Sequence[Endpoint] = ()
        self._table: Table[_Target] = Table()
        self._hang_ups = HangUps()
        self._beside = Beside(config, env.root, env.clock)
        self.serve = _around(self.dispatch, config, env.clock)
        for path, handle in system.handles(env.health, self._describe).items():
            self._answer_at("GET", path, handle)
        if config.docs:
            for path in docs.PATHS:
                self._answer_at("GET", path, system.answering(partial(docs.page, path)))

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

    async def start(self) -> None:
        """Start what is served beside routes. Raises StartRefused."""
        await self._beside.start()

    async def stop(self) -> None:
        """Stop what is served beside routes."""
        await self._beside.stop()

    def hang_up(self) -> None:
        """End the connections that would stay longer than the application does."""
        self._hang_ups.end()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or one WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            raise ValueError(f"http: only HTTP is served here, not {scope['type']!r}")
        if scope["type"] == "http" and scope["method"] == _NO_METHOD:
            refused = Refused(405, "method_not_allowed", headers=((b"allow", b""),))
            await answer(refused.answer(), scope, send)
            return
        await self.serve(scope, receive, send)

    def dispatch(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Return the coroutine that serves one request or WebSocket."""
        raw_path, method = scope.get("raw_path", b""), scope.get("method", _NO_METHOD)
        short = len(raw_path) + len(scope["query_string"]) <= self._max_target_bytes
        if short and not scope.get("root_path"):
            target = self._table.static.get(method, _NOWHERE).get(raw_path)
            if target is not None:
                return target.handle(scope, receive, send, ())
            straight = self._table.straight(method, raw_path)
            if straight is not None:
                return straight[0].handle(scope, receive, send, straight[1])
        try:
            found = self._find(scope, method)
        except Refused as refused:
            return answer(refused.answer(), scope, send)
        if not isinstance(found, Match):
            return found(scope, receive, send)
        if method == "HEAD":
            send = bodiless(send)
        return found.target.handle(scope, receive, send, found.captures)

    def _find(self, scope: Scope, method: str) -> Match[_Target] | Asgi:
        raw_path, limit = path_below(scope), self._max_target_bytes
        if len(raw_path) + len(scope["query_string"]) > limit:
            raise Refused(414, "target_too_long", f"path and query exceed {limit} bytes")
        served = "GET" if method == "HEAD" else method
        found = self._table.find(served, raw_path)
        if isinstance(found, Match):
            return found
        beside = self._beside.find(raw_path)
        if beside is not None:
            return beside
        if isinstance(found, Wrong):
            return _sending(_wrong(method, found))
        if method == "OPTIONS" and raw_path == b"*":
            return _sending(Answer(204, b""))
        if raw_path[-1:] == b"/" and isinstance(self._table.find(served, raw_path[:-1]), Match):
            return _sending(_elsewhere(scope, raw_path[:-1]))
        hint = "nothing is served at this path; GET /openapi.json lists what is"
        raise Refused(404, "no_such_route", hint)

    def _bind(self, endpoint: Endpoint, route: Route) -> None:
        self._add(
            route.method,
            route.path,
            _Target(endpoint.operation, lambda: self._compile(endpoint, route)),
        )

    def _compile(self, endpoint: Endpoint, route: Route) -> Handle:
        # Imported with the first route that needs it: an application of plain JSON never does.
        bound = plan(route.method, _names(route.path), endpoint.declared.signature)
        if not bound.wide and not answers_wide(endpoint.declared.signature.result):
            return self._shapes.route(endpoint, bound, route.status, route.max_body_bytes)
        from ringfence.tools.http.wide import Wide

        return Wide(self._config, self._env, self._hang_ups).route(endpoint, bound, route)

    def _answer_at(self, method: str, path: str, handle: Handle) -> None:
        self._add(method, path, _Target("http", lambda: handle))

    def _add(self, method: str, path: str, target: _Target) -> None:
        pattern = parse(path)
        if isinstance(pattern, Pattern):
            self._table.add(method, pattern, target)

    def _describe(self) -> bytes:
        return openapi.describe(self._env.app, self._endpoints)


def _around(
    app: Callable[[Scope, Receive, Send], Awaitable[None]], config: Common, clock: Clock
) -> Asgi:
    """Put around `app` what the configuration asks for; nothing costs what is not there."""
    wrapped: Asgi = app
    if config.compress_min_bytes:
        from ringfence.tools.http.beside.compress import compressing

        wrapped = compressing(wrapped, config.compress_min_bytes)
    if config.cors is not None:
        from ringfence.tools.http.beside.cors import allow

        wrapped = allow(wrapped, config.cors)
    if config.log_requests:
        from ringfence.tools.http.beside.request_log import logged

        wrapped = logged(wrapped, clock)
    return wrapped


def _wrong(method: str, found: Wrong) -> Answer:
    """Answer a method that a path is not served with."""
    served = ", ".join(name for name in (*found.allow, "OPTIONS") if name != "WEBSOCKET")
    allow = (b"allow", served.encode())
    if method == "OPTIONS":
        return Answer(204, b"", (allow,))
    if found.allow == ("WEBSOCKET",):
        upgrade = ((b"upgrade", b"websocket"), (b"connection", b"upgrade"))
        said = "only a WebSocket is served at this path"
        return Refused(426, "upgrade_required", said, headers=upgrade).answer()
    said = f"expected {served.removesuffix(', OPTIONS')} at this path, got {method}"
    return Refused(405, "method_not_allowed", said, headers=(allow,)).answer()


def _elsewhere(scope: Scope, raw_path: bytes) -> Answer:
    """Send a client to the path without the slash at its end, with method and body."""
    place = quote(scope.get("root_path", "")).encode() + raw_path
    if scope["query_string"]:
        place += b"?" + scope["query_string"]
    return Answer(307, b"", ((b"location", place),))


def _sending(said: Answer) -> Asgi:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(said, scope, send)

    return serve


def _names(path: str) -> tuple[str, ...]:
    pattern = parse(path)
    return pattern.names if isinstance(pattern, Pattern) else ()


def _quarantined(name: StaticName) -> Handle:
    async def handle(scope: Scope, receive: Receive, send: Send, captures: tuple[str, ...]) -> None:
        said = answer_to(PluginQuarantined(subject=name.plugin), "http")
        await answer(said, scope, send)

    return handle

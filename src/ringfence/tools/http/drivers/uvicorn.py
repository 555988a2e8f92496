"""HTTP on uvicorn's protocols, with httptools, wsproto and uvloop: what an application runs on.

uvicorn parses; sockets, deadlines and closing are done here, since uvicorn's own server loop polls
ten times a second and takes the process's signals. Invariant: once `close` has returned, no
connection is open.
"""

import asyncio
from asyncio import Task
from collections.abc import Sequence
from socket import socket
from typing import Annotated, ClassVar, cast

import uvicorn
from msgspec import Meta, Struct
from uvicorn._types import ASGI3Application

from ringfence.errors import NotGranted
from ringfence.kernel.ports import Endpoint, Grant, StaticName, ToolEnv
from ringfence.tools.http.asgi import App
from ringfence.tools.http.contract import Route
from ringfence.tools.http.limits import Common
from ringfence.tools.http.server.acceptor import Acceptor
from ringfence.tools.http.server.connections import FLUSH_S, SWEEP_S, Bounds, Connections
from ringfence.tools.http.server.drain import drain
from ringfence.tools.http.server.exchange import Serve
from ringfence.tools.http.server.hosts import Allowed, served_by_default
from ringfence.tools.http.server.listen import address_of, bind, most_connections, refused
from ringfence.tools.http.server.protocol import Connection, Shared
from ringfence.tools.http.server.proxies import Proxies
from ringfence.tools.http.wire import Scope

Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]


class Config(Common, frozen=True, forbid_unknown_fields=True):
    """The keys of `[tools.http]`: those of `Common`, and these.

    Times are kept to two seconds: none is cut short. Without `allowed_hosts`, an application that
    listens on loopback alone is served under the names of loopback alone, any other under all.

    Args:
        host: Name or address to listen on.
        port: 0 for one that is free.
        backlog: Connections that the system holds until they are accepted.
        max_header_bytes: Of all headers of a request together; more is answered 431.
        max_headers: Of a request; more are answered 431.
        header_timeout_s: From the connection, or from the first byte of a later request, to the
            end of its headers; then 408.
        body_timeout_s: For a body, and a second more for each 500 bytes of it; then 408. Time in
            which the application does not read does not count.
        write_timeout_s: Until a client is cut off that takes nothing of its answer.
        keep_alive_s: Until a connection without a request is closed.
        max_connections: Open at a time, more are answered 503; 0: what the limit of open files
            allows, 10,000 at most.
        max_connections_per_address: Of them from one address, or from one /64 of IPv6; trusted
            proxies are not counted.
        max_concurrency: Requests that wait for the beginning of their answer; more are answered
            503.
        trusted_proxies: Addresses or networks of those whose `X-Forwarded-For`,
            `X-Forwarded-Proto` and `traceparent` are believed.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    backlog: Count = 2048
    max_header_bytes: Annotated[int, Meta(ge=1024)] = 32 << 10
    max_headers: Count = 100
    header_timeout_s: Seconds = 20
    body_timeout_s: Seconds = 20
    write_timeout_s: Seconds = 20
    keep_alive_s: Seconds = 5
    max_connections: Annotated[int, Meta(ge=0)] = 0
    max_connections_per_address: Count = 256
    max_concurrency: Count = 1000
    trusted_proxies: tuple[str, ...] = ()


class Driver:
    """The HTTP ingress of an application, on a port."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self._config = config
        self._clock = env.clock
        self._proxies = Proxies(config.trusted_proxies)
        self._app = App(config, env)
        self._upgrades = bool(config.mounts)
        self._sockets: list[socket] = []
        self._addresses: tuple[str, ...] = ()
        self._acceptor: Acceptor | None = None
        self._connections = Connections(env.clock, _bounds(config))
        self._sweeping: Task[None] | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, as URLs; known once it has started."""
        return self._addresses

    @property
    def serve(self) -> Serve:
        """What answers requests: an ASGI callable."""
        return self._app.serve

    async def start(self) -> None:
        """Take the port, without accepting anything yet."""
        await self._app.start()
        self._sockets = await bind(self._config.host, self._config.port)
        self._addresses = tuple(map(address_of, self._sockets))

    async def stop(self) -> None:
        """Close whatever is still open, and give the port back."""
        await self.close(0)
        for taken in self._sockets:
            taken.close()
        self._sockets, self._addresses = [], ()
        await self._app.stop()

    def handle(self, grant: Grant) -> object:
        """Refuse: plugins are reached over HTTP, and hold no handle on it."""
        raise NotGranted(
            "http gives plugins no handle",
            subject=grant.plugin,
            hint="Declare routes with @get, @post, @put, @patch and @delete.",
        )

    def bind(self, endpoints: Sequence[Endpoint], absent: Sequence[StaticName]) -> None:
        """Take the routes to serve."""
        self._app.bind(endpoints, absent)
        declared = [endpoint.declared.declaration for endpoint in endpoints]
        self._upgrades = self._upgrades or any(
            isinstance(each, Route) and each.method == "WEBSOCKET" for each in declared
        )

    async def open(self) -> None:
        """Accept connections from now on."""
        for taken in self._sockets:
            try:
                taken.listen(self._config.backlog)
            except OSError as error:
                raise refused(self._config.host, self._config.port, error) from None
        shared = self.shared()
        self._acceptor = Acceptor(lambda: Connection(shared))
        self._connections.sweep()
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep(self._acceptor))
        await self._acceptor.open(self._sockets, self._config.backlog)

    async def close(self, grace_s: float) -> None:
        """Accept nothing more; let requests in progress end, or cancel them after `grace_s`.

        Connections without a request are closed at once; those who are at the other end of a
        WebSocket or a stream are told, and their handlers too.
        """
        end_at = self._clock.monotonic() + grace_s
        if self._acceptor is not None:
            await self._acceptor.close()
            self._acceptor, self._sockets = None, []
        self._connections.closing = True
        self._app.hang_up()
        for connection in tuple(self._connections):
            connection.shutdown()
        await drain(self._connections.tasks, self._clock, grace_s)
        left_s = end_at - self._clock.monotonic()
        await self._connections.end(max(left_s, FLUSH_S))
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    async def _sweep(self, acceptor: Acceptor) -> None:
        while True:
            await self._clock.sleep(SWEEP_S)
            self._connections.sweep()
            acceptor.resume()

    def shared(self) -> Shared:
        """Return what its connections have in common."""
        names = self._config.allowed_hosts
        addresses = [taken.getsockname()[0] for taken in self._sockets]
        return Shared(
            serve=self.serve,
            connections=self._connections,
            hosts=Allowed(names) if names else served_by_default(addresses),
            proxies=self._proxies,
            uvicorn_config=_uvicorn_config(self.serve, self._config.max_message_bytes),
            upgrade=_upgrade if self._upgrades else None,
        )


def _bounds(config: Config) -> Bounds:
    keys = {name: getattr(config, name) for name in Bounds.__struct_fields__}
    return Bounds(**{**keys, "max_connections": config.max_connections or most_connections()})


def _upgrade(connection: Connection, scope: Scope) -> asyncio.Protocol:
    # Imported with the first WebSocket: wsproto costs an application that has none nothing.
    from ringfence.tools.http.server.wsprotocol import Socket

    return Socket(connection, scope)


def _uvicorn_config(serve: Serve, max_message_bytes: int) -> uvicorn.Config:
    config = uvicorn.Config(
        cast("ASGI3Application", serve),
        interface="asgi3",
        http="httptools",
        ws="none",  # its own protocols are not taken, ours are
        ws_max_size=max_message_bytes,
        ws_per_message_deflate=False,  # a frame of a kilobyte would become a megabyte of memory
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        workers=1,  # given, so that uvicorn does not look for it in the environment
        forwarded_allow_ips=[],  # likewise
    )
    config.load()
    return config

"""HTTP on uvicorn's protocol, with httptools and uvloop: what an application runs on.

uvicorn parses and writes. Sockets, the date header and closing are done here, since uvicorn's own
server loop polls ten times a second and takes the process's signals. Invariant: once `close` has
returned, no connection is open.
"""

import asyncio
from asyncio import CancelledError, Future, Task
from collections.abc import Sequence
from email.utils import format_datetime
from socket import socket
from typing import Annotated, ClassVar, Protocol, cast

import uvicorn
from msgspec import Meta, Struct
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from ringfence.errors import NotGranted
from ringfence.kernel.ports import Clock, Endpoint, Grant, StaticName, ToolEnv
from ringfence.tools.http.asgi import App
from ringfence.tools.http.drain import alarm, drain
from ringfence.tools.http.limits import Common
from ringfence.tools.http.listen import address_of, bind, refused
from ringfence.tools.http.wire import Receive, Scope, Send

# How long a client may take, at the least, to read an answer that is already written.
FLUSH_S = 1.0
# Once a second, the resolution of the date header.
DATE_S = 1.0


class Config(Common, frozen=True, forbid_unknown_fields=True):
    """The keys of `[tools.http]`: those of `Common`, and these.

    Args:
        host: Name or address to listen on.
        port: 0 for one that is free.
        backlog: Connections that the system holds until they are accepted.
        keep_alive_s: Seconds until a connection without a request is closed.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    backlog: Annotated[int, Meta(ge=1)] = 2048
    keep_alive_s: Annotated[int, Meta(ge=1)] = 5


class Connection(Protocol):
    """A connection, as closing sees it."""

    transport: asyncio.Transport

    def shutdown(self) -> None: ...


class Connections(set[Connection]):
    """The open connections. uvicorn adds and discards them; the last one to go is noticed."""

    closing = False
    gone: "Future[None] | None" = None

    def add(self, connection: Connection) -> None:
        super().add(connection)
        if self.closing:  # accepted just before: it has no request yet, nor will it have one
            asyncio.get_running_loop().call_soon(connection.shutdown)

    def discard(self, connection: object) -> None:
        super().discard(connection)
        if self.gone is not None and not self.gone.done() and not self:
            self.gone.set_result(None)

    async def end(self, clock: Clock, seconds: float) -> None:
        """Wait until all are closed; break those that are not after `seconds`."""
        self.gone = asyncio.get_running_loop().create_future()
        with alarm(clock, seconds) as late:
            if self:
                await asyncio.wait({self.gone, late}, return_when=asyncio.FIRST_COMPLETED)
        for connection in tuple(self):
            connection.transport.abort()


class Driver:
    """The HTTP ingress of an application, on a port."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self._config = config
        self._clock = env.clock
        self._app = App(env.health, config, env.app)
        self._sockets: list[socket] = []
        self._servers: list[asyncio.Server] = []
        self._state = ServerState()
        self._connections = Connections()
        adopted = cast("set[HttpToolsProtocol]", self._connections)
        self._state.connections = adopted  # type: ignore[assignment]
        self._dating: Task[None] | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, as URLs; known once it has started."""
        return tuple(map(address_of, self._sockets))

    async def start(self) -> None:
        """Take the port, without accepting anything yet."""
        self._sockets = await bind(self._config.host, self._config.port)

    async def stop(self) -> None:
        """Close whatever is still open, and give the port back."""
        await self.close(0)
        for taken in self._sockets:
            taken.close()
        self._sockets = []

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

    async def open(self) -> None:
        """Accept connections from now on."""
        loop = asyncio.get_running_loop()
        config = self._protocol_config()
        self._date()
        self._dating = loop.create_task(self._keep_date())
        for taken in self._sockets:
            try:
                taken.listen(self._config.backlog)
            except OSError as error:
                raise refused(self._config.host, self._config.port, error) from None
            server = await loop.create_server(
                lambda: HttpToolsProtocol(config, self._state, {}),
                sock=taken,
                backlog=self._config.backlog,
            )
            self._servers.append(server)

    async def close(self, grace_s: float) -> None:
        """Accept nothing more; let requests in progress end, or cancel them after `grace_s`."""
        end_at = self._clock.monotonic() + grace_s
        for server in self._servers:
            server.close()
        self._servers = []
        self._connections.closing = True
        for connection in tuple(self._connections):
            connection.shutdown()
        await drain(self._state.tasks, self._clock, grace_s)
        left_s = end_at - self._clock.monotonic()
        await self._connections.end(self._clock, max(left_s, FLUSH_S))
        if self._dating is not None:
            self._dating.cancel()
            self._dating = None

    def _protocol_config(self) -> uvicorn.Config:
        config = uvicorn.Config(
            cast("ASGI3Application", self._serve),
            interface="asgi3",
            http=HttpToolsProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=self._config.keep_alive_s,
            workers=1,  # given, so that uvicorn does not look for it in the environment
            forwarded_allow_ips=[],  # likewise
        )
        config.load()
        return config

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app.dispatch(scope, receive, send)
        except CancelledError:
            # The outermost frame of the request's own task: whoever cancelled has been answered.
            return

    async def _keep_date(self) -> None:
        while True:
            await self._clock.sleep(DATE_S)
            self._date()

    def _date(self) -> None:
        now = format_datetime(self._clock.now(), usegmt=True)
        self._state.default_headers = [(b"date", now.encode())]

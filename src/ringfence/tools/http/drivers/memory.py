"""HTTP without a socket: requests are handed over in the process, by tests and by embedding.

`Driver` is an ASGI callable itself. It promises what a driver with a port does: it answers nothing
after `close`, and lets what is in progress end first.
"""

from asyncio import CancelledError, Task, create_task, wait
from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct

from ringfence.errors import NotGranted
from ringfence.kernel.ports import Endpoint, Grant, StaticName, ToolEnv
from ringfence.tools.http.asgi import App
from ringfence.tools.http.limits import Common
from ringfence.tools.http.problem import stopping
from ringfence.tools.http.server.drain import drain
from ringfence.tools.http.server.hosts import Allowed, misdirected
from ringfence.tools.http.server.proxies import traced
from ringfence.tools.http.wire import Answer, Receive, Scope, Send, answer


class Config(Common, frozen=True, forbid_unknown_fields=True):
    """The keys of `[tools.http]`: those of `Common`. Without `allowed_hosts`, all are served."""


class Driver:
    """The HTTP ingress of an application, in memory."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self._clock = env.clock
        self._app = App(config, env)
        self._hosts = Allowed(config.allowed_hosts) if config.allowed_hosts else None
        self._tasks: set[Task[None]] = set()
        self._serving = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens: nowhere."""
        return ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or one WebSocket, as ASGI."""
        refused = self._refusal(scope)
        if refused is not None:
            await answer(refused, scope, send)
            return
        for name, value in scope["headers"]:
            if name == b"traceparent":
                scope = {**scope, "inbound": traced(value, trusted=False)}
        task = create_task(self._serve(scope, receive, send))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await wait({task})
        except CancelledError:  # what it is cancelled by must know that it was heeded
            task.cancel()
            await wait({task})
            raise
        task.result()

    async def start(self) -> None:
        """Start what is served beside routes; there is nothing to connect to."""
        await self._app.start()

    async def stop(self) -> None:
        """Cancel what is still in progress."""
        await self.close(0)
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

    async def open(self) -> None:
        """Serve from now on."""
        self._serving = True

    async def close(self, grace_s: float) -> None:
        """Serve nothing new; let requests in progress end, or cancel them after `grace_s`."""
        self._serving = False
        self._app.hang_up()
        await drain(self._tasks, self._clock, grace_s)

    def _refusal(self, scope: Scope) -> Answer | None:
        if not self._serving:
            return stopping()
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        for host in hosts or [b""]:
            if self._hosts is not None and not self._hosts.permits(host):
                return misdirected(host).answer()
        return None

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except CancelledError:
            # The outermost frame of the request's own task: whoever cancelled has been answered.
            return

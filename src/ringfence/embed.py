"""An application as an ASGI application, for servers and applications of others.

`application = ringfence.asgi("apps/shop")`. It starts when a server runs its lifespan, by `async
with application:` in the lifespan of the host that mounts it, or with the first request. It takes
no port and no signals, and nothing is loaded before it starts. Used by whoever embeds.
"""

import asyncio
import importlib
import logging
from asyncio import AbstractEventLoop, Task
from collections.abc import Mapping
from contextvars import Context
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from ringfence.errors import RingfenceError

if TYPE_CHECKING:
    from ringfence.app import Application
    from ringfence.config import Config
    from ringfence.tools.http.wire import Asgi, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)


def asgi(path: str | Path, *, strict: bool = False, **overrides: object) -> "Embedded":
    """Return the application in the folder `path` as an ASGI application.

        app = FastAPI(lifespan=...)
        app.mount("/shop", ringfence.asgi("apps/shop"))

    Args:
        path: The application's folder.
        strict: Refuse to start with any finding, instead of quarantining what can be.
        overrides: Tables of `ringfence.toml` that count here: `kernel={"threads": 4}`. Of
            `[tools.http]` whatever is about a port does not count, nor does its driver.

    Guarantees:
        It starts at most once, whoever comes first. One that does not start answers 503. A request
        that is cancelled does not stop the start that it waits for.
    """
    return Embedded(Path(path), overrides, strict=strict)


class Embedded:
    """One application inside another's process; made by `asgi`."""

    def __init__(self, root: Path, overrides: Mapping[str, object], *, strict: bool) -> None:
        self._root = root
        self._overrides = overrides
        self._strict = strict
        self._starting: Task[Application] | None = None
        self._loop: AbstractEventLoop | None = None
        self._serving: Asgi | None = None
        self._stopped = False

    # Every library has types of its own for these three, and this is called by all of them.
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request, a WebSocket, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await (await self._served())(scope, receive, send)

    async def __aenter__(self) -> "Embedded":
        """Start it.

        Raises:
            BootError: It does not start; `findings` says everything that is wrong with it.
        """
        self._stopped = False
        await self._started()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let work in progress end, and stop it, within the deadlines of its configuration."""
        await self._stop()

    async def _served(self) -> "Asgi":
        """Return what answers: the application, or a refusal, for whose reason there is a log."""
        if self._serving is not None and self._loop is asyncio.get_running_loop():
            return self._serving
        if self._stopped:
            return _refusing("stopping")
        try:
            application = await self._started()
        except Exception:  # contained: the host serves on, and the log has the reason
            return _refusing("not_started")
        self._serving = cast("Asgi", application.driver("http"))
        return self._serving

    async def _started(self) -> "Application":
        running = asyncio.get_running_loop()
        if self._starting is None:
            self._loop = running
            # In no context of anybody: it outlasts the request that may be the reason for it.
            self._starting = Task(self._boot(), loop=running, context=Context())
            self._starting.add_done_callback(_retrieved)
        elif self._loop is not running:
            said = f"{self._root}: it runs on another event loop; expected one loop for its life"
            logger.error(said)
            raise RuntimeError(said)
        return await asyncio.shield(self._starting)

    async def _boot(self) -> "Application":
        from ringfence.app import boot, load

        try:
            config = load(self._root, self._overrides)
            return await boot(_in_memory(config), strict=self._strict)
        except Exception as error:
            logger.error("%s does not start: %s", self._root, _text(error))
            raise

    async def _stop(self) -> None:
        self._stopped, self._serving = True, None
        starting, self._starting = self._starting, None
        if starting is not None:
            await asyncio.wait({starting})
            if not starting.cancelled() and starting.exception() is None:
                await starting.result().stop()

    async def _live(self, receive: "Receive", send: "Send") -> None:
        await receive()
        try:
            await self.__aenter__()
        except Exception as error:  # contained: the server is told, and ends or goes on without it
            failed = {"type": "lifespan.startup.failed", "message": _text(error)}
            await send(cast("Message", failed))
            return
        try:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        finally:
            await self._stop()
        await send({"type": "lifespan.shutdown.complete"})


def _in_memory(config: "Config") -> "Config":
    """Return the configuration with the HTTP driver that has no port.

    The keys that only the configured driver knows go with it; one that no driver knows stays, and
    is refused as anywhere else.
    """
    from ringfence.tools.http.drivers import memory

    table = config.tool("http")
    options = dict(table.options)
    foreign = options.keys() - set(memory.Config.__struct_fields__)
    if foreign:
        package = "ringfence.tools.http"
        driver = table.driver or importlib.import_module(package).SPEC.default_driver
        its = importlib.import_module(f"{package}.drivers.{driver}").Driver.Config
        for name in foreign & set(its.__struct_fields__):
            del options[name]
    chosen = replace(table, driver="memory", options=options)
    return replace(config, tools={**config.tools, "http": chosen})


def _refusing(code: str) -> "Asgi":
    async def refusal(scope: "Scope", receive: "Receive", send: "Send") -> None:
        from ringfence.tools.http.problem import Refused
        from ringfence.tools.http.wire import answer

        await answer(Refused(503, code).answer(), scope, send)

    return refusal


def _retrieved(starting: "Task[Application]") -> None:
    # Its failure is in the log, also when nobody waits for it any more.
    if not starting.cancelled():
        starting.exception()


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, RingfenceError) else f"{type(error).__name__}: {error}"

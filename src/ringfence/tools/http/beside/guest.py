"""A mounted ASGI application: imported, started, called and stopped, and contained in all of it.

`Guest` is an ASGI application itself. One that cannot be imported or started answers 503, what one
raises is answered with 500, and one that breaks off its answer loses the connection. Each is
written to the log. Used by `mounts.py`.
"""

import asyncio
import importlib
import logging
import re
import sys
import threading
from asyncio import Future
from collections.abc import Callable
from importlib.machinery import PathFinder
from pathlib import Path
from typing import cast

from ringfence.kernel.ports import Clock
from ringfence.tools.http.beside.lifespan import FAILURES, Failed, Life, Lifespan, text_of
from ringfence.tools.http.problem import Refused
from ringfence.tools.http.server.drain import alarm, drain
from ringfence.tools.http.wire import Asgi, Message, Receive, Scope, Send, answer

# An import and a startup together; below the deadline that a driver's start has by default.
START_S = 8.0
STOP_S = 4.0
_NAME = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(\(\))?")
# What a host of the Starlette family says about itself, and a mounted one would take for its own.
_OF_THE_HOST = frozenset({"app", "app_root_path", "endpoint", "inbound", "path_params", "router"})
_GONE = ("http.disconnect", "websocket.disconnect")
logger = logging.getLogger(__name__)


class Guest:
    """One mounted application.

    Args:
        named: `module:attribute`, or `module:factory()` for what a call returns.
        prefix: Below which it is served, without a slash at its end.
        root: The folder where its module may be, beside the environment.
        clock: By which its deadlines are kept.
    """

    def __init__(self, named: str, prefix: str, root: Path, clock: Clock) -> None:
        self._named = named
        self._prefix = prefix
        self._root = root
        self._clock = clock
        self._app: Asgi | None = None
        self._life: Life | None = None
        self._state: dict[str, object] = {}

    @staticmethod
    def is_name(named: str) -> bool:
        """Whether it can be the name of an application."""
        return _NAME.fullmatch(named) is not None

    async def start(self) -> None:
        """Import it and run its startup. A failure is logged, and its requests get 503."""
        try:
            with alarm(self._clock, START_S) as late:
                app = await _imported(self._named, self._root, late)
                self._life = Life(cast("Lifespan", app), self._state)
                await self._life.start(late)
            self._app = app
        except Failed as failed:
            logger.error("mount %s: %s: %s", self._prefix or "/", self._named, failed)

    async def stop(self) -> None:
        """Run its shutdown, at most `STOP_S` seconds."""
        self._app = None
        if self._life is None:
            return
        try:
            with alarm(self._clock, STOP_S) as late:
                await self._life.stop(late)
        except Failed as failed:
            logger.error("mount %s: %s: %s", self._prefix or "/", self._named, failed)
        await drain({self._life.task}, self._clock, 0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        if self._app is None:
            await answer(Refused(503, "mount_unavailable").answer(), scope, send)
            return
        talk = _Talk(receive, send)
        try:
            await self._app(self._below(scope), talk.receive, talk.send)
        except FAILURES:
            if not talk.is_over:
                logger.exception("mount %s: %s failed", self._prefix or "/", self._named)
        else:
            if talk.last == "" and not talk.is_over:
                logger.error("mount %s: %s gave no answer", self._prefix or "/", self._named)
        if talk.is_over:
            return
        if talk.last == "":
            await answer(Refused(500, "internal").answer(), scope, send)
        elif talk.last == "websocket.accept":
            await send({"type": "websocket.close", "code": 1011})
        # An answer that has begun and has no end stays so: the server cuts the connection.

    def _below(self, scope: Scope) -> Scope:
        """Return the scope as ASGI wants it: `path` stays whole, `root_path` grows."""
        kept = {name: value for name, value in scope.items() if name not in _OF_THE_HOST}
        kept["root_path"] = scope.get("root_path", "") + self._prefix
        kept["state"] = dict(self._state)
        return cast("Scope", kept)


class _Talk:
    """A request, or a WebSocket, and how far it has come."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.last = ""
        self.is_over = False  # the client has gone
        self._complete = False

    async def receive(self) -> Message:
        message = await self._receive()
        self.is_over = self.is_over or (message["type"] in _GONE and not self._complete)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] != "websocket.send":
            self.last = message["type"]
        self._complete = self.last == "http.response.body" and not message.get("more_body")
        try:
            await self._send(message)
        except OSError:  # how a server says so
            self.is_over = True
            raise


def add_folder(root: Path) -> None:
    """Let modules be imported from an application's folder, after those of the environment."""
    sys.path.append(str(root))


def drop_folder(root: Path) -> None:
    """Undo one `add_folder`."""
    if str(root) in sys.path:
        sys.path.remove(str(root))


async def _imported(named: str, root: Path, late: "Future[None]") -> Asgi:
    """Import an application on a thread of its own, which is left behind if it does not end."""
    loop = asyncio.get_running_loop()
    done: Future[object] = loop.create_future()

    def deliver(result: object) -> None:
        if not done.done():
            done.set_result(result)

    def run() -> None:
        try:
            result: object = _load(named, root)
        except BaseException as error:  # SystemExit too: one import must not end the process
            result = Failed(f"it cannot be imported: {text_of(error)}")
        try:
            loop.call_soon_threadsafe(deliver, result)
        except RuntimeError:  # the loop has been closed meanwhile
            return

    threading.Thread(target=run, name="ringfence-mount", daemon=True).start()
    either: set[Future[object] | Future[None]] = {done, late}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not done.done():
        raise Failed("its import has taken too long")
    result = done.result()
    if isinstance(result, Failed):
        raise result
    if not callable(result):
        raise Failed(f"expected an ASGI application, got {type(result).__name__}")
    return cast("Asgi", result)


def _load(named: str, root: Path) -> object:
    match = _NAME.fullmatch(named)
    assert match is not None
    module_name, attribute, call = match.groups()
    importlib.invalidate_caches()
    module = importlib.import_module(module_name)
    # Another application in this process may have a module of that name, which is not meant.
    if PathFinder.find_spec(module_name.partition(".")[0], [str(root)]) is not None:
        file = Path(module.__file__ or "").resolve()
        if not file.is_relative_to(root.resolve()):
            raise ImportError(f"{module_name} is {file} here, not the one in {root}; rename it")
    found: object = module
    for name in attribute.split("."):
        found = getattr(found, name)
    return cast("Callable[[], object]", found)() if call else found

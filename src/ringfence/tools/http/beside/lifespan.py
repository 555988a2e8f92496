"""The lifespan of a mounted ASGI application: `Life(app, state)`, then `start` and `stop`.

Both end by a deadline that the caller gives. Invariant: one task runs it from before its startup to
after its shutdown, and in no context of anybody.
"""

import asyncio
from asyncio import Future, Task
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TypedDict, cast

from ringfence.tools.http.wire import Message, Receive, Send

# What SystemExit is here: a mounted application must not end the process that it is mounted in.
FAILURES = (Exception, SystemExit)


class LifespanScope(TypedDict):
    """What an application is called with to be started and stopped."""

    type: str
    asgi: dict[str, str]
    state: dict[str, object]


Lifespan = Callable[[LifespanScope, Receive, Send], Awaitable[None]]


class Failed(Exception):
    """It cannot be imported, or it does not start or stop."""


class Life:
    """The lifespan of an application: one task, from before its startup to after its shutdown."""

    def __init__(self, app: Lifespan, state: dict[str, object]) -> None:
        loop = asyncio.get_running_loop()
        self._app = app
        self._started: Future[str] = loop.create_future()
        self._stopped: Future[str] = loop.create_future()
        self._events: asyncio.Queue[Message] = asyncio.Queue(2)
        scope: LifespanScope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": state,
        }
        # In no context of anybody: it outlasts whatever is running now.
        self.task: Task[None] = asyncio.Task(self._run(scope), loop=loop, context=Context())

    async def start(self, late: "Future[None]") -> None:
        """Run the startup; raises Failed when it fails or is late."""
        self._events.put_nowait({"type": "lifespan.startup"})
        await self._end(self._started, late, "its startup")

    async def stop(self, late: "Future[None]") -> None:
        """Run the shutdown; raises Failed when it fails or is late."""
        if not self.task.done():
            self._events.put_nowait({"type": "lifespan.shutdown"})
            await self._end(self._stopped, late, "its shutdown")

    async def _end(self, ended: "Future[str]", late: "Future[None]", step: str) -> None:
        either: set[Future[str] | Future[None]] = {ended, late}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            self.task.cancel()
            raise Failed(f"{step} has taken too long")
        if ended.result():
            raise Failed(f"{step} failed: {ended.result()}")

    async def _run(self, scope: LifespanScope) -> None:
        try:
            await self._app(scope, self._events.get, self._heard)
        except FAILURES as error:
            # Before its startup this is how an application says that it has no lifespan.
            if self._started.done():
                self._say(self._stopped, text_of(error))
        finally:
            self._say(self._started, "")
            self._say(self._stopped, "")

    async def _heard(self, message: Message) -> None:
        match message["type"]:
            case "lifespan.startup.complete":
                self._say(self._started, "")
            case "lifespan.startup.failed":
                self._say(self._started, _last_line(message) or "it gives no reason")
            case "lifespan.shutdown.complete":
                self._say(self._stopped, "")
            case "lifespan.shutdown.failed":
                self._say(self._stopped, _last_line(message) or "it gives no reason")

    @staticmethod
    def _say(future: "Future[str]", text: str) -> None:
        if not future.done():
            future.set_result(text)


def text_of(error: BaseException) -> str:
    """Return what an error says of itself, for the log."""
    return f"{type(error).__name__}: {error}"


def _last_line(message: Message) -> str:
    text = cast("dict[str, str]", message).get("message", "")
    return text.strip().rpartition("\n")[2]

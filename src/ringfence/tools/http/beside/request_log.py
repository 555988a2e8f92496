"""A line in the log for each request, where `[tools.http] log_requests` asks for it.

`logged(app, clock)`. A line has the method, the path as it came in, the status and the time; never
the query, a header or a body, where secrets are.
"""

import logging

from ringfence.kernel.ports import Clock
from ringfence.tools.http.wire import Asgi, Message, Receive, Scope, Send, raw_path

logger = logging.getLogger(__name__)
_STARTS = ("http.response.start", "websocket.http.response.start")
_SHOWN_BYTES = 200  # of a path


def logged(app: Asgi, clock: Clock) -> Asgi:
    """Return `app`, with a line for each of its requests once it has ended.

    Args:
        app: Any ASGI application.
        clock: By which the time is taken.
    """

    async def log(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
            return
        status = 0  # it has ended without an answer

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] in _STARTS:
                status = message.get("status", 0)
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        began_at = clock.monotonic()
        try:
            await app(scope, receive, note)
        finally:
            path = raw_path(scope)[:_SHOWN_BYTES].decode("ascii", "backslashreplace")
            taken_ms = (clock.monotonic() - began_at) * 1000
            method = scope.get("method", "WEBSOCKET")
            logger.info("%s %s %s %.1f ms", method, path, status or "no answer", taken_ms)

    return log

"""An HTTP client that calls an ASGI application in the process, on the running loop.

`HttpClient(app)`, then `await client.get("/orders/1")`. It goes through routing, binding and
encoding as a request from outside does; there is no socket and no thread. What stays open
is in `http_stream.py` and `http_socket.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Unpack

from ringfence.testing.http_message import (
    Content,
    HttpResponse,
    Sent,
    http_scope,
    response_of,
    socket_scope,
)
from ringfence.testing.http_socket import ClientSocket, HandshakeRefused, talking
from ringfence.testing.http_stream import ReceivedEvent, StreamedResponse, streaming
from ringfence.tools.http.wire import Message, Receive, Scope, Send

App = Callable[[Scope, Receive, Send], Awaitable[None]]

__all__ = [
    "ClientSocket",
    "HandshakeRefused",
    "HttpClient",
    "HttpResponse",
    "ReceivedEvent",
    "StreamedResponse",
]


class HttpClient:
    """Sends requests to an ASGI application.

    Args:
        app: The application.
        headers: Sent with every request.
    """

    def __init__(self, app: App, headers: Mapping[str, str] | None = None) -> None:
        self._app = app
        self._headers = dict(headers or {})

    async def get(self, path: str, **sent: Unpack[Sent]) -> HttpResponse:
        """Send a GET request; arguments as for `request`."""
        return await self.request("GET", path, **sent)

    async def head(self, path: str, **sent: Unpack[Sent]) -> HttpResponse:
        """Send a HEAD request; arguments as for `request`."""
        return await self.request("HEAD", path, **sent)

    async def options(self, path: str, **sent: Unpack[Sent]) -> HttpResponse:
        """Send an OPTIONS request; arguments as for `request`."""
        return await self.request("OPTIONS", path, **sent)

    async def delete(self, path: str, **sent: Unpack[Sent]) -> HttpResponse:
        """Send a DELETE request; arguments as for `request`."""
        return await self.request("DELETE", path, **sent)

    async def post(self, path: str, **sent: Unpack[Content]) -> HttpResponse:
        """Send a POST request; arguments as for `request`."""
        return await self.request("POST", path, **sent)

    async def put(self, path: str, **sent: Unpack[Content]) -> HttpResponse:
        """Send a PUT request; arguments as for `request`."""
        return await self.request("PUT", path, **sent)

    async def patch(self, path: str, **sent: Unpack[Content]) -> HttpResponse:
        """Send a PATCH request; arguments as for `request`."""
        return await self.request("PATCH", path, **sent)

    async def request(self, method: str, path: str, **sent: Unpack[Content]) -> HttpResponse:
        """Send a request and wait for the whole answer.

        Args:
            method: `GET`, `POST`, …
            path: As it goes over the wire, a query included; what is not ASCII is encoded.
            **sent: What goes with it, each of these optional:
                `params`: added to the query; a list or tuple repeats its name.
                `headers`: over those of the client.
                `cookies`: by name.
                `json`: anything that msgspec encodes; None sends no body.
                `content`: the body as bytes; says nothing of its type.
                `data`: the fields of a form; a list or tuple repeats its name.
                `files`: of a form, by field: `("a.png", b"…", "image/png")`, or a list of those.

        Raises:
            RuntimeError: The application ended without a whole answer.
        """
        scope, body = http_scope(method, path, self._headers, sent)
        exchange = _Exchange(body)
        await self._app(scope, exchange.receive, exchange.send)
        return exchange.response()

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, last_event_id: str | None = None, **sent: Unpack[Content]
    ) -> AsyncIterator[StreamedResponse]:
        """Send a request and read the answer as it comes; leaving the block breaks it off.

            async with client.stream("GET", "/prices") as answer:
                async for event in answer.events(): ...

        The application is held up while nobody reads, by one piece.

        Args:
            method: As for `request`.
            path: As for `request`.
            last_event_id: Goes on after this event; `answer.last_event_id` of an earlier one.
            **sent: As for `request`.

        Raises:
            RuntimeError: The application ended without an answer.
        """
        scope, body = http_scope(method, path, self._headers, sent)
        if last_event_id is not None:
            scope["headers"].append((b"last-event-id", last_event_id.encode()))
        async with streaming(self._app, scope, body) as answer:
            yield answer

    @asynccontextmanager
    async def websocket(
        self, path: str, *, subprotocols: Sequence[str] = (), **sent: Unpack[Sent]
    ) -> AsyncIterator[ClientSocket]:
        """Open a WebSocket; leaving the block closes it and waits for the handler's end.

            async with client.websocket("/chat") as socket:
                await socket.send({"say": "hello"})
                answer = await socket.receive(Said)

        Args:
            path: As for `request`.
            subprotocols: That are offered, in order of preference.
            **sent: `params`, `headers` and `cookies`, as for `request`.

        Raises:
            HandshakeRefused: The application answered with something else; `response` says what.
        """
        scope = socket_scope(path, self._headers, sent, subprotocols)
        async with talking(self._app, scope) as socket:
            yield socket


class _Exchange:
    """One request on its way, and the answer as it comes."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._start: Message | None = None
        self._received: list[bytes] = []
        self._complete = asyncio.Event()

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._complete.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self._complete.is_set():
            raise RuntimeError(f"{message['type']} was sent after the end of the answer")
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._received.append(message.get("body", b""))
        if not message.get("more_body", False):
            self._complete.set()

    def response(self) -> HttpResponse:
        if self._start is None or not self._complete.is_set():
            raise RuntimeError("the application ended without a whole answer")
        return response_of(self._start, b"".join(self._received))

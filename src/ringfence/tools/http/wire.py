"""The parts of ASGI that this tool uses, as types: a scope, its messages, and an answer.

An `Answer` is a whole response in memory. Used by everything here that talks to a server.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import NotRequired, Required, TypedDict
from urllib.parse import quote

from msgspec import Struct

from ringfence.kernel.ports import Inbound

Headers = list[tuple[bytes, bytes]]
JSON_TYPE = (b"content-type", b"application/json")
REFUSED = 1008  # the close code of a WebSocket that the application does not want


class Scope(TypedDict):
    """One request, as the server describes it."""

    type: str
    method: str
    path: str
    query_string: bytes
    headers: Headers
    raw_path: NotRequired[bytes]
    http_version: NotRequired[str]
    root_path: NotRequired[str]
    scheme: NotRequired[str]
    subprotocols: NotRequired[list[str]]
    inbound: NotRequired[Inbound | None]  # of the trace outside, as the driver found it
    extensions: NotRequired[Mapping[str, object] | None]


class Message(TypedDict, total=False):
    """One step of a request or of its answer, or of a WebSocket."""

    type: Required[str]
    status: int
    headers: Headers
    body: bytes
    more_body: bool
    text: str | None
    bytes: "bytes | None"
    code: int
    reason: str | None
    subprotocol: str | None


Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
Handle = Callable[[Scope, Receive, Send, tuple[str, ...]], Awaitable[None]]


class Disconnected(Exception):
    """The client went away before its request was complete; nobody is left to answer."""


class Answer(Struct, frozen=True):
    """A whole response."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()

    async def send_to(self, send: Send) -> None:
        """Send it."""
        headers = list(self.headers)
        if self.status != 204:  # RFC 9110, 8.6: it has no length, not even none
            headers.append((b"content-length", b"%d" % len(self.body)))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def raw_path(scope: Scope) -> bytes:
    """Return the path as it came in; written again where the server does not say."""
    return scope.get("raw_path") or quote(scope["path"]).encode()


def path_below(scope: Scope) -> bytes:
    """Return the path below where this application is mounted, as it came in."""
    root = scope.get("root_path")
    return raw_path(scope).removeprefix(quote(root).encode()) if root else raw_path(scope)


async def answer(said: Answer, scope: Scope, send: Send) -> None:
    """Send an answer of our own: to a request, or instead of completing a handshake; that is 403
    where the server knows no other."""
    if scope["type"] != "websocket":
        await said.send_to(bodiless(send) if scope["method"] == "HEAD" else send)
    elif "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": REFUSED, "reason": ""})
    else:
        headers = [*said.headers, (b"content-length", b"%d" % len(said.body))]
        start: Message = {"type": "websocket.http.response.start", "status": said.status}
        await send({**start, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": said.body})


def bodiless(send: Send) -> Send:
    """Return a `send` that leaves bodies out: how HEAD is answered by what answers GET."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head

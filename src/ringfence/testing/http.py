"""An HTTP client that calls an ASGI application in the process, on the running loop.

`HttpClient(app)`, then `await client.get("/orders/1")`. It goes through routing, binding and
encoding as a request from outside does; there is no socket and no thread.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar, overload
from urllib.parse import quote, unquote, urlencode

import msgspec
from msgspec import Struct

from ringfence.tools.http.wire import Message, Receive, Scope, Send

T = TypeVar("T")
App = Callable[[Scope, Receive, Send], Awaitable[None]]
# Of a raw path, what is already as it goes over the wire.
_SAFE = "/%:@!$&'()*+,;=~-._"


class HttpResponse(Struct, frozen=True):
    """What came back. Names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @overload
    def json(self) -> object: ...

    @overload
    def json(self, into: type[T]) -> T: ...

    def json(self, into: type[T] | None = None) -> T | object:
        """Return the body, decoded.

        Args:
            into: The type to read it as; without it plain dicts, lists and scalars.
        """
        return msgspec.json.decode(self.body) if into is None else self._read(into)

    def _read(self, into: type[T]) -> T:
        return msgspec.json.decode(self.body, type=into)


class HttpClient:
    """Sends requests to an ASGI application.

    Args:
        app: The application.
        headers: Sent with every request.
    """

    def __init__(self, app: App, headers: Mapping[str, str] | None = None) -> None:
        self._app = app
        self._headers = dict(headers or {})

    async def get(
        self,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """Send a GET request; arguments as for `request`."""
        return await self.request("GET", path, params=params, headers=headers)

    async def delete(
        self,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """Send a DELETE request; arguments as for `request`."""
        return await self.request("DELETE", path, params=params, headers=headers)

    async def post(
        self,
        path: str,
        *,
        json: object = None,
        content: bytes | None = None,
        params: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """Send a POST request; arguments as for `request`."""
        return await self.request(
            "POST", path, json=json, content=content, params=params, headers=headers
        )

    async def put(
        self,
        path: str,
        *,
        json: object = None,
        content: bytes | None = None,
        params: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """Send a PUT request; arguments as for `request`."""
        return await self.request(
            "PUT", path, json=json, content=content, params=params, headers=headers
        )

    async def patch(
        self,
        path: str,
        *,
        json: object = None,
        content: bytes | None = None,
        params: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """Send a PATCH request; arguments as for `request`."""
        return await self.request(
            "PATCH", path, json=json, content=content, params=params, headers=headers
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        content: bytes | None = None,
        params: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """Send a request and wait for the whole answer.

        Args:
            method: `GET`, `POST`, …
            path: As it goes over the wire, a query included; what is not ASCII is encoded.
            json: Anything that msgspec encodes; None sends no body.
            content: The body as bytes, instead of `json`; says nothing of its type.
            params: Added to the query; a list or tuple repeats its name.
            headers: Sent with this request, over those of the client.

        Raises:
            RuntimeError: The application ended without a whole answer.
        """
        sent = {**self._headers, **(headers or {})}
        body = content or b""
        if json is not None:
            body = msgspec.json.encode(json)
            sent.setdefault("content-type", "application/json")
        exchange = _Exchange(body)
        await self._app(
            _scope(method, path, params, sent, len(body)), exchange.receive, exchange.send
        )
        return exchange.response()


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
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in self._start.get("headers", [])
        }
        return HttpResponse(self._start.get("status", 0), headers, b"".join(self._received))


def _scope(
    method: str,
    target: str,
    params: Mapping[str, object] | None,
    headers: Mapping[str, str],
    length: int,
) -> Scope:
    path, _, query = target.partition("?")
    added = urlencode(
        [(name, text) for name, value in (params or {}).items() for text in _texts(value)]
    )
    raw_path = quote(path, safe=_SAFE)
    sent = {"host": "testserver", **{name.lower(): value for name, value in headers.items()}}
    if length or method in ("POST", "PUT", "PATCH"):
        sent.setdefault("content-length", str(length))
    return {
        "type": "http",
        "method": method,
        "path": unquote(raw_path),
        "raw_path": raw_path.encode(),
        "query_string": "&".join(filter(None, (quote(query, safe=_SAFE + "?"), added))).encode(),
        "root_path": "",
        "headers": [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()
        ],
    }


def _texts(value: object) -> Iterable[str]:
    """How a value stands in a query: several times for a list, as JSON writes it otherwise."""
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    plain = msgspec.to_builtins(value)
    return [plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()]

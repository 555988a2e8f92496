"""Requests as the test client writes them, and answers as it reads them.

`http_scope` and `socket_scope` say in ASGI's words what a client would send; `HttpResponse` is a
whole answer. Nothing here waits for anything.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict, TypeVar, cast, overload
from urllib.parse import quote, unquote, urlencode

import msgspec
from msgspec import Struct

from ringfence.contracts.payload import carry_in, carry_out
from ringfence.tools.http.wire import Message, Scope

T = TypeVar("T")
Upload = tuple[str, bytes] | tuple[str, bytes, str]
# Of a raw path, what is already as it goes over the wire.
_SAFE = "/%:@!$&'()*+,;=~-._"


class Sent(TypedDict, total=False):
    """What may go with a request; `HttpClient.request` says what each is."""

    params: Mapping[str, object] | None
    headers: Mapping[str, str] | None
    cookies: Mapping[str, str] | None


class Content(Sent, total=False):
    """What may go with a request that has a body."""

    json: object
    content: bytes | None
    data: Mapping[str, object] | None
    files: Mapping[str, Upload | list[Upload]] | None


class HttpResponse(Struct, frozen=True):
    """What came back. Names of headers are in lower case.

    `headers` has the last value of each name; `header_list` all of them, in order.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    header_list: tuple[tuple[str, str], ...] = ()

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
        return msgspec.json.decode(self.body, type=into, dec_hook=carry_in)


def response_of(start: Message, body: bytes) -> HttpResponse:
    """Put an answer together from its first message and its body."""
    listed = header_list(start)
    return HttpResponse(start.get("status", 0), dict(listed), body, listed)


def header_list(start: Message) -> tuple[tuple[str, str], ...]:
    """Return the headers of an answer as text, names in lower case."""
    return tuple(
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in start.get("headers", [])
    )


def http_scope(
    method: str, target: str, defaults: Mapping[str, str], sent: Content
) -> tuple[Scope, bytes]:
    """Return a request and its body."""
    kind, body = _body(sent)
    scope = _scope("http", target, defaults, sent)
    scope["method"] = method
    given = {name for name, _ in scope["headers"]}
    if kind and b"content-type" not in given:
        scope["headers"].append((b"content-type", kind.encode()))
    if (body or method in ("POST", "PUT", "PATCH")) and b"content-length" not in given:
        scope["headers"].append((b"content-length", b"%d" % len(body)))
    return scope, body


def socket_scope(
    target: str, defaults: Mapping[str, str], sent: Sent, subprotocols: Sequence[str]
) -> Scope:
    """Return the request to open a WebSocket."""
    scope = _scope("websocket", target, defaults, sent)
    cast("dict[str, object]", scope).pop("method")  # a server says none
    scope["subprotocols"] = list(subprotocols)
    scope["extensions"] = {"websocket.http.response": {}}
    return scope


def _scope(kind: str, target: str, defaults: Mapping[str, str], sent: Sent) -> Scope:
    path, _, query = target.partition("?")
    added = urlencode(_pairs(sent.get("params") or {}))
    raw_path = quote(path, safe=_SAFE)
    named = {**defaults, **(sent.get("headers") or {})}
    headers = {"host": "testserver", **{name.lower(): value for name, value in named.items()}}
    cookies = sent.get("cookies")
    if cookies:
        headers["cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return {
        "type": kind,
        "method": "GET",
        "scheme": "ws" if kind == "websocket" else "http",
        "path": unquote(raw_path),
        "raw_path": raw_path.encode(),
        "query_string": "&".join(filter(None, (quote(query, safe=_SAFE + "?"), added))).encode(),
        "root_path": "",
        "headers": [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
        ],
    }


def _body(sent: Content) -> tuple[str, bytes]:
    """Return the type of a body, empty where it says nothing of it, and the body."""
    json, data, files = sent.get("json"), sent.get("data"), sent.get("files")
    if json is not None:
        return "application/json", msgspec.json.encode(json, enc_hook=carry_out)
    if files:
        return _multipart(_pairs(data or {}), files)
    if data is not None:
        return "application/x-www-form-urlencoded", urlencode(_pairs(data)).encode()
    return "", sent.get("content") or b""


def _multipart(
    fields: Iterable[tuple[str, str]], files: Mapping[str, Upload | list[Upload]]
) -> tuple[str, bytes]:
    boundary = secrets.token_hex(16)
    parts = [(f'name="{_quoted(name)}"\r\n', text.encode()) for name, text in fields]
    for name, given in files.items():
        for upload in given if isinstance(given, list) else [given]:
            kind = upload[2] if len(upload) == 3 else "application/octet-stream"
            head = f'name="{_quoted(name)}"; filename="{_quoted(upload[0])}"\r\n'
            parts.append((f"{head}Content-Type: {kind}\r\n", upload[1]))
    body = b"".join(
        f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n".encode() + content + b"\r\n"
        for head, content in parts
    )
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


def _quoted(name: str) -> str:
    """Write a name as a browser writes it into a form."""
    return name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")


def _pairs(values: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(name, text) for name, value in values.items() for text in _texts(value)]


def _texts(value: object) -> Iterable[str]:
    """How a value stands in a query: several times for a list, as JSON writes it otherwise."""
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    plain = msgspec.to_builtins(value)
    return [plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()]

"""Answers as gzip, where the client takes it and it saves something.

`compressing(app, min_bytes)`. A body that is in one piece is compressed 64 KiB at a time, and the
event loop runs in between; what is sent piece by piece is flushed with every piece, so that nothing
waits here. An ETag is made weak: it then names what is meant, not the bytes.
"""

import asyncio
import re
import zlib
from collections.abc import Iterable
from functools import partial

from ringfence.tools.http.wire import Asgi, Headers, Message, Receive, Scope, Send

PIECE_BYTES = 64 << 10
LEVEL = 6  # of 9; what gzip itself and nginx's documentation take for the balance
_GZIP = 16 + zlib.MAX_WBITS
_TEXT = re.compile(
    rb"(?!text/event-stream)text/.*|application/(?:.*[+.-])?(?:json|xml|javascript|ecmascript)"
    rb"|application/(?:x-)?(?:ndjson|jsonl)|image/svg\+xml|(?:.*\+)(?:json|xml)"
)
# A part of a file, and what has no body.
_NEVER = frozenset({204, 205, 206, 304})


def compressing(app: Asgi, min_bytes: int) -> Asgi:
    """Return `app` with its answers compressed.

    Args:
        app: Any ASGI application.
        min_bytes: From which size on; an answer that does not say its size counts as large.
    """

    async def compress(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            wanted = scope["method"] != "HEAD" and takes_gzip(scope["headers"])
            send = _Answer(send, min_bytes, wanted)
        await app(scope, receive, send)

    return compress


def takes_gzip(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request's Accept-Encoding prefers gzip to a body as it is."""
    weights: dict[str, float] = {}
    for name, value in headers:
        if name == b"accept-encoding":
            for part in value.decode("latin-1").lower().split(","):
                coding, _, parameter = part.partition(";")
                weights[coding.strip()] = _weight(parameter)
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _weight(parameter: str) -> float:
    if not parameter.strip():
        return 1.0
    match = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", parameter)
    return float(match[1]) if match else 0.0


class _Answer:
    """One answer on its way out."""

    def __init__(self, send: Send, min_bytes: int, wanted: bool) -> None:
        self._send = send
        self._min_bytes = min_bytes
        self._wanted = wanted
        self._held: Message | None = None  # a start whose length is known with the body
        self._stream: _Gzip | None = None

    async def __call__(self, message: Message) -> None:
        match message["type"]:
            case "http.response.start":
                await self._start(message)
            case "http.response.body" if self._stream is not None:
                await self._body(self._stream, message)
            case _:
                await self._send(message)

    async def _start(self, message: Message) -> None:
        headers = list(message.get("headers", ()))
        length = _length(headers)
        if not self._can(message, headers) or (length is not None and length < self._min_bytes):
            await self._send(message)
            return
        headers = _varying(headers)
        if not self._wanted:
            await self._send({**message, "headers": headers})
            return
        self._stream = _Gzip()
        message = {**message, "headers": _encoded(headers)}
        if length is not None and length <= PIECE_BYTES:
            self._held = message
        else:
            await self._send(message)

    @staticmethod
    def _can(message: Message, headers: Headers) -> bool:
        found = {name.lower(): value for name, value in headers}
        media_type = found.get(b"content-type", b"").partition(b";")[0].strip().lower()
        return (
            message.get("status") not in _NEVER
            and b"content-encoding" not in found
            and b"content-range" not in found
            and b"no-transform" not in found.get(b"cache-control", b"").lower()
            and _TEXT.fullmatch(media_type) is not None
        )

    async def _body(self, stream: "_Gzip", message: Message) -> None:
        body, more = message.get("body", b""), bool(message.get("more_body"))
        if self._held is not None:
            start, self._held = self._held, None
            if not more and len(body) <= PIECE_BYTES:
                whole = stream.feed(body) + stream.end()
                length = (b"content-length", b"%d" % len(whole))
                await self._send({**start, "headers": [*start.get("headers", ()), length]})
                await self._send({"type": message["type"], "body": whole})
                return
            await self._send(start)
        rest = memoryview(body)
        while len(rest) > PIECE_BYTES:
            if piece := stream.feed(rest[:PIECE_BYTES]):
                await self._send({"type": message["type"], "body": piece, "more_body": True})
            await asyncio.sleep(0)
            rest = rest[PIECE_BYTES:]
        last = stream.feed(rest) + (stream.flush() if more else stream.end())
        await self._send({"type": message["type"], "body": last, "more_body": more})


class _Gzip:
    """One stream of gzip."""

    def __init__(self) -> None:
        compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
        self.feed = compressor.compress
        self.end = compressor.flush
        self.flush = partial(compressor.flush, zlib.Z_SYNC_FLUSH)


def _length(headers: Headers) -> int | None:
    for name, value in headers:
        if name.lower() == b"content-length" and value.isdigit():
            return int(value)
    return None


def _varying(headers: Headers) -> Headers:
    """Say that the answer depends on what the client accepts."""
    said = b",".join(value for name, value in headers if name.lower() == b"vary").lower()
    names = {name.strip() for name in said.split(b",")}
    if names & {b"*", b"accept-encoding"}:
        return headers
    return [*headers, (b"vary", b"Accept-Encoding")]


def _encoded(headers: Headers) -> Headers:
    """Return the headers of the compressed answer, without its length."""
    kept: Headers = [(b"content-encoding", b"gzip")]
    for name, value in headers:
        match name.lower():
            case b"content-length" | b"accept-ranges":
                continue
            case b"etag" if not value.startswith(b"W/"):
                kept.append((name, b"W/" + value))
            case _:
                kept.append((name, value))
    return kept

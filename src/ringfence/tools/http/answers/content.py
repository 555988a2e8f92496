"""Answers from a store: bytes that are somewhere else than in a file of this machine's.

`Content` is what a store hands out, such as the `files` tool, of which this one knows nothing;
`send_content` sends it, whole or a range. Invariant: what is sent is one version, as long as it was
said to be, or the connection is cut; and nothing is sent before the store has given something.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Protocol, cast

from ringfence.tools.http.answers.conditional import entity_tag, http_date, not_modified
from ringfence.tools.http.answers.headers import header
from ringfence.tools.http.problem import Refused
from ringfence.tools.http.wire import Headers, Message, Receive, Scope, Send

# What a 304 repeats of the answer that it stands for.
OF_304 = {b"cache-control", b"content-location", b"date", b"etag", b"expires", b"last-modified"}
OF_304 |= {b"vary"}
_RANGE = re.compile(rb"bytes *= *(?:(\d{1,18})-(\d{0,18})|-(\d{1,18})) *", re.IGNORECASE)


class Content(Protocol):
    """One version of something, to be sent piece by piece."""

    @property
    def name(self) -> str: ...

    @property
    def size_bytes(self) -> int: ...

    @property
    def content_type(self) -> str: ...

    @property
    def etag(self) -> str: ...

    @property
    def modified_at(self) -> datetime: ...

    def stream(self, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]: ...


async def send_content(
    content: Content,
    headers: Mapping[str, str],
    scope: Scope,
    receive: Receive,
    send: Send,
    media_type: str | None = None,
    status: int = 200,
) -> None:
    """Send a content as the request asks for it: all, one range, or 304. Who asks for several
    ranges at once is sent all.

    Args:
        content: What is sent.
        headers: Of the answer; names in lower case.
        scope: The request; only GET and HEAD get 304, only GET ranges.
        receive: By which a client that goes away is noticed.
        send: Waits while the client is slow.
        media_type: By default the content's own.
        status: Of a whole answer.

    Raises:
        ValueError: A header cannot be sent; nothing has been sent.
        OSError: There was less than was said, and the answer is incomplete.
        Exception: Whatever the store raises, before anything has been sent or later.
    """
    kind = media_type or content.content_type
    named = {
        "content-type": _with_charset(kind),
        "accept-ranges": "bytes",
        "etag": entity_tag(content.etag),
        "last-modified": http_date(content.modified_at),
        **headers,
    }
    raw = [header(name, value) for name, value in named.items()]
    method, asked = scope["method"], scope["headers"]
    is_plain = status == 200 and method in ("GET", "HEAD")
    if is_plain and not_modified(asked, named["etag"], content.modified_at):
        kept = [(name, value) for name, value in raw if name in OF_304]
        await send({"type": "http.response.start", "status": 304, "headers": kept})
        await send({"type": "http.response.body", "body": b""})
        return
    start, end = 0, content.size_bytes
    part = _part(asked, end, named) if status == 200 and method == "GET" else None
    if part is not None:
        start, end = part
        shown = f"bytes {start}-{end - 1}/{content.size_bytes}"
        raw.append((b"content-range", shown.encode()))
        status = 206
    raw.append((b"content-length", b"%d" % (end - start)))
    if method == "HEAD":
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": b""})
        return
    await _until_gone(_send(content, start, end, status, raw, send), receive)


async def _send(
    content: Content, start: int, end: int, status: int, headers: Headers, send: Send
) -> None:
    left = end - start
    begin: Message = {"type": "http.response.start", "status": status, "headers": headers}
    pieces = cast("AsyncGenerator[bytes]", content.stream(start=start, length=left))
    async with aclosing(pieces):
        piece = await anext(pieces, None)
        await send(begin)
        while piece is not None and left:
            piece = piece[:left]
            left -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
            piece = await anext(pieces, None) if left else None
    if left:
        raise OSError(f"the content is shorter than was said: {left} bytes lack")
    if start == end:
        await send({"type": "http.response.body", "body": b""})


async def _until_gone(sending: Coroutine[object, None, None], receive: Receive) -> None:
    """Send, until it is done or the client goes away, which is no error."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.create_task(sending), asyncio.create_task(gone())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in ended:
        if isinstance(outcome, Exception):
            raise outcome


def _part(asked: Headers, size_bytes: int, named: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the range that is asked for, its end excluded; None for all.

    Raises:
        Refused: No byte is in it.
    """
    ranges = [value for name, value in asked if name == b"range"]
    match = _RANGE.fullmatch(ranges[0]) if len(ranges) == 1 else None
    if match is None or not _is_same(asked, named):
        return None
    first, last, tail = (None if one in (None, b"") else int(one) for one in match.groups())
    if first is not None and last is not None and first > last:
        return None  # it means nothing, and is ignored
    if first is None:
        assert tail is not None, "of the two ways to write a range"
        start, end = max(0, size_bytes - tail), size_bytes
    else:
        start, end = first, size_bytes if last is None else min(size_bytes, last + 1)
    if start >= end:
        said = "no byte of the file is in the range that is asked for"
        length = (b"content-range", b"bytes */%d" % size_bytes)
        raise Refused(416, "range_not_satisfiable", said, headers=(length,))
    return start, end


def _is_same(asked: Headers, named: Mapping[str, str]) -> bool:
    """Whether a part fits what the client has of it, as far as it says so; a weak tag does not."""
    conditions = [value.decode("latin-1") for name, value in asked if name == b"if-range"]
    return all(one in (named["etag"], named["last-modified"]) for one in conditions)


def _with_charset(media_type: str) -> str:
    # As for a file on disk: without it browsers take text for something older than UTF-8.
    is_bare = media_type.startswith("text/") and "charset=" not in media_type
    return f"{media_type}; charset=utf-8" if is_bare else media_type

"""Answers that are sent piece by piece: `Stream`, and server-sent events as `EventStream`.

A handler returns one; `delivery.py` sends it. Here is also how a piece and an event are written:
the text of an event never holds a line that its author did not mean.
"""

import re
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import Generic, TypeVar

from msgspec import Struct

from ringfence.tools.http.answers.headers import content_disposition, header
from ringfence.tools.http.wire import Headers

T = TypeVar("T")
Encode = Callable[[object], bytes]
_LINE_END = re.compile(r"\r\n|\r|\n")  # what an event stream takes for one, and nothing else


class Stream:
    """An answer that is sent piece by piece, without ever being whole in memory.

        @get("/report.csv")
        async def report(self) -> Stream:
            return Stream(self._lines(), "text/csv", filename="report.csv")

    Args:
        source: Yields the pieces; text is sent as UTF-8. One that is not async is stepped on the
            plugin's threads, each step by itself: it holds no block of a tool open across a yield.
        media_type: Of the whole.
        headers: Of the answer, beside its type.
        filename: Under which a browser saves it.

    Guarantees:
        What the source raises before its first piece is answered as any error. What it raises
        later cuts the connection, so that the client sees an incomplete answer. The source is
        closed when the client goes away.
    """

    __slots__ = ("filename", "headers", "media_type", "source")

    def __init__(
        self,
        source: AsyncIterable[bytes | str] | Iterable[bytes | str],
        media_type: str = "application/octet-stream",
        headers: Mapping[str, str] | None = None,
        filename: str | None = None,
    ) -> None:
        if isinstance(source, str | bytes | bytearray):
            raise TypeError(
                "Stream: its source is the whole answer; expected an iterable of pieces,"
                f" got {type(source).__name__}. Return the value itself, or bytes in a Reply."
            )
        self.source = source
        self.media_type = media_type
        self.headers: Mapping[str, str] = headers or {}
        self.filename = filename


class ServerEvent(Struct, Generic[T], frozen=True):
    """One event, where its data alone is not enough.

    Args:
        data: A `str` is sent as it is, anything else as JSON.
        id: What the client gives as `Last-Event-ID` when it connects again.
        event: Its type; a browser calls it `message` where there is none.
    """

    data: T
    id: str | None = None
    event: str | None = None

    def __post_init__(self) -> None:
        for name, text in (("id", self.id), ("event", self.event)):
            if text is not None and any(character in text for character in "\r\n\0"):
                raise ValueError(f"ServerEvent: its {name} is {text!r}; expected a single line.")


class EventStream(Generic[T]):
    """Server-sent events: an answer that goes on for as long as there is something to say.

        @get("/prices")
        async def feed(self, last_event_id: Header[str | None] = None) -> EventStream[Price]:
            return EventStream(self._prices(since=last_event_id))

    A client that was cut off connects again by itself and gives the id of the last event that it
    has seen as `Last-Event-ID`; the source starts after that one.

    Args:
        source: Yields `ServerEvent`s, or plain values, each the data of an event. As for `Stream`.
        heartbeat_s: Seconds of silence after which a comment is sent, so that proxies keep the
            connection and one that is lost is noticed; 0: never.
        retry_s: Seconds that the client waits before it connects again; None: as it likes.

    Guarantees:
        The source is closed when the client goes away or the application stops; the answer is
        complete then, and clients connect again.
    """

    __slots__ = ("heartbeat_s", "retry_s", "source")

    def __init__(
        self,
        source: AsyncIterable[T | ServerEvent[T]] | Iterable[T | ServerEvent[T]],
        heartbeat_s: float = 15,
        retry_s: float | None = None,
    ) -> None:
        self.source = source
        self.heartbeat_s = heartbeat_s
        self.retry_s = retry_s


def start_headers(answer: Stream | EventStream[object]) -> Headers:
    """Return the headers of an answer.

    Raises:
        ValueError: One of them cannot be sent.
    """
    if isinstance(answer, EventStream):
        named = {
            "content-type": "text/event-stream",
            "cache-control": "no-store",
            "x-accel-buffering": "no",  # nginx would keep events back until it has enough of them
        }
    else:
        named = {"content-type": _with_charset(answer.media_type)}
        if answer.filename is not None:
            named["content-disposition"] = content_disposition(answer.filename)
        named |= {name.lower(): value for name, value in answer.headers.items()}
    return [header(name, value) for name, value in named.items()]


def write_piece(piece: object) -> bytes:
    """Return a piece of a `Stream` as it is sent."""
    if isinstance(piece, str):
        return piece.encode()
    if isinstance(piece, bytes | bytearray | memoryview):
        return bytes(piece)
    raise TypeError(f"Stream: a piece is {type(piece).__name__}; expected bytes or str.")


def write_event(item: object, encode: Encode) -> bytes:
    """Return an event as it is sent, its blank line included.

    Args:
        item: A `ServerEvent`, or the data of one.
        encode: Writes data that is no text, as JSON on one line.
    """
    event: ServerEvent[object] = item if isinstance(item, ServerEvent) else ServerEvent(item)
    data = event.data if isinstance(event.data, str) else encode(event.data).decode()
    lines = [f"data: {line}" for line in _LINE_END.split(data)]
    if event.event is not None:
        lines.insert(0, f"event: {event.event}")
    if event.id is not None:
        lines.insert(0, f"id: {event.id}")
    return "\n".join([*lines, "\n"]).encode()


def _with_charset(media_type: str) -> str:
    """Say that text is UTF-8: without it browsers take it for something older."""
    if media_type.startswith("text/") and "charset=" not in media_type:
        return f"{media_type}; charset=utf-8"
    return media_type

"""Answers that are sent piece by piece: `Stream`, and server-sent events as `EventStream`.

A handler returns one; `serve` runs the handler and then its source, a step at a time, inside the
connection's context. The source is closed whichever way its answer ends, and a client that reads
slowly slows it down. Events are written by `events.py`.
"""

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Stream(Struct, frozen=True, eq=False):
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

    source: AsyncIterable[bytes | str] | Iterable[bytes | str]
    media_type: str = "application/octet-stream"
    headers: Mapping[str, str] = {}
    filename: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.source, str | bytes | bytearray):
            raise TypeError(
                "Stream: its source is the whole answer; expected an iterable of pieces,"
                f" got {type(self.source).__name__}. Return the value itself, or bytes in a Reply."
            )


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


class EventStream(Struct, Generic[T], frozen=True, eq=False):
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

    source: AsyncIterable[T | ServerEvent[T]] | Iterable[T | ServerEvent[T]]
    heartbeat_s: float = 15
    retry_s: float | None = None

"""The request itself, for a feature that needs more of it than its parameters say.

`request: Request` is all of it but the body; `body: BodyStream` is the body as it comes in, which
nothing holds in memory.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import ClassVar

from msgspec import Struct

from ringfence.errors import AppError
from ringfence.tools.http.wire import Headers, Receive


class BodyTooLong(AppError, code="body_too_long"):
    """A body that is read as a stream is longer than its route allows."""

    status = 413


class BodyCutShort(AppError, code="body_cut_short"):
    """The client went away in the middle of a body that is read as a stream."""

    status = 400


class HeaderMap(Mapping[str, str]):
    """Headers by name, in any case; the first where a name is given several times."""

    def __init__(self, headers: Headers) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in headers:
            self._values.setdefault(name.decode("latin-1").lower(), []).append(
                value.decode("latin-1")
            )

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][0]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def getlist(self, name: str) -> list[str]:
        """Return every value of a name, in the order that they came in."""
        return list(self._values.get(name.lower(), ()))

    def __repr__(self) -> str:
        return f"HeaderMap({', '.join(self._values)})"  # a value may be a secret


class Request(Struct, frozen=True):
    """A request, without its body.

    `query` is the text after `?`; `client` is the address that it came from, None where the
    server does not know it; `url` is what the client asked for, as far as it says so.
    """

    __ringfence_http__: ClassVar[str] = "request"

    method: str
    path: str
    query: str
    headers: HeaderMap
    cookies: Mapping[str, str]
    client: str | None
    scheme: str

    @property
    def url(self) -> str:
        """Scheme, host, path and query; the host is what the client says it is."""
        query = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{self.headers.get('host', '')}{self.path}{query}"


class BodyStream:
    """The raw body, piece by piece: `async for piece in body`. It can be read once.

    Args:
        receive: Gives the body's messages.
        limit: Bytes that are read, at most.

    Raises:
        BodyTooLong: While it is read: there is more than the route's `max_body_bytes`.
        BodyCutShort: While it is read: the client went away.
    """

    __ringfence_http__: ClassVar[str] = "body"

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._left = limit
        self._limit = limit
        self._complete = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while not self._complete:
            message = await self._receive()
            if message["type"] != "http.request":
                raise BodyCutShort("the client went away before the body was complete")
            self._complete = not message.get("more_body", False)
            piece = message.get("body", b"")
            self._left -= len(piece)
            if self._left < 0:
                self._complete = True
                raise BodyTooLong(f"the body is longer than {self._limit} bytes")
            if piece:
                yield piece

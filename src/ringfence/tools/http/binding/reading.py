"""A request that is not on the hot path, on its way to arguments: headers, cookies, forms, files.

    incoming = Incoming(scope, receive, captures, limits, max_body_bytes)
    args = await read(plan, incoming)
    ...
    await incoming.close()

Only what the plan asks for is read. A body is held in memory only where an argument is the whole of
it, and never more than `max_body_bytes` of it are read.
"""

from contextlib import aclosing
from typing import cast

from ringfence.kernel.ports import REQUIRED
from ringfence.tools.http.binding import cookies, forms, query
from ringfence.tools.http.binding.arguments import (
    UNREADABLE,
    Argument,
    FromBody,
    FromBodyStream,
    FromCookie,
    FromFile,
    FromForm,
    FromFormField,
    FromHeader,
    FromIfMatch,
    FromQuery,
    FromRawBody,
    FromRequest,
    FromWholeQuery,
    Parts,
    reread,
)
from ringfence.tools.http.binding.body import expect_json, read_rest, refuse_long, too_long
from ringfence.tools.http.binding.forms import Form, Pieces
from ringfence.tools.http.binding.plan import Plan
from ringfence.tools.http.binding.query import Query
from ringfence.tools.http.binding.request import BodyStream, HeaderMap, Request
from ringfence.tools.http.limits import Limits
from ringfence.tools.http.wire import Disconnected, Receive, Scope


class Incoming:
    """A request that is being read, and what it holds until it is answered.

    Args:
        scope: Of the request; `http` or `websocket`.
        receive: Gives the messages of its body.
        captures: The segments that its path's parameters stand for.
        limits: What it may be, at most.
        max_body_bytes: Of its body, as its route says.
        socket: The connection, for a route that is a WebSocket.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        captures: tuple[str, ...],
        limits: Limits,
        max_body_bytes: int,
        socket: object = None,
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._max_params = limits.max_query_params
        self._max_body_bytes = max_body_bytes
        self._form = Form()
        self.captures = captures
        self.socket = socket

    def query(self) -> Query:
        """Read the query. Raises Refused (400)."""
        return query.parse(self._scope["query_string"], self._max_params)

    def headers(self) -> Query:
        """Return the values of each header, by its name in lower case."""
        found: Query = {}
        for name, value in self._scope["headers"]:
            found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        return found

    def cookies(self) -> dict[str, str]:
        """Read the cookies. Raises Refused (400)."""
        return cookies.parse(self.headers().get("cookie", []), self._max_params)

    def request(self) -> Request:
        """Return the request as a value. Raises Refused (400)."""
        given = cast("dict[str, object]", self._scope)
        client = given.get("client")
        return Request(
            method=str(given.get("method", "GET")),
            path=self._scope["path"],
            query=self._scope["query_string"].decode("latin-1"),
            headers=HeaderMap(self._scope["headers"]),
            cookies=self.cookies(),
            client=str(client[0]) if isinstance(client, list | tuple) else None,
            scheme=str(given.get("scheme", "http")),
        )

    async def content(self) -> bytes:
        """Read the whole body. Raises Refused (413), Disconnected."""
        headers = self._scope["headers"]
        refuse_long(headers, self._max_body_bytes)  # before the client is told to go on
        message = await self._receive()
        start = message.get("body", b"")
        return await read_rest(start, message, self._receive, headers, self._max_body_bytes)

    async def json(self) -> bytes:
        """Read the whole body, which is JSON. Raises Refused (413, 415), Disconnected."""
        content = await self.content()
        expect_json(self._scope["headers"], content)
        return content

    async def form(self, *, with_files: bool) -> Form:
        """Read the body, which is a form. Raises Refused (400, 413, 415), Disconnected."""
        headers = self._scope["headers"]
        refuse_long(headers, self._max_body_bytes)
        async with aclosing(self._pieces()) as pieces:
            self._form = await forms.parse(headers, pieces, self._max_params, with_files=with_files)
        return self._form

    def stream(self) -> BodyStream:
        """Return the body, to be read by whoever gets it. Raises Refused (413)."""
        refuse_long(self._scope["headers"], self._max_body_bytes)
        return BodyStream(self._receive, self._max_body_bytes)

    async def close(self) -> None:
        """Remove what the request left on disk; nothing of its form can be read after it."""
        await self._form.close()

    async def _pieces(self) -> Pieces:
        left = self._max_body_bytes
        more = True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                raise Disconnected
            piece = message.get("body", b"")
            left -= len(piece)
            if left < 0:
                raise too_long(self._max_body_bytes)
            if piece:
                yield piece
            more = message.get("more_body", False)


async def read(plan: Plan, incoming: Incoming) -> tuple[object, ...]:
    """Read the arguments of an operation, in the order of its signature.

    Raises:
        Refused: 400, 413, 415, what the request consists of cannot be read; 422, it does not fit,
            with every fault of it.
        Disconnected: The client went away.
    """
    parts = await _parts(plan, incoming)
    try:
        return tuple([argument.read(parts) for argument in plan.arguments])
    except UNREADABLE as error:
        return reread(plan.arguments, parts, error)


async def _parts(plan: Plan, incoming: Incoming) -> Parts:
    def wants(*kinds: type[Argument]) -> bool:
        return not plan.kinds.isdisjoint(kinds)

    parts = Parts(incoming.captures, socket=incoming.socket)
    if wants(FromQuery, FromWholeQuery):
        parts.query = incoming.query()
    if wants(FromHeader, FromIfMatch):
        parts.headers = incoming.headers()
    if wants(FromCookie):
        parts.cookies = incoming.cookies()
    if wants(FromRequest):
        parts.request = incoming.request()
    if wants(FromBody):
        parts.content = await incoming.json()
    elif wants(FromRawBody):
        parts.content = await incoming.content()
    elif wants(FromBodyStream):
        parts.stream = incoming.stream()
    elif wants(FromForm, FromFormField, FromFile):
        parts.form = await incoming.form(with_files=any(map(_needs_multipart, plan.arguments)))
    return parts


def _needs_multipart(argument: Argument) -> bool:
    return isinstance(argument, FromFile) and argument.parameter.default is REQUIRED

"""Answers that a test declares, and the requests that were made.

    payments = app.driver("payments")
    payments.answer("POST", "charges", json={"id": "ch_1"}, status=201)
    ...
    assert payments.requests[0].json() == {"amount": 5}

Everything but the network is real: targets, headers, retries, limits and errors.
"""

from collections.abc import AsyncIterator, Mapping
from typing import ClassVar

import msgspec
from msgspec import Struct

from ringfence.errors import ToolError
from ringfence.kernel.ports import Grant, ToolEnv
from ringfence.tools.fetch.contract import Fetch, Head
from ringfence.tools.fetch.doubles import Recorded, Reply, Respond
from ringfence.tools.fetch.messages import Outgoing
from ringfence.tools.fetch.options import Config as Config
from ringfence.tools.fetch.service import Incoming, Link, Undone
from ringfence.tools.fetch.tally import Tally


class NotDeclared(ToolError, code="fetch.not_declared"):
    """A feature sent a request for which the test declares no answer."""


class Driver:
    """A link without a network. What no answer is declared for is refused by name."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self.requests: list[Recorded] = []
        self.respond: Respond = self._declared
        self._link = Link(config, env.instance, env.clock, self)
        self._declared_for: dict[tuple[str, str], list[Reply]] = {}
        self._last: dict[tuple[str, str], Reply] = {}

    @property
    def tally(self) -> Tally:
        """What its requests have come to."""
        return self._link.tally

    def answer(
        self,
        method: str,
        path: str,
        *,
        status: int = 200,
        json: object = msgspec.UNSET,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        broken: str = "",
    ) -> None:
        """Declare the answer to the next such request, and to all that follow, until another is.

        Args:
            method: In capitals.
            path: As the feature gives it, its names joined by slashes.
            status: 200 to 599.
            json: The body, encoded here.
            body: In the place of `json`.
            headers: Of the answer.
            broken: `refused` or `lost`, as in `Reply`.
        """
        kind = {} if json is msgspec.UNSET else {"content-type": "application/json"}
        sent = body if json is msgspec.UNSET else msgspec.json.encode(json)
        reply = Reply(status, {**kind, **(headers or {})}, sent, broken)
        self._declared_for.setdefault((method, path), []).append(reply)

    async def start(self) -> None:
        """Do nothing: nobody is at the other end."""

    async def stop(self) -> None:
        """Do nothing; the requests stay."""

    def handle(self, grant: Grant) -> Fetch:
        """Return the `Fetch` of one plugin."""
        return self._link.handle(grant)

    async def send(self, request: Outgoing) -> Incoming:
        """Record a request and give it its answer."""
        body = request.body
        if not isinstance(body, bytes):
            request.begun = True
            body = b"".join([piece async for piece in body])
        where = request.target.shown if request.target.own else _whole_url(request)
        headers = dict(request.headers)
        recorded = Recorded(request.method, where, request.query, headers, body)
        self.requests.append(recorded)
        request.begun = True
        reply = await self.respond(recorded)
        if reply.broken:
            request.begun = reply.broken != "refused"
            raise Undone(f"the connection was {reply.broken}")
        return _Answer(reply, has_body=request.method != "HEAD")

    async def _declared(self, request: Recorded) -> Reply:
        asked = (request.method, request.path)
        if waiting := self._declared_for.get(asked):
            self._last[asked] = waiting.pop(0)
        if asked not in self._last:
            declared = ", ".join(f"{method} {path}" for method, path in self._declared_for)
            raise NotDeclared(
                f"the test declares no answer for it; expected one of: {declared or 'none'}.",
                subject=f"{request.method} {request.path}",
                hint=f"Write `driver.answer({request.method!r}, {request.path!r}, json=…)`.",
            )
        return self._last[asked]


class _Answer:
    """A declared answer, as it comes in."""

    def __init__(self, reply: Reply, *, has_body: bool) -> None:
        self.head = Head(reply.status, {k.lower(): v for k, v in reply.headers.items()})
        self._reply = reply
        self._has_body = has_body

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._reply.body and self._has_body:
            yield self._reply.body
        if self._reply.cut:
            raise Undone("the connection was lost")

    def close(self) -> None:
        pass


def _whole_url(request: Outgoing) -> str:
    return f"{request.target.origin}{request.target.path}"

"""What every driver of `fetch` shares: from a feature's call to an answer or an error.

A driver implements `Transport`, which sends one request and raises `Undone` where that came to
nothing; `Link` makes the `Fetch` that a plugin gets. Here are attempts, retries, redirects and
what an answer is taken for, and here alone.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Protocol, TypeVar, Unpack, overload

from msgspec import Struct

from ringfence.errors import ToolError, TransactionHeld
from ringfence.kernel.ports import Clock, Context, Grant, current
from ringfence.tools.fetch.contract import (
    Asking,
    BadResponse,
    Download,
    Fetch,
    Head,
    LinkUnavailable,
    OutcomeUnknown,
    RefusedTarget,
    Response,
    Sending,
    UnexpectedStatus,
)
from ringfence.tools.fetch.decoding import decoded
from ringfence.tools.fetch.messages import Credential, Outgoing, outgoing
from ringfence.tools.fetch.options import Config
from ringfence.tools.fetch.retries import Retries
from ringfence.tools.fetch.tally import Tally
from ringfence.tools.fetch.target import Targets
from ringfence.tools.fetch.timeouts import Late, Within

T = TypeVar("T")
_log = logging.getLogger("ringfence.tools.fetch")
_REDIRECTS = (301, 302, 303, 307, 308)
_TURNED_AWAY = (429, 503)  # by these a server says that it has not begun
_ERROR_BYTES = 64 << 10  # of an answer that is an error, when it was to be streamed


class Undone(Exception):
    """A request came to nothing on its way.

    Args:
        reason: What happened.
        stale: Whether the other side had closed a connection that was kept: the next one is fresh.
    """

    def __init__(self, reason: str, *, stale: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.stale = stale


class Incoming(Protocol):
    """An answer whose head has come. `close` ends it, in whatever state it is."""

    @property
    def head(self) -> Head: ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Iterate over the body as it comes; raises Undone, BadResponse."""
        ...

    def close(self) -> None: ...


class Transport(Protocol):
    """A driver, as this module sees it."""

    async def send(self, request: Outgoing) -> Incoming:
        """Send a request and wait for the answer's head.

        Raises:
            Undone: It came to nothing; `request.begun` says whether it may have arrived.
            BadResponse, RefusedTarget: As in the contract.
        """
        ...


class _Failed(Struct, frozen=True):
    """An attempt that may be made again, if the request allows it."""

    reason: str
    status: int = 0
    asked_s: float | None = None
    stale: bool = False


class Link:
    """One configured link: what its plugins' handles have in common."""

    def __init__(self, config: Config, instance: str, clock: Clock, transport: Transport) -> None:
        self.config = config
        self.instance = instance
        self.clock = clock
        self.transport = transport
        self.targets = Targets(config.base_url, config.absolute)
        self.retries = Retries(config.retries, clock)
        self.tally = Tally()
        user, password = (config.basic.user, config.basic.password) if config.basic else ("", None)
        self.credential = Credential(config.token, user, password, config.headers)

    def handle(self, grant: Grant) -> Fetch:
        """Return the `Fetch` of one plugin."""
        return Handle(self, grant)

    async def exchange(
        self, request: Outgoing, options: Asking, take: Callable[[Incoming], Awaitable[T]]
    ) -> T:
        """Send a request until it is answered as expected, or never will be; `take` the answer."""
        tried = 0
        self.retries.deposit()
        while True:
            result = await self._attempt(request, options, take)
            if not isinstance(result, _Failed):
                self.tally.answered()
                return result
            if result.stale and not request.fresh and self._may_repeat(request):
                request.fresh = True
                continue
            tried += 1
            pause = self._pause(request, result, tried)
            if pause is None:
                raise self._failure(request, result, tried)
            _log.info("%s: %s; trying again in %.3g s", self.subject(request), result.reason, pause)
            await self.clock.sleep(pause)

    def subject(self, request: Outgoing) -> str:
        """How errors name a request: nothing of its base URL, query or headers."""
        return f"{self.instance}: {request.method} {request.target.shown}"

    async def _attempt(
        self, request: Outgoing, options: Asking, take: Callable[[Incoming], Awaitable[T]]
    ) -> T | _Failed:
        request.begun = False
        refused: Head | None = None
        try:
            with Within(self.clock, self.config.timeout, "answer"):
                incoming = await self.transport.send(request)
                try:
                    status = incoming.head.status
                    if _is_expected(status, options):
                        return await take(incoming)
                    if status >= 500 or status == 429:
                        incoming.close()
                        asked_s = _retry_after(incoming.head)
                        return _Failed(f"it answered {status}", status, asked_s)
                    refused = incoming.head
                    raise self._unexpected(request, refused, await self._said(incoming))
                except BaseException:
                    incoming.close()
                    raise
        except Undone as error:
            return _Failed(error.reason, stale=error.stale)
        except Late as error:
            if refused is not None:
                raise self._unexpected(request, refused, b"") from None
            return _Failed(error.reason)
        except BadResponse as error:
            error.subject = self.subject(request)
            raise

    def _pause(self, request: Outgoing, failed: _Failed, tried: int) -> float | None:
        if not self._may_repeat(request):
            return None
        context = current.get()
        deadline_at = context.deadline_at if context is not None else float("inf")
        return self.retries.pause(tried, failed.asked_s, deadline_at)

    def _may_repeat(self, request: Outgoing) -> bool:
        return not request.begun or (request.repeatable and isinstance(request.body, bytes))

    def _failure(self, request: Outgoing, failed: _Failed, tried: int) -> ToolError:
        error: ToolError
        attempts = f"{tried} attempts" if tried > 1 else "1 attempt"
        said = f"{failed.reason}; {attempts}."
        if request.begun and not request.repeatable and failed.status not in _TURNED_AWAY:
            hint = "It may have been done. With an `idempotency_key=` it can be repeated."
            error = OutcomeUnknown(said, subject=self.subject(request), hint=hint)
        else:
            asked_s = failed.asked_s
            error = LinkUnavailable(said, subject=self.subject(request), retry_after_s=asked_s)
        self.tally.failed(error)
        return error

    async def _said(self, incoming: Incoming) -> bytes:
        """Return the body of an answer whose status alone says enough, if it can be read."""
        try:
            return await _whole(incoming, min(_ERROR_BYTES, self.config.max_bytes))
        except (BadResponse, Undone):
            return b""

    def _unexpected(self, request: Outgoing, head: Head, body: bytes) -> UnexpectedStatus:
        self.tally.answered()
        response = Response(head.status, head.headers, body)
        hint = ""
        if head.status in _REDIRECTS and self.config.redirects == 0:
            hint = "Redirects are not followed; if this one is meant, set `redirects` in its table."
        error = UnexpectedStatus(
            f"it answered {head.status}.",
            response=response,
            subject=self.subject(request),
            hint=hint,
        )
        if error.problem is not None and error.problem.title:
            error.message = f"it answered {head.status}: {error.problem.title!r:.200}."
        return error


class Handle:
    """The `Fetch` of one plugin."""

    def __init__(self, link: Link, grant: Grant) -> None:
        self._link = link
        self._grant = grant

    @overload
    async def get(
        self, path: str, /, *names: str, into: None = None, **options: Unpack[Asking]
    ) -> Response: ...

    @overload
    async def get(
        self, path: str, /, *names: str, into: type[T], **options: Unpack[Asking]
    ) -> T: ...

    async def get(
        self, path: str, /, *names: str, into: type[T] | None = None, **options: Unpack[Asking]
    ) -> Response | T:
        return await self.request("GET", path, *names, into=into, **options)

    async def head(self, path: str, /, *names: str, **options: Unpack[Asking]) -> Response:
        return await self.request("HEAD", path, *names, **options)

    @overload
    async def post(
        self, path: str, /, *names: str, into: None = None, **options: Unpack[Sending]
    ) -> Response: ...

    @overload
    async def post(
        self, path: str, /, *names: str, into: type[T], **options: Unpack[Sending]
    ) -> T: ...

    async def post(
        self, path: str, /, *names: str, into: type[T] | None = None, **options: Unpack[Sending]
    ) -> Response | T:
        return await self.request("POST", path, *names, into=into, **options)

    @overload
    async def put(
        self, path: str, /, *names: str, into: None = None, **options: Unpack[Sending]
    ) -> Response: ...

    @overload
    async def put(
        self, path: str, /, *names: str, into: type[T], **options: Unpack[Sending]
    ) -> T: ...

    async def put(
        self, path: str, /, *names: str, into: type[T] | None = None, **options: Unpack[Sending]
    ) -> Response | T:
        return await self.request("PUT", path, *names, into=into, **options)

    @overload
    async def patch(
        self, path: str, /, *names: str, into: None = None, **options: Unpack[Sending]
    ) -> Response: ...

    @overload
    async def patch(
        self, path: str, /, *names: str, into: type[T], **options: Unpack[Sending]
    ) -> T: ...

    async def patch(
        self, path: str, /, *names: str, into: type[T] | None = None, **options: Unpack[Sending]
    ) -> Response | T:
        return await self.request("PATCH", path, *names, into=into, **options)

    @overload
    async def delete(
        self, path: str, /, *names: str, into: None = None, **options: Unpack[Asking]
    ) -> Response: ...

    @overload
    async def delete(
        self, path: str, /, *names: str, into: type[T], **options: Unpack[Asking]
    ) -> T: ...

    async def delete(
        self, path: str, /, *names: str, into: type[T] | None = None, **options: Unpack[Asking]
    ) -> Response | T:
        return await self.request("DELETE", path, *names, into=into, **options)

    @overload
    async def request(
        self,
        method: str,
        path: str,
        /,
        *names: str,
        into: None = None,
        **options: Unpack[Sending],
    ) -> Response: ...

    @overload
    async def request(
        self, method: str, path: str, /, *names: str, into: type[T], **options: Unpack[Sending]
    ) -> T: ...

    @overload
    async def request(
        self,
        method: str,
        path: str,
        /,
        *names: str,
        into: type[T] | None,
        **options: Unpack[Sending],
    ) -> Response | T: ...

    async def request(
        self,
        method: str,
        path: str,
        /,
        *names: str,
        into: type[T] | None = None,
        **options: Unpack[Sending],
    ) -> Response | T:
        response = await self._followed(method, path, names, options, self._read)
        if into is None:
            return response
        try:
            return response.json(into)
        except BadResponse as error:
            error.subject = self._subject(method, path, names)
            raise

    def _subject(self, method: str, path: str, names: tuple[str, ...]) -> str:
        """How errors name what was sent: an absolute URL may hold what only its owner knows."""
        return f"{self._link.instance}: {method} {self._link.targets.of(path, names).shown}"

    def stream(
        self, method: str, path: str, /, *names: str, **options: Unpack[Sending]
    ) -> AbstractAsyncContextManager[Download]:
        return self._streamed(method, path, names, options)

    @asynccontextmanager
    async def _streamed(
        self, method: str, path: str, names: tuple[str, ...], options: Sending
    ) -> AsyncIterator[Download]:
        incoming = await self._followed(method, path, names, options, _as_it_is)
        try:
            yield Streamed(incoming, self._subject(method, path, names), self._link.tally)
        finally:
            incoming.close()

    async def _followed(
        self,
        method: str,
        path: str,
        names: tuple[str, ...],
        options: Sending,
        take: Callable[[Incoming], Awaitable[T]],
    ) -> T:
        """Send a request and follow its redirects, as far as the link allows."""
        link = self._link
        context = current.get()
        self._refuse_inside_transaction(context, f"{link.instance}: {method}")
        trace = context if link.config.sends_trace else None
        try:
            request = outgoing(
                method, link.targets.of(path, names), options, link.credential, trace
            )
            for hops in range(link.config.redirects + 1):
                try:
                    return await link.exchange(request, options, take)
                except UnexpectedStatus as error:
                    where = error.response.headers.get("location", "")
                    if (
                        hops == link.config.redirects
                        or error.response.status not in _REDIRECTS
                        or method not in ("GET", "HEAD")
                        or not where
                    ):
                        raise
                    target = link.targets.redirected(request.target, where)
                options = _redirected(options, there=target.origin == request.target.origin)
                request = outgoing(method, target, options, link.credential, trace)
        except RefusedTarget as error:
            error.subject = f"{link.instance}: {method} {error.subject}"
            _log.warning("%s was refused a target: %s", self._grant.plugin, error)
            raise
        raise AssertionError("unreachable: the last hop returns or raises")

    async def _read(self, incoming: Incoming) -> Response:
        head = incoming.head
        body = await _whole(incoming, self._link.config.max_bytes)
        incoming.close()
        return Response(head.status, head.headers, body)

    def _refuse_inside_transaction(self, context: Context | None, subject: str) -> None:
        while context is not None:
            if context.held is not None:
                raise TransactionHeld(
                    f"{self._grant.plugin} asked for another system inside the transaction of "
                    f"{context.held.holder}, which would be held until it answers.",
                    subject=subject,
                    hint="Ask before the transaction, or after it.",
                )
            context = context.parent


class Streamed:
    """The `Download` that a feature works with."""

    def __init__(self, incoming: Incoming, subject: str, tally: Tally) -> None:
        self._incoming = incoming
        self._subject = subject
        self._tally = tally

    def head(self) -> Head:
        return self._incoming.head

    async def chunks(self) -> AsyncIterator[bytes]:
        encoding = self._incoming.head.headers.get("content-encoding", "")
        try:
            async with aclosing(self._incoming.chunks()) as raw:  # type: ignore[type-var]
                async for piece in decoded(raw, encoding):
                    yield piece
        except Undone as undone:
            error = LinkUnavailable(f"{undone.reason}.", subject=self._subject)
            self._tally.failed(error)
            raise error from undone
        except BadResponse as error:
            error.subject = self._subject
            raise


async def _as_it_is(incoming: Incoming) -> Incoming:
    return incoming


async def _whole(incoming: Incoming, most: int) -> bytes:
    """Return the decompressed body, which is at most `most` bytes."""
    pieces: list[bytes] = []
    size = 0
    async for piece in decoded(
        incoming.chunks(), incoming.head.headers.get("content-encoding", "")
    ):
        size += len(piece)
        if size > most:
            raise BadResponse(
                f"its body is larger than the link allows; expected at most {most} bytes.",
                hint="Raise `max_bytes` in its table, or use `stream`.",
            )
        pieces.append(piece)
    return b"".join(pieces)


def _is_expected(status: int, options: Asking) -> bool:
    expected = options.get("expect")
    return status in expected if expected is not None else 200 <= status < 300


def _redirected(options: Sending, *, there: bool) -> Sending:
    """Return what is asked again where a redirect leads. Its query is its own; what a feature says
    to one origin, be it a credential, another does not hear."""
    kept: Sending = {**options} if there else {}
    kept.pop("params", None)
    if "expect" in options:
        kept["expect"] = options["expect"]
    return kept


def _retry_after(head: Head) -> float | None:
    """Return the seconds of a Retry-After; a date there is rare, and clocks differ."""
    text = head.headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None

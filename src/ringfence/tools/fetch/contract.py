"""The contract of the `fetch` tool: what a feature may ask of another system over HTTP.

Owns `Fetch`, `Download`, the values that they take and give, and the closed list of errors that
they raise. Every driver keeps every guarantee written here, and `conformance.py` proves it.

    ToolError
    ├ LinkUnavailable   503   infrastructure, counted: nothing was done, or repeating is harmless
    ├ OutcomeUnknown    502   infrastructure, counted: it was sent, and may have been done
    ├ UnexpectedStatus  502   the other side answered, and not as expected: a 4xx, a redirect
    ├ BadResponse       502   what came cannot be read: no HTTP, too large, not the type asked for
    └ RefusedTarget · InvalidRequest   500   a mistake in a feature or in the link's table
"""

from collections.abc import AsyncIterable, AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypedDict, TypeVar, Unpack, overload

import msgspec
from msgspec import Struct

from ringfence.contracts.payload import carry_in, faults
from ringfence.errors import ToolError, ToolUnavailable
from ringfence.kernel.ports import contract, operation

T = TypeVar("T")
Scalar = str | int | float | bool | None
Params = Mapping[str, Scalar | Sequence[Scalar]]

_FAULTS_SHOWN = 5


class LinkUnavailable(ToolUnavailable, code="fetch.link_unavailable"):
    """No connection, no answer in time, or an answer of 5xx or 429, after all retries.

    Nothing was done, or doing it again is harmless. `retry_after_s` is what the other side asked
    for. Counts as a failure of the link.
    """


class OutcomeUnknown(ToolError, code="fetch.outcome_unknown"):
    """A request that must not be repeated was sent, and no usable answer came: the other side may
    have done it. With an `idempotency_key=` it could have been repeated. Counts as a failure of
    the link."""

    status = 502


class BadResponse(ToolError, code="fetch.bad_response"):
    """What came is no HTTP, is larger than the link allows, or is not what `into=` asks for.

    The other side may have done what it was asked. Does not count as a failure of the link.
    """

    status = 502


class RefusedTarget(ToolError, code="fetch.refused_target"):
    """The path leaves the link, or its host has an address that the link's table does not allow.

    Nothing was sent.
    """


class InvalidRequest(ToolError, code="fetch.invalid_request"):
    """The request cannot be sent as it is: a header, a body or a parameter is wrong.

    Nothing was sent.
    """


class Head(Struct, frozen=True):
    """The beginning of an answer.

    Args:
        status: 200 to 599.
        headers: By their names in lower case; those that came several times joined by a comma.
    """

    status: int
    headers: Mapping[str, str] = {}

    def __repr__(self) -> str:
        # Headers and bodies may hold what must not be in a log.
        return f"<{type(self).__name__} {self.status}>"


class Response(Head, frozen=True):
    """A whole answer.

    Args:
        body: Decompressed.
    """

    body: bytes = b""

    __repr__ = Head.__repr__

    def text(self) -> str:
        """Return the body as text; bytes that are no UTF-8 become `�`."""
        return self.body.decode("utf-8", "replace")

    @overload
    def json(self) -> object: ...

    @overload
    def json(self, into: type[T]) -> T: ...

    def json(self, into: type[T] | None = None) -> object | T:
        """Read the body as JSON.

        Args:
            into: A Struct or any type that JSON can be read as; without it plain data.

        Raises:
            BadResponse: The body is no JSON, or is not an `into`; all that is wrong is said.
        """
        try:
            return msgspec.json.decode(
                self.body, type=object if into is None else into, dec_hook=carry_in
            )
        except msgspec.ValidationError as error:
            raise self._misfit(into, str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            kind = self.headers.get("content-type", "no type")
            said = f"its body is no JSON; got {len(self.body)} bytes of {kind:.80}."
            raise BadResponse(said, subject=f"answer {self.status}") from None

    def _misfit(self, into: object, first: str) -> BadResponse:
        found = [f"{f.path}: {f.message}" for f in faults(msgspec.json.decode(self.body), into)]
        name = getattr(into, "__name__", str(into))
        said = f"its body is no {name}: {'; '.join(found[:_FAULTS_SHOWN]) or first}."
        return BadResponse(said, subject=f"answer {self.status}")


class Problem(Struct, frozen=True):
    """An `application/problem+json` body (RFC 9457), as far as the other side filled it in."""

    type: str = "about:blank"
    title: str = ""
    detail: str = ""
    code: str = ""


class UnexpectedStatus(ToolError, code="fetch.unexpected_status"):
    """The other side answered with a status that was not expected: it refused the request.

    `response` is the whole answer, `problem` what it says as problem details, if it does. Does not
    count as a failure of the link.
    """

    status = 502

    def __init__(
        self, message: str, *, response: Response, subject: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, subject=subject, hint=hint)
        self.response = response

    @property
    def problem(self) -> Problem | None:
        """What the answer says as problem details; None where it is something else."""
        if not self.response.headers.get("content-type", "").startswith("application/problem+json"):
            return None
        try:
            return msgspec.json.decode(self.response.body, type=Problem)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None


class Asking(TypedDict, total=False):
    """The options of every request.

    Args:
        params: The query; a sequence repeats its name, None leaves it out.
        headers: Beside those of the link. What the tool sets itself (`Host`, `Content-Length`,
            `Accept-Encoding`, the link's credential, …) is refused.
        expect: The statuses that are an answer; by default 200 to 299.
    """

    params: Params
    headers: Mapping[str, str]
    expect: Collection[int]


class Sending(Asking, total=False):
    """The options of a request with a body, at most one of `json`, `content` and `form`.

    Args:
        json: Sent as JSON: a Struct, plain data, or any value that JSON carries.
        content: Sent as it is; an async iterable is sent in pieces, and never again.
        form: Sent as a urlencoded form.
        idempotency_key: Sent as `Idempotency-Key`; the same for the same action, so that the
            request may be repeated.
    """

    json: object
    content: bytes | AsyncIterable[bytes]
    form: Params
    idempotency_key: str


class Download(Protocol):
    """An answer whose body comes in pieces."""

    def head(self) -> Head:
        """Return its status and headers."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Iterate over the body, decompressed, once: at most 64 KiB at a time.

        Raises:
            LinkUnavailable: It broke off, or fell silent for the link's `read_timeout`.
            BadResponse: It cannot be decompressed.
        """
        ...


@contract("fetch")
class Fetch(Protocol):
    """A link to another system: one `[tools.<field>]` of the configuration.

    A plugin asks for it by a field: `payments: Fetch` is the link `[tools.payments]`, with its
    base URL, credential, limits, connections and health.

    Args (of each method):
        path: Below the link's base URL, without a query: `"charges"`. An absolute URL only where
            the link's table names its origin under `absolute`.
        names: Segments that follow it, each one name: `get("charges", charge_id)`. Whatever comes
            from outside belongs here, never into `path`.
        into: The type to read the answer's JSON as; without it the answer is a `Response`.
        options: `Asking`, and for what has a body `Sending`.

    Raises (each method):
        LinkUnavailable: After all retries.
        OutcomeUnknown: POST and PATCH without `idempotency_key`, and unknown methods.
        UnexpectedStatus: The answer is not 2xx, not one of `expect`, and no 5xx or 429.
        BadResponse: The answer cannot be read.
        RefusedTarget, InvalidRequest: Before anything was sent.
        TransactionHeld: The context, or one that it is part of, holds a transaction.

    Guarantees:
        Nothing reaches an address that the link's table does not allow, whatever name or form of
        address leads there. Nothing of the link's credential, headers or trace goes to another
        origin, and no credential is in an error, a log or a repr. A request is repeated only if
        it is idempotent (GET, HEAD, OPTIONS, PUT, DELETE, or an `idempotency_key`), or if it
        never had a connection; at most `retries` times, within the context's deadline, and at
        most a fifth of all requests. Cancelled, its connection is closed. Cookies are not kept.
    """

    @overload
    async def get(
        self, path: str, /, *names: str, into: None = None, **options: Unpack[Asking]
    ) -> Response: ...

    @overload
    async def get(
        self, path: str, /, *names: str, into: type[T], **options: Unpack[Asking]
    ) -> T: ...

    @operation(spends="queries", idempotent=True)
    async def get(
        self, path: str, /, *names: str, into: type[T] | None = None, **options: Unpack[Asking]
    ) -> Response | T:
        """Send a GET request."""
        ...

    @operation(spends="queries", idempotent=True)
    async def head(self, path: str, /, *names: str, **options: Unpack[Asking]) -> Response:
        """Send a HEAD request; the answer has no body."""
        ...

    @overload
    async def post(
        self, path: str, /, *names: str, into: None = None, **options: Unpack[Sending]
    ) -> Response: ...

    @overload
    async def post(
        self, path: str, /, *names: str, into: type[T], **options: Unpack[Sending]
    ) -> T: ...

    @operation(spends="queries")
    async def post(
        self, path: str, /, *names: str, into: type[T] | None = None, **options: Unpack[Sending]
    ) -> Response | T:
        """Send a POST request."""
        ...

    @overload
    async def put(
        self, path: str, /, *names: str, into: None = None, **options: Unpack[Sending]
    ) -> Response: ...

    @overload
    async def put(
        self, path: str, /, *names: str, into: type[T], **options: Unpack[Sending]
    ) -> T: ...

    @operation(spends="queries", idempotent=True)
    async def put(
        self, path: str, /, *names: str, into: type[T] | None = None, **options: Unpack[Sending]
    ) -> Response | T:
        """Send a PUT request."""
        ...

    @overload
    async def patch(
        self, path: str, /, *names: str, into: None = None, **options: Unpack[Sending]
    ) -> Response: ...

    @overload
    async def patch(
        self, path: str, /, *names: str, into: type[T], **options: Unpack[Sending]
    ) -> T: ...

    @operation(spends="queries")
    async def patch(
        self, path: str, /, *names: str, into: type[T] | None = None, **options: Unpack[Sending]
    ) -> Response | T:
        """Send a PATCH request."""
        ...

    @overload
    async def delete(
        self, path: str, /, *names: str, into: None = None, **options: Unpack[Asking]
    ) -> Response: ...

    @overload
    async def delete(
        self, path: str, /, *names: str, into: type[T], **options: Unpack[Asking]
    ) -> T: ...

    @operation(spends="queries", idempotent=True)
    async def delete(
        self, path: str, /, *names: str, into: type[T] | None = None, **options: Unpack[Asking]
    ) -> Response | T:
        """Send a DELETE request."""
        ...

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

    @operation(spends="queries")
    async def request(
        self,
        method: str,
        path: str,
        /,
        *names: str,
        into: type[T] | None = None,
        **options: Unpack[Sending],
    ) -> Response | T:
        """Send a request of any method but CONNECT and TRACE.

        Args:
            method: In capitals.
        """
        ...

    @operation(yields=Download)
    def stream(
        self, method: str, path: str, /, *names: str, **options: Unpack[Sending]
    ) -> AbstractAsyncContextManager[Download]:
        """Open an answer that is too large to hold: `async with self.link.stream("GET", …) as it`.

        Retries cover what comes before the answer's head; the link's `timeout` ends there, and
        `max_bytes` does not count.

        Returns:
            A context manager; its connection is closed, or kept for the next request, when the
            block ends.
        """
        ...

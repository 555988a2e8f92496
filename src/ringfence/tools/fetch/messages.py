"""From what a feature asks for to the request that is sent: query, headers and body.

What cannot be sent as it is raises InvalidRequest; no message shows a header's value.
"""

import re
from base64 import b64encode
from collections.abc import AsyncIterable, Collection, Mapping, Sequence
from typing import TypeGuard
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct, field

from ringfence.contracts.payload import carry_out
from ringfence.kernel.ports import Context
from ringfence.settings import Secret
from ringfence.tools.fetch.contract import InvalidRequest, Params, Sending
from ringfence.tools.fetch.target import Target

NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
SET_BY_THE_TOOL = frozenset(
    {
        *("accept-encoding", "connection", "content-length", "expect", "host", "idempotency-key"),
        *("keep-alive", "proxy-authorization", "proxy-connection", "te", "traceparent"),
        *("trailer", "transfer-encoding", "upgrade"),
    }
)
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})

_METHOD = re.compile(r"[A-Z]{1,20}", re.ASCII)
_BODIES = ("json", "content", "form")
_TABLES = ("params", "headers", "form")
Headers = tuple[tuple[str, str], ...]
Body = bytes | AsyncIterable[bytes]


class Outgoing(Struct):
    """One request on its way.

    Args:
        method: In capitals.
        target: Where it goes.
        query: Encoded, without its `?`.
        headers: All but those that say how the message is framed.
        body: Whole, or in pieces.
        repeatable: Whether doing it twice is doing it once.
        begun: Whether any of it may have reached the other side; set by the transport, for the
            attempt in hand.
        fresh: Whether it needs a connection of its own, since one that was kept had been closed.
    """

    method: str
    target: Target
    query: str = ""
    headers: Headers = field(default=())
    body: Body = b""
    repeatable: bool = False
    begun: bool = False
    fresh: bool = False

    def __repr__(self) -> str:
        # Its headers hold the credential.
        return f"<Outgoing {self.method} {self.target.shown}>"


class Credential:
    """What a link adds to the requests to its own origin."""

    def __init__(
        self, token: Secret | None, user: str, password: Secret | None, more: Mapping[str, Secret]
    ) -> None:
        own = {name.lower(): secret.reveal() for name, secret in more.items()}
        if token is not None:
            own["authorization"] = f"Bearer {token.reveal()}"
        elif password is not None:
            pair = f"{user}:{password.reveal()}".encode()
            own["authorization"] = f"Basic {b64encode(pair).decode()}"
        self.headers = own

    def __repr__(self) -> str:
        return "<Credential ***>"


def outgoing(
    method: str, target: Target, options: Sending, credential: Credential, trace: Context | None
) -> Outgoing:
    """Return the request for `options`.

    Args:
        method: In capitals.
        target: Where it goes.
        options: What the feature asked for.
        credential: The link's; added where the target is its own.
        trace: The context whose ids are sent; None for none.

    Raises:
        InvalidRequest: It cannot be sent.
    """
    if not _METHOD.fullmatch(method) or method in ("CONNECT", "TRACE"):
        raise _invalid(target, "its method is none that is sent; expected GET, POST, PUT, …")
    _check_options(target, options)
    body, kind = _body(target, options)
    headers = _headers(target, options.get("headers", {}), credential if target.own else None)
    if kind and "content-type" not in headers:
        headers["content-type"] = kind
    headers["accept-encoding"] = "gzip"
    key = options.get("idempotency_key")
    if key is not None:
        headers["idempotency-key"] = _value(target, "idempotency_key", key)
        if not headers["idempotency-key"]:  # of nothing the other side remembers nothing
            raise _invalid(
                target, "its idempotency_key is empty; expected one of the action's own."
            )
    if trace is not None and target.own:
        headers["traceparent"] = f"00-{trace.trace_id}-{trace.span_id}-01"
    query = "&".join(filter(None, (target.query, _encoded(target, options.get("params", {})))))
    repeatable = method in IDEMPOTENT or key is not None
    return Outgoing(method, target, query, tuple(headers.items()), body, repeatable)


def _check_options(target: Target, options: Mapping[str, object]) -> None:
    """Refuse what only a type checker would: a misspelt option would be as good as none."""
    known = Sending.__optional_keys__
    for name, value in options.items():
        if name not in known:
            said = f"it has no option {name!r:.80}; expected one of {', '.join(sorted(known))}."
            raise _invalid(target, said)
        if name in _TABLES and not (
            isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
        ):
            got = type(value).__name__
            raise _invalid(
                target, f"its {name} have no names; expected a mapping of text, got {got}."
            )
    expect = options.get("expect") or ()
    if not (isinstance(expect, Collection) and all(isinstance(one, int) for one in expect)):
        raise _invalid(target, "its expect is no collection of statuses; expected {200, 404}, …")


def _headers(
    target: Target, given: Mapping[str, str], credential: Credential | None
) -> dict[str, str]:
    own = credential.headers if credential is not None else {}
    headers = {"host": target.origin.authority, "user-agent": "ringfence", **own}
    for name, value in given.items():
        lower = name.lower()
        if not NAME.fullmatch(name) or lower in SET_BY_THE_TOOL or lower in own:
            raise _invalid(target, f"header {name!r:.80} is the link's to set, or no header.")
        headers[lower] = _value(target, name, value)
    return headers


def _value(target: Target, name: str, value: object) -> str:
    if isinstance(value, str) and VALUE.fullmatch(value):
        return value.strip()
    said = f"the value of {name} is none that a header can hold; expected one line of Latin-1."
    raise _invalid(target, said)


def _body(target: Target, options: Sending) -> tuple[Body, str]:
    given = [name for name in _BODIES if name in options]
    if len(given) > 1:
        raise _invalid(target, f"it has several bodies: {' and '.join(given)}; expected one.")
    if "json" in options:
        try:
            encoded = msgspec.json.encode(options["json"], enc_hook=carry_out)
        except (TypeError, ValueError, RecursionError) as error:
            raise _invalid(target, f"its body cannot be sent as JSON: {error!s:.200}.") from None
        return encoded, "application/json"
    if "form" in options:
        form = _encoded(target, options["form"])
        return form.encode(), "application/x-www-form-urlencoded"
    content = options.get("content", b"")
    if isinstance(content, bytes | bytearray | memoryview):
        return bytes(content), ""
    if isinstance(content, AsyncIterable):
        return content, ""
    raise _invalid(target, "its content is neither bytes nor an async iterable of bytes.")


def _encoded(target: Target, params: Params) -> str:
    pairs = [
        (name, _text(target, name, one))
        for name, value in params.items()
        for one in (value if _is_list(value) else (value,))
        if one is not None
    ]
    try:
        return urlencode(pairs, quote_via=quote)
    except UnicodeEncodeError:
        raise _invalid(target, "a parameter holds half of a surrogate pair.") from None


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _text(target: Target, name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    said = f"parameter {name!r:.80} is a {type(value).__name__}; expected text, a number or a bool."
    raise _invalid(target, said)


def _invalid(target: Target, said: str) -> InvalidRequest:
    return InvalidRequest(said, subject=target.shown)

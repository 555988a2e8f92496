"""A payment provider as its customers see it: charges, refunds, keys, and ways to fail.

`Provider` is an ASGI application that keeps everything in memory. It charges a reference once,
however often it is asked under one key, and never after it was refunded. What it does wrong, it
does on demand: by the card, for one charge, or by `PUT /control`, for all.

    tok_visa       charged                       tok_declined   402, always
    tok_lost       charged, and the first        tok_poor       402, always
                   answer breaks off             tok_flaky      503 once, then charged
    tok_stall      charged, and the first        tok_down       503, always
                   answer comes too late         tok_unknown    422, always
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Manner = Literal["answer", "lose", "stall"]

_DECLINED = {"tok_declined": "the card was declined", "tok_poor": "the card has not enough on it"}
_MAX_BODY_BYTES = 64 << 10


class NewCharge(Struct):
    reference: str
    cents: int
    currency: str
    card: str


class Charge(Struct):
    id: str
    reference: str
    cents: int
    currency: str
    state: Literal["charged", "refunded"] = "charged"


class NewRefund(Struct):
    reference: str


class Refund(Struct):
    reference: str
    cents: int


class Control(Struct, forbid_unknown_fields=True):
    """What is wrong with all: nothing, no answer in time, 503, or 402 for every charge."""

    mode: Literal["work", "stall", "fail", "refuse"] = "work"
    stall_s: Annotated[float, Meta(ge=0, le=600)] = 30.0


class Problem(Struct):
    status: int
    code: str
    detail: str = ""


class Provider:
    """The ASGI application.

    Args:
        key: That customers send as `Authorization: Bearer …`.
    """

    def __init__(self, key: str) -> None:
        self.charges: dict[str, Charge] = {}
        self.control = Control()
        self._authorization = f"Bearer {key}".encode()
        self._withdrawn: set[str] = set()
        self._failed_once: set[str] = set()
        self._answers: dict[str, tuple[bytes, int, object]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        method, path = scope["method"], scope["path"]
        headers = dict(scope["headers"])
        body = await _body(receive)
        if body is None:
            status, value, manner = _problem(413, "too_long", "the body is too long")
        elif path == "/control":
            status, value, manner = self._controlled(method, body)
        elif not hmac.compare_digest(headers.get(b"authorization", b""), self._authorization):
            status, value, manner = _problem(401, "unauthorized", "the key is missing or wrong")
        elif self.control.mode == "fail":
            status, value, manner = _problem(503, "down", "the provider is down")
        else:
            status, value, manner = self._answer(method, path, headers, body)
        if manner == "stall" or (self.control.mode == "stall" and path != "/control"):
            await asyncio.sleep(self.control.stall_s)
        await _send(send, status, value, breaks_off=manner == "lose")

    def _controlled(self, method: str, body: bytes) -> tuple[int, object, Manner]:
        if method == "PUT":
            try:
                self.control = msgspec.json.decode(body, type=Control)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                return _problem(422, "invalid", str(error))
        return 200, self.control, "answer"

    def _answer(
        self, method: str, path: str, headers: Mapping[bytes, bytes], body: bytes
    ) -> tuple[int, object, Manner]:
        """Answer what was answered before under that key, or do what is asked."""
        if method == "GET" and path.startswith("/v1/charges/"):
            found = self.charges.get(path.removeprefix("/v1/charges/"))
            return (200, found, "answer") if found else _problem(404, "no_such_charge")
        if method != "POST" or path not in ("/v1/charges", "/v1/refunds"):
            return _problem(404, "no_such_path")
        key = headers.get(b"idempotency-key", b"").decode("latin-1")
        if key in self._answers:
            asked, status, value = self._answers[key]
            if asked != body:
                return _problem(422, "key_reused", "the key stands for another request")
            return status, value, "answer"
        try:
            do = self._charge if path == "/v1/charges" else self._refund
            status, value, manner = do(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return _problem(422, "invalid", str(error))
        if key and status < 500:
            self._answers[key] = (body, status, value)
        return status, value, manner

    def _charge(self, body: bytes) -> tuple[int, object, Manner]:
        new = msgspec.json.decode(body, type=NewCharge)
        if new.reference in self._withdrawn:
            return _problem(409, "withdrawn", "it was refunded before it was charged")
        if new.card == "tok_unknown":
            raise msgspec.ValidationError("no card has that token")
        said = _DECLINED.get(new.card)
        if said or self.control.mode == "refuse":
            return _problem(402, "declined", said or "no card is taken today")
        is_first = new.reference not in self._failed_once
        self._failed_once.add(new.reference)
        if new.card == "tok_down" or (new.card == "tok_flaky" and is_first):
            return _problem(503, "down", "the provider is down")
        known = self.charges.get(new.reference)
        charge = known or Charge(
            f"ch_{len(self.charges) + 1}", new.reference, new.cents, new.currency
        )
        self.charges[new.reference] = charge
        return 201, charge, _MANNERS.get(new.card, "answer")

    def _refund(self, body: bytes) -> tuple[int, object, Manner]:
        reference = msgspec.json.decode(body, type=NewRefund).reference
        self._withdrawn.add(reference)
        charge = self.charges.get(reference)
        if charge is not None:
            charge.state = "refunded"
        return 201, Refund(reference, charge.cents if charge else 0), "answer"


_MANNERS: Mapping[str, Manner] = {"tok_lost": "lose", "tok_stall": "stall"}


def _problem(status: int, code: str, detail: str = "") -> tuple[int, object, Manner]:
    return status, Problem(status, code, detail), "answer"


async def _body(receive: Receive) -> bytes | None:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > _MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return body


async def _send(send: Send, status: int, value: object, *, breaks_off: bool) -> None:
    body = msgspec.json.encode(value)
    kind = b"application/problem+json" if isinstance(value, Problem) else b"application/json"
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if not breaks_off:  # else the server closes the connection in the middle of the answer
        await send({"type": "http.response.body", "body": body})

"""Requests that arrive at a signature, without an application around it."""

import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import get_type_hints

from msgspec import Struct, convert, json

from ringfence.errors import Fault
from ringfence.kernel.ports import REQUIRED, Parameter, Signature
from ringfence.tools.http.binding.plan import Misfit, Plan, plan
from ringfence.tools.http.binding.reading import Incoming, read
from ringfence.tools.http.contract import Method
from ringfence.tools.http.limits import Limits
from ringfence.tools.http.problem import Refused
from ringfence.tools.http.wire import Message, Scope

BOUNDARY = "a-boundary"
MULTIPART = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
URLENCODED = {"content-type": "application/x-www-form-urlencoded"}


class Sent(Struct, kw_only=True):
    """A request. `pieces` is the body, as it comes in."""

    headers: Mapping[str, str] | Sequence[tuple[str, str]] = {}
    query: str = ""
    pieces: Sequence[bytes] = ()
    captures: tuple[str, ...] = ()
    lost: bool = False  # the client goes away after the pieces


def signature(function: Callable[..., object]) -> Signature:
    """Return what a function takes."""
    hints = get_type_hints(function, include_extras=True)
    return Signature(
        tuple(
            Parameter(name, hints[name], REQUIRED if p.default is p.empty else p.default)
            for name, p in inspect.signature(function).parameters.items()
        ),
        hints.get("return"),
    )


def planned(function: Callable[..., object], method: Method = "POST", *names: str) -> Plan:
    """Return where its arguments come from."""
    return plan(method, names, signature(function))


def misfits(
    function: Callable[..., object], method: Method = "POST", *names: str
) -> tuple[Misfit, ...]:
    """Return what of it cannot be bound."""
    return planned(function, method, *names).misfits


@asynccontextmanager
async def arrived(
    function: Callable[..., object],
    sent: Sent,
    *names: str,
    method: Method = "POST",
    max_body_bytes: int = 1 << 20,
    **limits: int,
) -> AsyncIterator[tuple[object, ...]]:
    """Yield the arguments that a request gives a function."""
    bound = planned(function, method, *names)
    assert bound.misfits == ()
    headers = sent.headers.items() if isinstance(sent.headers, Mapping) else sent.headers
    scope: Scope = {
        "type": "http",
        "method": method,
        "path": "/orders",
        "query_string": sent.query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    left = list(sent.pieces) or [b""]

    async def receive() -> Message:
        if not left:
            return {"type": "http.disconnect"}
        piece = left.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(left) or sent.lost}

    incoming = Incoming(scope, receive, sent.captures, convert(limits, Limits), max_body_bytes)
    try:
        yield await read(bound, incoming)
    finally:
        await incoming.close()


def status_of(refused: Refused) -> int:
    """Return the status that a refusal is answered with."""
    return refused.answer().status


def faults_of(refused: Refused) -> dict[str, str]:
    """Return what the answer to a refusal lists, by place."""
    answer = refused.answer()
    assert answer.status == 422, answer
    listed = convert(json.decode(answer.body)["errors"], list[Fault])
    return {fault.path: fault.message for fault in listed}


def part(name: str, content: bytes, filename: str | None = None, kind: str = "") -> bytes:
    """Write one part of a multipart form."""
    head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"'
    head += "" if filename is None else f'; filename="{filename}"'
    head += f"\r\ncontent-type: {kind}" if kind else ""
    return head.encode() + b"\r\n\r\n" + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()

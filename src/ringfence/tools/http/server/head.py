"""The head of a request: what is refused in it, and what is read out of it.

`note` collects the headers that matter here, the checks raise `Refused`, `believe` says who sent
it. Invariant: what could be understood in two ways is not understood at all. Used by `protocol`.
"""

import re
from collections.abc import Mapping
from typing import cast

import httptools

from ringfence.tools.http.problem import Refused
from ringfence.tools.http.server.proxies import Proxies, scheme, traced
from ringfence.tools.http.wire import Headers, Scope

# What is answered wrongly if it is there twice. The parser itself sees to Content-Length.
_SINGLE = frozenset((b"host", b"transfer-encoding", b"expect"))
NOTED = _SINGLE | {b"upgrade", b"traceparent", b"x-forwarded-for", b"x-forwarded-proto"}


def note(noted: dict[bytes, bytes], name: bytes, value: bytes) -> None:
    """Keep a header of `NOTED`."""
    if name in noted:
        if name in _SINGLE:
            raise malformed("a header that may be there once is there twice")
        value = b"" if name == b"traceparent" else noted[name] + b"," + value
    noted[name] = value


def origin_form(url: bytes, method: bytes, headers: Headers, noted: dict[bytes, bytes]) -> bytes:
    """Return path and query of a target that does not begin with them.

    The authority in it takes the place of the Host. Source: RFC 9112, 3.2.2.
    """
    if method == b"CONNECT":
        raise Refused(405, "method_not_allowed", "nothing tunnels", headers=((b"allow", b""),))
    if url == b"*" and method == b"OPTIONS":
        return url
    parsed = httptools.parse_url(url)
    if parsed.schema not in (b"http", b"https") or not parsed.host or parsed.userinfo:
        raise malformed("expected a target that begins with a slash")
    authority_on = url.partition(b"://")[2]
    host = re.split(rb"[/?#]", authority_on, maxsplit=1)[0]
    headers[:] = [header for header in headers if header[0] != b"host"]
    headers.append((b"host", host))
    noted[b"host"] = host
    rest = authority_on[len(host) :].partition(b"#")[0]
    return rest if rest.startswith(b"/") else b"/" + rest


def announces_body(headers: Headers) -> bool:
    """Say whether a length other than nothing is announced."""
    return any(name == b"content-length" and value != b"0" for name, value in headers)


def believe(scope: Scope, noted: Mapping[bytes, bytes], proxies: Proxies | None) -> None:
    """Say in the scope what is known of where the request comes from.

    Args:
        scope: Of the request.
        noted: What its headers say.
        proxies: Given where the peer is one of them, and believed.
    """
    known = cast("dict[str, object]", scope)
    if traceparent := noted.get(b"traceparent"):
        inbound = traced(traceparent, proxies is not None)
        if inbound is not None:
            known["inbound"] = inbound
    if proxies is None:
        return
    client = proxies.client(noted.get(b"x-forwarded-for", b""))
    if client is not None:
        known["client"] = (client, 0)
    forwarded = scheme(noted.get(b"x-forwarded-proto", b""))
    if forwarded is not None:
        known["scheme"] = forwarded


def malformed(detail: str = "") -> Refused:
    """Return the refusal of what is not HTTP as it should be."""
    return Refused(400, "malformed", detail)


def slow(part: str) -> Refused:
    """Return the refusal of a client that sends too slowly."""
    return Refused(408, "too_slow", f"{part} took too long")


def too_large(limit_bytes: int) -> Refused:
    """Return the refusal of headers that exceed their limit."""
    return Refused(431, "headers_too_large", f"the headers exceed {limit_bytes} bytes")


def check_framing(version: str, noted: Mapping[bytes, bytes]) -> None:
    """Refuse what could be understood in two ways, and what is not understood."""
    if version not in ("1.1", "1.0"):
        raise malformed("expected HTTP/1.1 or HTTP/1.0")
    coding = noted.get(b"transfer-encoding")
    if coding is not None and (coding.strip().lower() != b"chunked" or version != "1.1"):
        raise malformed("expected no transfer-encoding but chunked, in HTTP/1.1")
    if noted.get(b"expect", b"100-continue").strip().lower() != b"100-continue":
        raise Refused(417, "expectation_failed", "expected 100-continue")

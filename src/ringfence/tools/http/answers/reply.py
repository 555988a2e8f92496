"""An answer that is more than its value: `Reply`, with a status, headers, cookies and an ETag.

`headers_of` writes what a reply adds to its answer. Invariant: nothing that an author puts into a
header or a cookie can end its line.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Generic, Literal, TypeVar

from msgspec import Struct

from ringfence.tools.http.answers.conditional import entity_tag, http_date
from ringfence.tools.http.answers.headers import header, is_token
from ringfence.tools.http.wire import Headers

T = TypeVar("T")
_COOKIE_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")  # RFC 6265
_COOKIE_PART = re.compile(r"[\x20-\x3a\x3c-\x7e]*")


class SetCookie(Struct, frozen=True):
    """A cookie to be set, where its value alone is not enough. The defaults are the safe ones.

    Args:
        value: Visible ASCII without quotes, commas, semicolons and backslashes.
        max_age_s: Seconds that the browser keeps it; None: until it is closed.
        path: Below which it is sent.
        domain: Whose subdomains get it as well; None: this host alone.
        secure: Whether it is sent over HTTPS alone; browsers count localhost as that.
        http_only: Whether scripts of a page cannot read it.
        same_site: Whether it is sent along with requests from pages of others; with `none`,
            `secure` must be set.
    """

    value: str
    max_age_s: int | None = None
    path: str = "/"
    domain: str | None = None
    secure: bool = True
    http_only: bool = True
    same_site: Literal["lax", "strict", "none"] = "lax"


class Reply(Struct, Generic[T], frozen=True, eq=False):
    """A value, and how it is answered.

        @put("/carts/{cart_id}")
        async def put(self, cart_id: str, cart: Cart) -> Reply[Cart]:
            return Reply(cart, status=201, headers={"location": f"/carts/{cart_id}"})

    Args:
        value: As a method returns it without a `Reply`; None has no body. `bytes` are sent as they
            are, and so is `str` where `media_type` is given.
        status: In the place of the route's: 200 to 299, or 300 to 399 to send elsewhere.
        headers: Of the answer.
        cookies: By name, its value or a `SetCookie`; None removes it.
        etag: What changes with the value; a GET of a client that has it is answered 304.
        last_modified: Aware; likewise.
        media_type: Of `bytes` and `str`.
    """

    value: T
    status: int | None = None
    headers: Mapping[str, str] = {}
    cookies: Mapping[str, str | SetCookie | None] = {}
    etag: str | None = None
    last_modified: datetime | None = None
    media_type: str | None = None


def headers_of(reply: Reply[T]) -> Headers:
    """Return what a reply adds to the headers of its answer, names in lower case.

    Raises:
        ValueError: What an author has written cannot be sent.
    """
    found = [header(name, value) for name, value in reply.headers.items()]
    if reply.etag is not None:
        found.append((b"etag", entity_tag(reply.etag).encode("latin-1")))
    if reply.last_modified is not None:
        found.append((b"last-modified", http_date(reply.last_modified).encode()))
    for name, cookie in reply.cookies.items():
        found.append((b"set-cookie", _cookie(name, cookie).encode()))
    return found


def _cookie(name: str, cookie: str | SetCookie | None) -> str:
    if cookie is None:
        cookie = SetCookie("", max_age_s=0)
    elif isinstance(cookie, str):
        cookie = SetCookie(cookie)
    if not is_token(name):
        raise ValueError(f"{name!r:.80} is no name of a cookie.")
    if not _COOKIE_VALUE.fullmatch(cookie.value):
        raise ValueError(
            f"cookie {name!r}: expected visible ASCII without quotes, commas, semicolons and"
            f" backslashes, got {cookie.value!r:.80}. Encode it, for instance as base64url."
        )
    if cookie.same_site == "none" and not cookie.secure:
        raise ValueError(f"cookie {name!r}: same_site none without secure; browsers drop it.")
    return "; ".join((f"{name}={cookie.value}", *_attributes(name, cookie)))


def _attributes(name: str, cookie: SetCookie) -> Iterator[str]:
    for key, text in (("Path", cookie.path), ("Domain", cookie.domain)):
        if text is not None:
            if not _COOKIE_PART.fullmatch(text):
                raise ValueError(f"cookie {name!r}: its {key.lower()} is {text!r:.80}.")
            yield f"{key}={text}"
    if cookie.max_age_s is not None:
        yield f"Max-Age={cookie.max_age_s}"
    if cookie.secure:
        yield "Secure"
    if cookie.http_only:
        yield "HttpOnly"
    yield f"SameSite={cookie.same_site.capitalize()}"

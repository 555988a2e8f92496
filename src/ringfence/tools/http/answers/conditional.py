"""Conditional requests: an answer that the client has already, and a write that needs a version.

`not_modified` decides on 304. `IfMatch` is a parameter by which a feature refuses to overwrite what
its client has not seen. `etag` of an answer is any text that changes with what it names.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import ClassVar

from msgspec import Struct

from ringfence.errors import AppError

# An entity tag of RFC 9110, with or without the mark of a weak one.
_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


class PreconditionFailed(AppError, code="precondition_failed"):
    """The request is for another version than the one that is there."""

    status = 412


class PreconditionRequired(AppError, code="precondition_required"):
    """The request must say for which version it is."""

    status = 428


class IfMatch(Struct, frozen=True):
    """The header If-Match: a client changes what it names, provided that it is as it was.

        @put("/orders/{order_id}")
        async def change(self, order_id: int, change: Change, match: IfMatch) -> Order:
            order = await self._order(order_id)
            match.require(str(order.version), required=True)

    Args:
        header: Its value; None where the client sent none.
    """

    __ringfence_http__: ClassVar[str] = "if_match"

    header: str | None = None

    def require(self, etag: str, *, required: bool = False) -> None:
        """Refuse the request unless it is for the version `etag`, or for any.

        A tag that was made weak on its way, as compression does, is still this version's.

        Args:
            etag: Of what is there now; as it is given to a `Reply`.
            required: Whether a client has to send the header.

        Raises:
            PreconditionFailed: It is for another version.
            PreconditionRequired: It has no such header, and `required` is set.
        """
        if self.header is None:
            if required:
                hint = "Send If-Match with the ETag of what you have read."
                raise PreconditionRequired("there is no header If-Match.", hint=hint)
            return
        if self.header.strip() != "*" and _opaque(etag) not in _TAG.findall(self.header):
            hint = "Read it again, and decide anew."
            raise PreconditionFailed("it has changed since you have read it.", hint=hint)


def entity_tag(etag: str) -> str:
    """Return the value of the header ETag for `etag`, which may be quoted already.

    Raises:
        ValueError: It has characters that a tag cannot have.
    """
    tag = etag if _TAG.fullmatch(etag) else f'"{etag}"'
    if not _TAG.fullmatch(tag):
        raise ValueError(f"an ETag has visible characters and no quote; got {etag!r:.80}")
    return tag


def http_date(moment: datetime) -> str:
    """Return an aware moment as headers write it.

    Raises:
        ValueError: It has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("Last-Modified needs a time zone; got a moment without one")
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def not_modified(
    headers: Iterable[tuple[bytes, bytes]],
    etag: str | None = None,
    last_modified: datetime | None = None,
) -> bool:
    """Whether the client of a GET or HEAD already has what it would be sent.

    Args:
        headers: Of the request; names in lower case.
        etag: Of the answer; compared weakly with If-None-Match.
        last_modified: Of the answer; aware. Counts where the request has no If-None-Match.
    """
    tags = since = None
    for name, value in headers:
        if name == b"if-none-match":
            tags = value if tags is None else tags + b"," + value
        elif name == b"if-modified-since":
            since = value
    if tags is not None:
        text = tags.decode("latin-1")
        return etag is not None and (text.strip() == "*" or _opaque(etag) in _TAG.findall(text))
    if since is None or last_modified is None:
        return False
    limit = _moment(since)
    return limit is not None and last_modified.replace(microsecond=0) <= limit


def _opaque(etag: str) -> str:
    match = _TAG.fullmatch(etag)
    return match[1] if match else etag


def _moment(value: bytes) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value.decode("latin-1"))
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

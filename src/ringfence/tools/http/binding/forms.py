"""Forms: bodies of type `multipart/form-data` and `application/x-www-form-urlencoded`.

`parse` reads one while it comes in. What it holds in memory is bounded: text by `TEXT_BYTES` in
all, a file by `SPOOL_BYTES`, beyond which it is on disk. Whoever calls it closes the form.
"""

import logging
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from msgspec import Struct, field

from ringfence.tools.http.binding import query
from ringfence.tools.http.binding.body import too_long
from ringfence.tools.http.binding.query import Query
from ringfence.tools.http.binding.upload import UploadFile, close_all
from ringfence.tools.http.problem import Refused
from ringfence.tools.http.wire import Headers

if TYPE_CHECKING:
    from starlette.datastructures import FormData
    from starlette.datastructures import UploadFile as Part

TEXT_BYTES = 1 << 20  # as much as a JSON body may have by default
SPOOL_BYTES = 1 << 16  # a hundred small files take a few megabytes
_MULTIPART = b"multipart/form-data"
# The last one counts. Else what is not of the charset that a form names is taken for Latin-1.
_AS_BYTES = b"; charset=latin-1"
_URLENCODED = b"application/x-www-form-urlencoded"
Pieces = AsyncGenerator[bytes, None]


class Form(Struct):
    """The fields of a form by name, in order."""

    texts: Query = field(default_factory=dict)
    files: dict[str, list[UploadFile]] = field(default_factory=dict)

    async def close(self) -> None:
        """Remove the content of all files."""
        held = [file for files in self.files.values() for file in files]
        self.files = {}
        await close_all(held)


async def parse(headers: Headers, pieces: Pieces, limit: int, *, with_files: bool) -> Form:
    """Read a form; an empty body is an empty form, of whatever type.

    Args:
        headers: Of the request.
        pieces: Of its body, none of them empty.
        limit: How many fields are read, and as many files.
        with_files: Whether only `multipart/form-data` will do.

    Raises:
        Refused: 400, it cannot be read, or has too many fields; 413, there is too much text;
            415, the body is of another type.
    """
    async for first in pieces:
        kind = _content_type(headers).partition(b";")[0].strip().lower()
        if kind == _MULTIPART:
            return await _Multipart(headers, _with(first, pieces), limit).parse()
        if kind == _URLENCODED and not with_files:
            return Form(await _parse_urlencoded(first, pieces, limit))
        expected = _MULTIPART if with_files else _MULTIPART + b" or " + _URLENCODED
        raise Refused(
            415,
            "unsupported_media_type",
            f"expected a form of type {expected.decode()}",
            headers=((b"accept", expected.replace(b" or ", b", ")),),
        )
    return Form()


def _content_type(headers: Headers) -> bytes:
    return next((value for name, value in headers if name == b"content-type"), b"")


async def _parse_urlencoded(first: bytes, pieces: Pieces, limit: int) -> Query:
    content = bytearray(first)
    async for piece in pieces:
        content += piece
        if len(content) > TEXT_BYTES:
            break
    if len(content) > TEXT_BYTES:
        raise too_long(TEXT_BYTES)
    return query.parse(bytes(content), limit, "form")


class _Multipart:
    """One multipart form, while it comes in."""

    def __init__(self, headers: Headers, pieces: Pieces, limit: int) -> None:
        from starlette.datastructures import Headers as FormHeaders
        from starlette.formparsers import MultiPartParser

        self._complete = False
        self._parser = MultiPartParser(
            FormHeaders(raw=[(b"content-type", _content_type(headers) + _AS_BYTES)]),
            self._watched(pieces),
            max_files=limit,
            max_fields=limit,
            max_part_size=TEXT_BYTES,
        )
        self._parser.spool_max_size = SPOOL_BYTES
        self._parser.on_end = self._end  # type: ignore[method-assign]
        # It warns of every malformed form, of which strangers may send many.
        logging.getLogger("python_multipart").setLevel(logging.ERROR)

    async def parse(self) -> Form:
        from starlette.formparsers import MultiPartException

        try:
            parsed = await self._parser.parse()
        except MultiPartException as error:
            if "exceeded maximum size" in error.message:
                raise too_long(TEXT_BYTES) from None
            raise Refused(400, "malformed_form", error.message) from None
        try:
            return _read(parsed)
        except UnicodeError:
            await parsed.close()
            raise Refused(400, "malformed_form", "the form is not UTF-8") from None

    def _end(self) -> None:
        self._complete = True

    async def _watched(self, pieces: Pieces) -> Pieces:
        """What is raised in here lets the parser close the files that it has begun."""
        text_bytes, seen = 0, 0
        async for piece in pieces:
            items = self._parser.items
            text_bytes += sum(len(text) for _, text in items[seen:] if isinstance(text, str))
            seen = len(items)
            if text_bytes > TEXT_BYTES:
                raise too_long(TEXT_BYTES)
            yield piece
        if not self._complete:
            raise Refused(400, "malformed_form", "the form breaks off before its last boundary")


async def _with(first: bytes, pieces: Pieces) -> Pieces:
    yield first
    async for piece in pieces:
        yield piece


def _read(parsed: "FormData") -> Form:
    form = Form()
    for name, value in parsed.multi_items():
        if isinstance(value, str):
            form.texts.setdefault(_utf_8(name), []).append(_utf_8(value))
        elif value.filename or value.size:  # else an input that was left empty
            form.files.setdefault(_utf_8(name), []).append(_file(value))
        else:
            value.file.close()
    return form


def _file(part: "Part") -> UploadFile:
    return UploadFile(
        part.file,
        filename=_utf_8(part.filename or ""),
        content_type=part.content_type or "",
        size_bytes=part.size or 0,
    )


def _utf_8(text: str) -> str:
    return text.encode("latin-1").decode()

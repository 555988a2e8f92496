"""Answers from disk or a store: `File`, which a feature returns, and how a file is sent.

`send_file` sends a `File`, `send_path` any file that is known to be one, `content.py` what a store
has. Ranges and pieces of a path are starlette's, loaded with the first one. Invariant: what is sent
is as long as it was said to be, whatever happens to the file meanwhile, or the connection is cut.
"""

import errno
import os
import re
import stat
from asyncio import to_thread
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ringfence.tools.http.answers.conditional import not_modified
from ringfence.tools.http.answers.content import OF_304, Content, send_content
from ringfence.tools.http.answers.headers import content_disposition, header
from ringfence.tools.http.problem import Refused
from ringfence.tools.http.wire import Headers, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from starlette.responses import FileResponse
    from starlette.types import Receive as StarletteReceive
    from starlette.types import Send as StarletteSend

_RANGE = re.compile(rb"(\d{0,18})-(\d{0,18})")


class File:
    """A file as an answer: whole or in ranges, or 304 where the client has it.

        @get("/reports/{year}")
        async def report(self, year: int) -> File:
            return File(await self.files.get(f"reports/{year}.pdf"))

    Of a path, a file that is not there is a bug of the feature; what may be missing is checked, and
    `NotFound` raised, before it is returned.

    Args:
        source: What a store has handed out, such as the tool `files`; or the path of a file, which
            is never made from a request without a check.
        media_type: By default as its name says.
        filename: Under which a browser saves it; by default its own name. Any text is safe.
        headers: Of the answer, beside those that a file has.
        inline: Whether a browser shows it instead of saving it.
    """

    __slots__ = ("filename", "headers", "inline", "media_type", "source")

    def __init__(
        self,
        source: str | os.PathLike[str] | Content,
        media_type: str | None = None,
        filename: str | None = None,
        headers: Mapping[str, str] | None = None,
        inline: bool = False,
    ) -> None:
        self.source = Path(source) if isinstance(source, str | os.PathLike) else source
        self.media_type = media_type
        self.filename = filename
        self.headers: Mapping[str, str] = headers or {}
        self.inline = inline


async def send_file(
    file: File, scope: Scope, receive: Receive, send: Send, status: int = 200
) -> None:
    """Send a file that a feature has returned.

    Raises:
        OSError: It is no regular file that can be read, and nothing has been sent; or it has become
            shorter meanwhile, and the answer is incomplete.
        ValueError: A header cannot be sent; nothing has been sent.
    """
    source = file.source
    own = source.name.rpartition("/")[2]  # a path has its name alone
    name = own if file.filename is None else file.filename
    headers = {
        "content-disposition": content_disposition(name, inline=file.inline),
        "x-content-type-options": "nosniff",
        **{name.lower(): value for name, value in file.headers.items()},
    }
    if not isinstance(source, Path):
        await send_content(source, headers, scope, receive, send, file.media_type, status)
        return
    found = await to_thread(readable, source)
    await send_path(source, found, headers, scope, receive, send, file.media_type, status)


async def send_path(
    path: Path,
    found: os.stat_result,
    headers: Mapping[str, str],
    scope: Scope,
    receive: Receive,
    send: Send,
    media_type: str | None = None,
    status: int = 200,
) -> None:
    """Send the regular file at `path`, as the request asks for it.

    Args:
        path: Where it is.
        found: What `os.stat` said of it.
        headers: Of the answer; names in lower case.
        scope: The request; only GET and HEAD get ranges and 304.
        receive: By which a client that goes away is noticed.
        send: Waits while the client is slow.
        media_type: By default as the name says.
        status: Of a whole answer.
    """
    from starlette.responses import FileResponse

    for name, value in headers.items():
        header(name, value)
    response = FileResponse(path, status, headers=headers, media_type=media_type, stat_result=found)
    raw: Headers = response.raw_headers
    if status == 200 and scope["method"] in ("GET", "HEAD") and _known(scope, response, found):
        kept = [(name, value) for name, value in raw if name in OF_304]
        await send({"type": "http.response.start", "status": 304, "headers": kept})
        await send({"type": "http.response.body", "body": b""})
        return
    exact = _Exact(send, scope["method"] == "HEAD")
    asgi = cast("tuple[StarletteReceive, StarletteSend]", (receive, exact))
    await response(dict(_plain(scope)), *asgi)
    exact.check()


def readable(path: Path) -> os.stat_result:
    """Return what there is at `path`; raises OSError if it is no regular file that can be read."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    if not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return found


def _known(scope: Scope, response: "FileResponse", found: os.stat_result) -> bool:
    changed = datetime.fromtimestamp(int(found.st_mtime), UTC)
    return not_modified(scope["headers"], response.headers["etag"], changed)


def _plain(scope: Scope) -> Scope:
    """Return the scope without a Range that means nothing, which is to be ignored, and without the
    shortcuts of a server, which go around whoever counts or changes what is sent."""
    kept = [(name, value) for name, value in scope["headers"] if name != b"range"]
    asked = [(name, value) for name, value in scope["headers"] if name == b"range"]
    if len(asked) == 1 and _is_range(asked[0][1]):
        kept += asked
    return {**scope, "headers": kept, "extensions": {}}


def _is_range(value: bytes) -> bool:
    unit, _, ranges = value.partition(b"=")
    return unit.strip().lower() == b"bytes" and all(map(_is_one_range, ranges.split(b",")))


def _is_one_range(value: bytes) -> bool:
    match = _RANGE.fullmatch(value.strip())
    if match is None:
        return False
    first, last = match.groups()
    return bool(first or last) and not (first and last and int(first) > int(last))


class _Exact:
    """A `send` that keeps to the length that was announced, and words a refusal as a problem."""

    def __init__(self, send: Send, is_head: bool) -> None:
        self._send = send
        self._is_head = is_head
        self._left = 0
        self._ended = False
        self._short = False

    async def __call__(self, message: Message) -> None:
        if self._ended:
            return  # a file that grows meanwhile is sent as it was
        if message["type"] == "http.response.start":
            await self._start(message)
            return
        body = message.get("body", b"")[: self._left]
        self._left -= len(body)
        self._ended = self._is_head or not self._left
        if not self._ended and not message.get("more_body"):
            self._short = True
            return
        await self._send({**message, "body": body, "more_body": not self._ended})

    def check(self) -> None:
        """Raise OSError if the file was shorter than was said."""
        if self._short:
            raise OSError(f"the file has become shorter while it was sent: {self._left} bytes lack")

    async def _start(self, message: Message) -> None:
        headers = dict(message.get("headers", ()))
        if message.get("status") != 416:
            self._left = int(headers[b"content-length"])
            await self._send(message)
            return
        self._ended = True
        length = (b"content-range", headers[b"content-range"])
        said = "no byte of the file is in the range that is asked for"
        refused = Refused(416, "range_not_satisfiable", said, headers=(length,))
        await refused.answer().send_to(self._send)

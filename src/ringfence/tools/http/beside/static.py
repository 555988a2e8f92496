"""Files of a folder, served as they are: `[tools.http.static] "/static" = "public"`.

`Folder` is the ASGI application for one folder, `find` the way from a path to a file. Invariant:
nothing is opened but a regular file inside the folder, under a name that does not start with a dot,
reached by no name other than its own.
"""

import os
import stat
from asyncio import to_thread
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct

from ringfence.tools.http.answers.files import readable, send_path
from ringfence.tools.http.problem import Refused
from ringfence.tools.http.wire import Answer, Receive, Scope, Send, answer, path_below

INDEX = "index.html"
_HEADERS = {"x-content-type-options": "nosniff"}
_METHODS = (b"allow", b"GET, HEAD, OPTIONS")
# Separators and drives on Windows, streams of a file there, and what no name should have.
_NOT_IN_A_NAME = frozenset('/\\:*?"<>|') | {chr(code) for code in (*range(32), 127)}


class Found(Struct, frozen=True):
    """A file to send."""

    path: Path
    facts: os.stat_result


class IsFolder(Struct, frozen=True):
    """A folder with an index, asked for without the slash by which its links work."""

    name: str


class Folder:
    """The ASGI application that serves the files of one folder.

    Args:
        prefix: The path below which they are: `/static`, or the empty text for the root.
        folder: Where they are; exists.
    """

    def __init__(self, prefix: str, folder: Path) -> None:
        self._prefix = prefix.encode()
        self._folder = folder.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; a WebSocket is refused as what is not there."""
        method = scope["method"] if scope["type"] == "http" else "GET"
        if method == "OPTIONS":
            await Answer(204, b"", (_METHODS,)).send_to(send)
            return
        if method not in ("GET", "HEAD"):
            said = f"expected GET or HEAD at this path, got {method}"
            refused = Refused(405, "method_not_allowed", said, headers=(_METHODS,))
            await answer(refused.answer(), scope, send)
            return
        found = await to_thread(find, self._folder, self._below(scope))
        if found is None or scope["type"] != "http":
            missing = Refused(404, "no_such_file", "there is no file at this path")
            await answer(missing.answer(), scope, send)
        elif isinstance(found, Found):
            await send_path(found.path, found.facts, _HEADERS, scope, receive, send)
        else:
            own = self._prefix.decode().rpartition("/")[2]
            await _to_slash(found.name or own, scope["query_string"]).send_to(send)

    def _below(self, scope: Scope) -> bytes:
        return path_below(scope).removeprefix(self._prefix)


def find(folder: Path, raw: bytes) -> Found | IsFolder | None:
    """Return the file that a path stands for, or None, whatever the reason.

    Args:
        folder: Where to look; resolved.
        raw: The path below the folder as it came in: with its escapes, and a slash in front.
    """
    names = _names(raw)
    if names is None:
        return None
    try:
        path = folder.joinpath(*names).resolve(strict=True)
        is_folder = stat.S_ISDIR(path.stat().st_mode)
        if is_folder:
            path = (path / INDEX).resolve(strict=True)
        facts = readable(path)
    except (OSError, RuntimeError, ValueError):  # not there, a circle, no such name here
        return None
    if not _is_inside(folder, path):
        return None
    ends_as_folder = names[-1:] == [""]
    if is_folder and not ends_as_folder:
        return IsFolder(names[-1] if names else "")
    return Found(path, facts) if is_folder == ends_as_folder else None


def _names(raw: bytes) -> list[str] | None:
    """Return the names of a path, each decoded once; the last is empty after a final slash."""
    try:
        names = [unquote_to_bytes(part).decode() for part in raw.split(b"/")[1:]]
    except UnicodeDecodeError:
        return None
    return None if any(map(_is_no_name, names)) or "" in names[:-1] else names


def _is_no_name(name: str) -> bool:
    # Windows takes a name with a final dot or space for the name without.
    return name.startswith(".") or name.endswith((".", " ")) or not _NOT_IN_A_NAME.isdisjoint(name)


def _is_inside(folder: Path, path: Path) -> bool:
    """Whether a resolved path is in the folder, and hidden nowhere: a link may have led to it."""
    if not path.is_relative_to(folder):
        return False
    return not any(part.startswith(".") for part in path.relative_to(folder).parts)


def _to_slash(name: str, query: bytes) -> Answer:
    """Send a browser to the folder's own address, relative to where it is."""
    place = f"./{quote(name, safe='')}/".encode()
    if query:
        place += b"?" + quote(query, safe="=&%+,;:@/!$'()*~").encode()
    return Answer(307, b"", ((b"location", place),))

"""The route table: from a method and a raw path to what serves it.

A path without parameters is one dictionary lookup by its bytes; any other is a walk down a trie of
segments, text before parameters. Neither depends on how many routes there are. A path is split
before it is percent-decoded. A segment that would be more than one name (`%2F`, `..`) matches
nothing: what a parameter stands for can be put together with a folder.
"""

from collections.abc import Mapping
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from ringfence.tools.http.path import Named, Pattern
from ringfence.tools.http.problem import Refused

T = TypeVar("T")
_SEPARATORS = frozenset("/\\\0")  # on some system


class _Node(Struct, Generic[T], eq=False):
    """All paths that share the segments so far."""

    texts: "dict[str, _Node[T]]"
    targets: dict[str, T]  # by method
    named: "_Node[T] | None" = None


class Match(Struct, Generic[T], frozen=True):
    """What serves a request, and the segments that its parameters stand for."""

    target: T
    captures: tuple[str, ...] = ()


class Wrong(Struct, frozen=True):
    """The path is served, but not with this method."""

    allow: tuple[str, ...]


class Table(Generic[T]):
    """Targets by method and path. The first target of a method and path stays."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node({}, {})
        self._static: dict[str, dict[bytes, T]] = {}
        self._longest = 0

    @property
    def static(self) -> Mapping[str, Mapping[bytes, T]]:
        """Targets of paths without parameters: by method, then by the bytes of the path."""
        return self._static

    def add(self, method: str, pattern: Pattern, target: T) -> None:
        """Serve `method pattern` by `target`."""
        node = self._root
        for part in pattern.segments:
            if isinstance(part, Named):
                node.named = node.named or _Node({}, {})
                node = node.named
            else:
                node = node.texts.setdefault(part, _Node({}, {}))
        target = node.targets.setdefault(method, target)
        if pattern.raw is not None:
            self._static.setdefault(method, {})[pattern.raw] = target
        self._longest = max(self._longest, len(pattern.segments))

    def find(self, method: str, raw_path: bytes) -> Match[T] | Wrong | None:
        """Look a request up.

        Returns:
            What serves it; the methods that would, if this one does not; None for no such path.

        Raises:
            Refused: 400, the path is not UTF-8 under its percent-encoding.
        """
        segments = _segments(raw_path)
        return None if segments is None else self._every(method, segments)

    def straight(self, method: str, raw_path: bytes) -> tuple[T, tuple[str, ...]] | None:
        """Look up what nearly every request is: nothing to decode, and no way to turn back from.

        Go down once, texts before parameters. None says that `find` is to be asked.
        """
        if b"%" in raw_path or b"/." in raw_path or b"\\" in raw_path or not raw_path.isascii():
            return None
        node = self._root
        captures: list[str] = []
        for segment in raw_path.decode().split("/")[1:]:
            text = node.texts.get(segment)
            if text is not None:
                node = text
            elif node.named is not None and segment:
                captures.append(segment)
                node = node.named
            else:
                return None
        target = node.targets.get(method)
        return None if target is None else (target, tuple(captures))

    def _every(self, method: str, segments: list[str]) -> Match[T] | Wrong | None:
        """Try every way down, texts before parameters."""
        length = len(segments)
        if length > self._longest:
            return None
        allow: set[str] = set()
        waiting: list[tuple[_Node[T], int, tuple[str, ...]]] = [(self._root, 0, ())]
        while waiting:
            node, depth, captures = waiting.pop()
            if depth == length:
                target = node.targets.get(method)
                if target is not None:
                    return Match(target, captures)
                allow.update(node.targets)
                continue
            segment = segments[depth]
            if node.named is not None and segment:
                waiting.append((node.named, depth + 1, (*captures, segment)))
            text = node.texts.get(segment)
            if text is not None:
                waiting.append((text, depth + 1, captures))
        if not allow:
            return None
        return Wrong(tuple(sorted(allow | {"HEAD"} if "GET" in allow else allow)))


def _segments(raw_path: bytes) -> list[str] | None:
    """Split a path and decode its segments; None where one of them is no single name."""
    try:
        if b"%" not in raw_path and b"/." not in raw_path and b"\\" not in raw_path:
            return raw_path.decode().split("/")[1:]
        segments = [unquote_to_bytes(part).decode() for part in raw_path.split(b"/")[1:]]
        return None if any(map(_is_no_name, segments)) else segments
    except UnicodeDecodeError:
        raise Refused(400, "malformed_path", "the path is not UTF-8") from None


def _is_no_name(segment: str) -> bool:
    return segment in (".", "..") or not _SEPARATORS.isdisjoint(segment)

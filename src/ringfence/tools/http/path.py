"""The syntax of a route's path: `/orders/{order_id}` read into segments.

`parse` is total: it returns a `Pattern` or says what is wrong. Used where routes are checked,
where they are bound, and where they are described.
"""

import re

from msgspec import Struct

# What RFC 3986 allows in a segment, without percent-encoding: a path is written as it reads.
_TEXT = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@]+")


class Named(Struct, frozen=True):
    """A segment that stands for any one non-empty segment."""

    name: str


class Pattern(Struct, frozen=True):
    """A path, read."""

    segments: tuple[str | Named, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Its parameters, in order."""
        return tuple(part.name for part in self.segments if isinstance(part, Named))

    @property
    def raw(self) -> bytes | None:
        """The one request path that matches byte for byte; None when there are parameters."""
        if self.names:
            return None
        return ("/" + "/".join(str(part) for part in self.segments)).encode()


class Unreadable(Struct, frozen=True):
    """What is wrong with a path, and how it is written right."""

    message: str
    fix: str


def parse(path: str) -> Pattern | Unreadable:
    """Read a path."""
    if not path.startswith("/"):
        return Unreadable(f"path {path!r} does not begin with '/'", f"write {'/' + path!r}")
    if path == "/":
        return Pattern(("",))
    segments: list[str | Named] = []
    for text in path[1:].split("/"):
        segment = _segment(text)
        if isinstance(segment, Unreadable):
            return Unreadable(f"path {path!r}: {segment.message}", segment.fix)
        segments.append(segment)
    pattern = Pattern(tuple(segments))
    for name in pattern.names:
        if pattern.names.count(name) > 1:
            return Unreadable(f"path {path!r}: {{{name}}} stands twice", "name each differently")
    return pattern


def _segment(text: str) -> str | Named | Unreadable:
    if not text:
        return Unreadable("a segment is empty", "leave out doubled and trailing slashes")
    if text[0] == "{" and text[-1] == "}" and text[1:-1].isidentifier():
        return Named(text[1:-1])
    if "{" in text or "}" in text:
        return Unreadable(
            f"segment {text!r} is not a parameter",
            "write a whole segment `{name}`, where name is a Python identifier; its type is that"
            " of the parameter of that name",
        )
    if text in (".", "..") or not _TEXT.fullmatch(text):
        return Unreadable(
            f"segment {text!r} cannot stand in a path",
            "use letters, digits and -._~!$&'()*+,;=:@",
        )
    return text

"""What the kernel reads an application's files from, and what it wants to know of each.

`Source` is what one file says without having been run; a `Library` reads all files of an
application. `ringfence.library` has the one that applications run on.
"""

import importlib.util
import types
from pathlib import Path
from typing import Protocol

from msgspec import Struct

TOPS = ("domains", "lib", "tools")  # the folders of an application that hold its modules


class ImportSite(Struct, frozen=True):
    """One module that a file imports: its dotted name (leading dots if relative) and the line."""

    name: str
    line: int


class Source(Struct, frozen=True):
    """What one file says, without having run it. `error` is set where it cannot be parsed."""

    path: str
    stamp: tuple[int, int]  # time of change in nanoseconds, size in bytes
    imports: tuple[ImportSite, ...] = ()  # those that lead into the application
    names: tuple[tuple[str, str], ...] = ()  # decorator and its first argument
    # Methods under `@on` of what is stored, each with its pattern.
    listens: tuple[tuple[str, str], ...] = ()
    lines: dict[str, int] = {}  # `Class`, and a plugin's `Class.method`, `Class.field` → line
    error: str = ""
    error_line: int = 1


class Library(Protocol):
    """The sources of one application; whoever wires decides whether they are kept."""

    def read(self, path: Path) -> Source:
        """Return what the file at `path` says."""
        ...

    def code(self, path: Path) -> types.CodeType:
        """Return the compiled file; raises SyntaxError where it cannot be parsed."""
        ...

    def keep(self) -> None:
        """All has been read: the application runs."""
        ...


def absolute(name: str, package: str) -> str:
    """Resolve a possibly relative module name as seen from `package`."""
    if not name.startswith("."):
        return name
    try:
        return importlib.util.resolve_name(name, package)
    except ImportError:
        return name

"""The static read of one file: its code, its imports, and the names that its decorators declare.

Reading runs nothing. A `Library` reads all files of an application; `ringfence.library` has one
that keeps what it has read for the next start.
"""

import ast
import importlib.util
import marshal
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Raw, Struct

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
    lines: dict[str, int] = {}  # `Class`, and a plugin's `Class.method`, `Class.field` → line
    error: str = ""
    error_line: int = 1


class Volume(Struct, frozen=True):
    """A source and its compiled code, as the cache keeps them: a view of the file's one buffer."""

    source: Source
    code: Raw


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


def parse(path: Path, stamp: tuple[int, int]) -> Volume:
    """Read a file anew: parse, compile, and walk its tree once."""
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no regular file")  # a pipe has no end, and a device may have none
        content = path.read_bytes()
        tree = ast.parse(content, str(path))
        code = compile(tree, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError) as error:
        line = (error.lineno if isinstance(error, SyntaxError) else 1) or 1
        said = error.msg if isinstance(error, SyntaxError) else str(error) or "nested too deeply"
        said = f"{type(error).__name__}: {said}"
        return Volume(Source(str(path), stamp, error=said, error_line=line), Raw())
    names: list[tuple[str, str]] = []
    lines: dict[str, int] = {}
    for cls in tree.body:
        if isinstance(cls, ast.ClassDef):
            _read_class(cls, names, lines)
    source = Source(str(path), stamp, tuple(_imports(tree.body)), tuple(names), lines)
    return Volume(source, Raw(msgspec.msgpack.encode(marshal.dumps(code))))


def _read_class(cls: ast.ClassDef, names: list[tuple[str, str]], lines: dict[str, int]) -> None:
    lines[cls.name] = cls.lineno
    is_plugin = any(_last_word(base) == "Plugin" for base in cls.bases)
    for item in cls.body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            marked = _marks(item)
            names += marked
            if marked or is_plugin:
                lines[f"{cls.name}.{item.name}"] = item.lineno
        elif is_plugin and isinstance(item, ast.AnnAssign | ast.Assign):
            for target in item.targets if isinstance(item, ast.Assign) else [item.target]:
                if isinstance(target, ast.Name):
                    lines[f"{cls.name}.{target.id}"] = item.lineno


def _marks(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[tuple[str, str]]:
    """Return (decorator, first argument) of each decorator that is called with a string."""
    found: list[tuple[str, str]] = []
    for mark in node.decorator_list:
        if isinstance(mark, ast.Call) and mark.args and isinstance(mark.args[0], ast.Constant):
            word = _last_word(mark.func)
            if word and isinstance(mark.args[0].value, str):
                found.append((word, mark.args[0].value))
    return found


def _last_word(node: ast.expr) -> str:
    """Return `x` of `x` and of `a.b.x`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _imports(statements: Sequence[ast.stmt]) -> Iterator[ImportSite]:
    """Yield every import in a list of statements and the blocks inside them; expressions, which
    are most of a tree, hold none."""
    for node in statements:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in TOPS:
                    yield ImportSite(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            stem = "." * node.level + (node.module or "")
            inward = stem.startswith(".") or stem.partition(".")[0] in TOPS
            for alias in node.names if inward else ():
                dot = "" if stem.endswith(".") or not stem else "."
                yield ImportSite(f"{stem}{dot}{alias.name}", node.lineno)
        else:
            for block in _blocks(node):
                yield from _imports(block)


def _blocks(node: ast.stmt) -> Iterator[Sequence[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        yield getattr(node, name, ())
    for inner in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield inner.body


def absolute(name: str, package: str) -> str:
    """Resolve a possibly relative module name as seen from `package`."""
    if not name.startswith("."):
        return name
    try:
        return importlib.util.resolve_name(name, package)
    except ImportError:
        return name

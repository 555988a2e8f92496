"""The static read of one file: its code, its imports, and the names that its decorators declare.

Reading runs nothing. The result is kept beside Python's own cache, keyed by path, size, time of
change and kernel version, so that a warm start neither parses nor compiles. Where the disk is
read-only the cache is skipped.
"""

import ast
import importlib.util
import marshal
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

_FORMAT = 1  # raise it when what a Source holds changes
_TAG = f"{sys.implementation.cache_tag}.ringfence-{_FORMAT}"


class ImportSite(Struct, frozen=True):
    """One module that a file imports: its dotted name (leading dots if relative) and the line."""

    name: str
    line: int


class Source(Struct, frozen=True):
    """What one file says, without having run it. `error` is set where it cannot be parsed."""

    path: str
    stamp: tuple[int, int]  # time of change in nanoseconds, size in bytes
    code: bytes = b""
    imports: tuple[ImportSite, ...] = ()
    names: tuple[tuple[str, str], ...] = ()  # decorator and its first argument
    requires: tuple[str, ...] = ()
    lines: dict[str, int] = {}  # `Class`, `Class.method` and `Class.field` → line
    error: str = ""
    error_line: int = 1

    def executable(self) -> types.CodeType:
        code = marshal.loads(self.code)  # noqa: S302 - our own cache, as trusted as a .pyc
        assert isinstance(code, types.CodeType)
        return code


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Source)


def read_source(path: Path) -> Source:
    """Return what the file at `path` says, from the cache where it is current."""
    status = path.stat()
    stamp = (status.st_mtime_ns, status.st_size)
    cache = path.parent / "__pycache__" / f"{path.stem}.{_TAG}"
    try:
        kept = _decoder.decode(cache.read_bytes())
        if kept.stamp == stamp and kept.path == str(path):
            return kept
    except (OSError, msgspec.DecodeError):
        pass  # absent, unreadable or of another version: read it again
    fresh = parse(path, stamp)
    if not fresh.error:
        _keep(cache, _encoder.encode(fresh))
    return fresh


def _keep(cache: Path, content: bytes) -> None:
    partial = cache.with_name(f"{cache.name}.{os.getpid()}")
    try:
        cache.parent.mkdir(exist_ok=True)
        partial.write_bytes(content)
        partial.replace(cache)
    except OSError:
        pass  # a read-only disk: the next start reads the file again


def parse(path: Path, stamp: tuple[int, int]) -> Source:
    """Read a file anew: parse, compile, and walk its tree once."""
    try:
        content = path.read_bytes()
        tree = ast.parse(content, str(path))
        code = compile(tree, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OSError, RecursionError) as error:
        line = (error.lineno if isinstance(error, SyntaxError) else 1) or 1
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        return Source(str(path), stamp, error=f"{type(error).__name__}: {said}", error_line=line)
    names: list[tuple[str, str]] = []
    requires: list[str] = []
    lines: dict[str, int] = {}
    for cls in tree.body:
        if isinstance(cls, ast.ClassDef):
            _read_class(cls, names, requires, lines)
    return Source(
        str(path),
        stamp,
        marshal.dumps(code),
        tuple(_imports(tree)),
        tuple(names),
        tuple(requires),
        lines,
    )


def _read_class(
    cls: ast.ClassDef,
    names: list[tuple[str, str]],
    requires: list[str],
    lines: dict[str, int],
) -> None:
    lines[cls.name] = cls.lineno
    requires += [name for word, name in _marks(cls) if word == "requires"]
    for item in cls.body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            lines[f"{cls.name}.{item.name}"] = item.lineno
            names += _marks(item)
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            lines[f"{cls.name}.{item.target.id}"] = item.lineno


def _marks(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> list[tuple[str, str]]:
    """Return (decorator, first argument) of each decorator that is called with a string."""
    found: list[tuple[str, str]] = []
    for mark in node.decorator_list:
        if isinstance(mark, ast.Call) and mark.args and isinstance(mark.args[0], ast.Constant):
            word = mark.func.attr if isinstance(mark.func, ast.Attribute) else None
            if isinstance(mark.func, ast.Name):
                word = mark.func.id
            if word and isinstance(mark.args[0].value, str):
                found.append((word, mark.args[0].value))
    return found


def _imports(tree: ast.Module) -> Iterator[ImportSite]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield ImportSite(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            stem = "." * node.level + (node.module or "")
            for alias in node.names:
                dot = "" if stem.endswith(".") or not stem else "."
                yield ImportSite(f"{stem}{dot}{alias.name}", node.lineno)


def absolute(name: str, package: str) -> str:
    """Resolve a possibly relative module name as seen from `package`."""
    if not name.startswith("."):
        return name
    try:
        return importlib.util.resolve_name(name, package)
    except ImportError:
        return name

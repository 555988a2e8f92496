"""The files of an application, read without running them, and kept from one start to the next.

`Library` is what the kernel reads them from. Each is parsed once: its code, its imports, and the
names that its decorators declare. What has been read is in one file, by path, size and time of
change, so that a warm start neither parses nor compiles. Where the disk is read-only it keeps
nothing.
"""

import ast
import marshal
import os
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from ringfence.kernel.source import TOPS, ImportSite, Source

# Raise it with every change of what a Source holds, or of how it is read. The package's version
# would say the same, and take a start some milliseconds to find out.
_FORMAT = 5
_TAG = f"{sys.implementation.cache_tag}.ringfence-{_FORMAT}"


class Volume(Struct, frozen=True):
    """A source and its compiled code, as the cache keeps them: a view of the file's one buffer."""

    source: Source
    code: Raw


class Library:
    """The sources of one application, from its cache where that is current.

    Args:
        root: Its folder; what is kept is in a file of `.ringfence/` there.
    """

    def __init__(self, root: Path) -> None:
        self._cache = root / ".ringfence" / f"sources.{_TAG}"
        self._known = _kept(self._cache)
        self._fresh = False

    def read(self, path: Path) -> Source:
        """Return what the file at `path` says."""
        return self._volume(path).source

    def code(self, path: Path) -> types.CodeType:
        """Return the compiled file; raises SyntaxError where it cannot be parsed."""
        volume = self._volume(path)
        code = _compiled(volume)
        if code is None:  # it cannot be parsed, or its entry in the cache is damaged
            volume = self._read_anew(path, volume.source.stamp)
            code = _compiled(volume)
        if code is None:
            place = (str(path), volume.source.error_line, None, None)
            raise SyntaxError(volume.source.error, place)
        return code

    def _volume(self, path: Path) -> Volume:
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
        except OSError:  # a link to nothing, say: `parse` tells
            stamp = (0, 0)
        known = self._known.get(str(path))
        if known is not None and known.source.stamp == stamp:
            return known
        return self._read_anew(path, stamp)

    def _read_anew(self, path: Path, stamp: tuple[int, int]) -> Volume:
        self._fresh = True
        volume = self._known[str(path)] = parse(path, stamp)
        return volume

    def keep(self) -> None:
        """Write what is new to the cache, and forget all of it: the application runs."""
        known, self._known = self._known, {}
        if self._fresh:
            whole = [volume for volume in known.values() if not volume.source.error]
            content = msgspec.msgpack.encode([v for v in whole if Path(v.source.path).exists()])
            partial = self._cache.with_name(f"{self._cache.name}.{os.getpid()}")
            try:
                self._cache.parent.mkdir(mode=0o700, exist_ok=True)
                partial.write_bytes(content)
                partial.replace(self._cache)
            except OSError:
                pass  # a read-only disk: the next start reads the files again
        self._fresh = False


def _kept(cache: Path) -> dict[str, Volume]:
    try:
        volumes = msgspec.msgpack.decode(cache.read_bytes(), type=list[Volume])
    except (OSError, msgspec.DecodeError):
        return {}  # absent, unreadable or of another version: the files are read again
    return {volume.source.path: volume for volume in volumes}


def _compiled(volume: Volume) -> types.CodeType | None:
    """Return a volume's code; None where its bytes are damaged."""
    try:
        # Our own cache, as trusted as a .pyc.
        code = marshal.loads(msgspec.msgpack.decode(volume.code, type=bytes))  # noqa: S302
    except (EOFError, ValueError, TypeError, msgspec.DecodeError):
        return None
    return code if isinstance(code, types.CodeType) else None


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
    listens: list[tuple[str, str]] = []
    lines: dict[str, int] = {}
    for cls in tree.body:
        if isinstance(cls, ast.ClassDef):
            names += [mark for mark in _marks(cls) if mark[0] == "event"]
            listens += _listens(cls)
            _read_class(cls, names, lines)
    imports = tuple(_imports(tree.body))
    source = Source(str(path), stamp, imports, tuple(names), tuple(listens), lines)
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


def _listens(cls: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Yield each method under `@on`, with its pattern; but for broadcasts, nothing of which is
    kept."""
    for item in cls.body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            for mark in item.decorator_list:
                keywords = mark.keywords if isinstance(mark, ast.Call) else ()
                said = (word.value for word in keywords if word.arg == "broadcast")
                kept = not any(getattr(value, "value", True) for value in said)
                word, pattern = _mark(mark)
                if word == "on" and kept:
                    yield item.name, pattern


def _marks(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef,
) -> list[tuple[str, str]]:
    """Return (decorator, first argument) of each decorator that is called with a string."""
    return [marked for marked in map(_mark, node.decorator_list) if marked[0]]


def _mark(node: ast.expr) -> tuple[str, str]:
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        given = node.args[0].value
        if isinstance(given, str):
            return _last_word(node.func), given
    return "", ""


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

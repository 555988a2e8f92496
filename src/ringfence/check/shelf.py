"""What each file was found to say, kept until the file changes.

`Shelf.examined(path, file)` parses a file once and lets every rule look at it; the next run finds
that in `.ringfence/`, by path, size and time of change, and parses nothing. Invariant: what is kept
was said by these very rules; another version of them begins anew. Called by `examination.py`.
"""

import ast
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct

from ringfence.check import waivers
from ringfence.check.code import Code, text_of
from ringfence.check.rule import Fact, Hit, Rule
from ringfence.check.waivers import Waiver

_MOST_BYTES = 5_000_000  # a source of more is data, and would hold up all others


class Examined(Struct, frozen=True):
    """One file: what rules found in it, and what it says that only all files together judge."""

    file: str
    stamp: tuple[int, int]  # time of change in nanoseconds, size in bytes
    hits: tuple[tuple[str, Hit], ...] = ()
    facts: dict[str, tuple[Fact, ...]] = {}
    services: tuple[str, ...] = ()
    waivers: tuple[Waiver, ...] = ()


class Shelf:
    """The examined files of one application.

    Args:
        root: Its folder.
        rules: Those that look.
        keep: Whether what was read is written down for the next run.
    """

    def __init__(self, root: Path, rules: Sequence[Rule], *, keep: bool = True) -> None:
        self._root = root
        self._rules = rules
        self._file = root / ".ringfence" / f"check.{_tag()}" if keep else None
        self._kept = _read(self._file) if self._file else {}
        self._seen: dict[str, Examined] = {}

    def examined(self, path: Path, file: str) -> Examined:
        """Return what the file at `path`, called `file`, says."""
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
        except OSError:  # a link to nothing: reading it says so
            stamp = (0, 0)
        known = self._kept.get(file)
        if known is None or known.stamp != stamp:
            known = _examine(path, file, stamp, self._rules)
        self._seen[file] = known
        return known

    def keep(self) -> None:
        """Write down what is new; where nothing can be written, the next run reads again."""
        if self._file is None or self._seen == self._kept:
            return
        partial = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        with suppress(OSError, UnicodeEncodeError):
            content = msgspec.msgpack.encode(list(self._seen.values()))
            self._file.parent.mkdir(mode=0o700, exist_ok=True)
            partial.write_bytes(content)
            partial.replace(self._file)


def _tag() -> str:
    """Name this version of the rules, by the files that they are in."""
    files = {path.name: path.stat() for path in Path(__file__).parent.rglob("*.py")}
    states = sorted((name, one.st_size, one.st_mtime_ns) for name, one in files.items())
    return f"{sys.implementation.cache_tag}.{sha256(repr(states).encode()).hexdigest()[:12]}"


def _read(file: Path) -> dict[str, Examined]:
    try:
        known = msgspec.msgpack.decode(file.read_bytes(), type=list[Examined])
    except (OSError, msgspec.DecodeError):
        return {}  # absent or damaged: the files are read again
    return {one.file: one for one in known}


def _examine(path: Path, file: str, stamp: tuple[int, int], rules: Sequence[Rule]) -> Examined:
    try:
        if not path.is_file():
            raise OSError("it is no regular file")  # a pipe has no end
        if stamp[1] > _MOST_BYTES:
            raise OSError(f"it has more than {_MOST_BYTES:,} bytes")
        content = path.read_bytes()
        code = Code(file, ast.parse(content, file))
        noted = _waivers(content)
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError) as error:
        line = (error.lineno if isinstance(error, SyntaxError) else 1) or 1
        said = error.msg if isinstance(error, SyntaxError) else str(error) or "nested too deeply"
        hit = Hit(line, f"it cannot be examined: {type(error).__name__}: {said}", "mend it")
        return Examined(file, stamp, (("RF592", hit),))
    looking = [rule for rule in rules if code.area in rule.areas]
    hits = [(r.id, hit) for r in looking if r.look is not None for hit in r.look(code)]
    facts = {r.id: tuple(r.gather(code)) for r in looking if r.gather is not None}
    kept = {rule: several for rule, several in facts.items() if several}
    return Examined(file, stamp, tuple(hits), kept, _services(code), noted)


def _waivers(content: bytes) -> tuple[Waiver, ...]:
    if waivers.MARK.encode() not in content:
        return ()
    return tuple(waivers.read(content.decode("utf-8", "replace")))


def _services(code: Code) -> tuple[str, ...]:
    """Return the services that a file declares, as it writes them."""
    calls = [call for called, call in code.calls if called == "ringfence.service"]
    return tuple(name for call in calls if call.args and (name := text_of(call.args[0])))

"""The sources of an application, kept from one start to the next.

`Library` is what the kernel reads them from: what it has read is in one file, by path, size and
time of change, so that a warm start neither parses nor compiles. Where the disk is read-only it
keeps nothing.
"""

import marshal
import os
import sys
import types
from pathlib import Path

import msgspec

from ringfence.kernel.source import Source, Volume, parse

# Raise it with every change of what a Source holds, or of how it is read. The package's version
# would say the same, and take a start some milliseconds to find out.
_FORMAT = 4
_TAG = f"{sys.implementation.cache_tag}.ringfence-{_FORMAT}"


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

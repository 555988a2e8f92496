"""What is served beside routes: folders, and ASGI applications of others below a prefix.

`Beside(config, root, clock)`, then `start`, `find` for a path that no route has, and `stop`. The
longest prefix wins. Invariant: whatever a mounted application does, it fails alone.
"""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

from ringfence.errors import StartRefused
from ringfence.kernel.ports import Clock
from ringfence.tools.http.beside.guest import Guest, add_folder, drop_folder
from ringfence.tools.http.limits import Common
from ringfence.tools.http.wire import Asgi

_PREFIX = re.compile(r"/|(?:/[A-Za-z0-9._~-]+)+")


class Beside:
    """The folders and mounted applications of one application.

    Args:
        config: With `static` and `mounts`.
        root: The application's folder, where folders and modules are looked for.
        clock: By which the deadlines of mounted applications are kept.
    """

    def __init__(self, config: Common, root: Path, clock: Clock) -> None:
        self._config = config
        self._root = root
        self._guests = {
            prefix: Guest(named, prefix.rstrip("/"), root, clock)
            for prefix, named in config.mounts.items()
        }
        self._served: tuple[tuple[bytes, Asgi], ...] = ()  # the longest prefix first

    async def start(self) -> None:
        """Check the folders, and start the mounted applications, each within its deadline.

        Raises:
            StartRefused: A folder is not there, or a prefix or a module's name is none.
        """
        faults = list(_faults(self._config, self._root))
        if faults:
            raise StartRefused("\n".join(faults))
        served: dict[str, Asgi] = dict(self._guests)
        if self._config.static:
            from ringfence.tools.http.beside.static import Folder

            for prefix, folder in self._config.static.items():
                served[prefix] = Folder(prefix.rstrip("/"), self._root / folder)
        prefixes = sorted(served, key=len, reverse=True)
        self._served = tuple((prefix.rstrip("/").encode(), served[prefix]) for prefix in prefixes)
        if self._guests:
            add_folder(self._root)
            await asyncio.gather(*(guest.start() for guest in self._guests.values()))

    async def stop(self) -> None:
        """Stop the mounted applications, all at the same time."""
        if self._guests and self._served:
            await asyncio.gather(*(guest.stop() for guest in self._guests.values()))
            drop_folder(self._root)
        self._served = ()

    def find(self, raw_path: bytes) -> Asgi | None:
        """Return what serves a path that no route has, or None.

        Args:
            raw_path: Below where this application is mounted, as it came in.
        """
        for prefix, app in self._served:
            if raw_path.startswith(prefix) and raw_path[len(prefix) :][:1] in (b"", b"/"):
                return app
        return None


def _faults(config: Common, root: Path) -> Iterator[str]:
    """Yield everything that is wrong with the two tables."""
    for table, entries in (("static", config.static), ("mounts", config.mounts)):
        for prefix in entries:
            if not _PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/")):
                yield (
                    f'tools.http.{table}: "{prefix}" is no prefix; expected a path such as'
                    ' "/old" of letters, digits and ._~-, with no slash at its end.'
                )
    for prefix in sorted(config.static.keys() & config.mounts.keys()):
        yield f'tools.http: "{prefix}" stands under static and under mounts. Choose one.'
    for prefix, folder in config.static.items():
        if not (root / folder).is_dir():
            yield (
                f'tools.http.static: "{prefix}": there is no folder {folder}; expected one in'
                f" {root}. Make it, or take the line out."
            )
    for prefix, named in config.mounts.items():
        if not Guest.is_name(named):
            yield (
                f'tools.http.mounts: "{prefix}": expected module:attribute or'
                f" module:factory(), got {named!r:.80}."
            )

"""One tree of an application, as far as changes spread in it: who imports and who calls whom.

`ground_of` reads it off the manifest and the files. Files are paths below the application's folder.
Called by `effect.py`, for the tree of a revision and for the one of now.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from ringfence.kernel.manifest import Manifest, Service
from ringfence.kernel.source import TOPS, absolute
from ringfence.library import Library

_HOOKS = ("start", "stop", "healthy", "snapshot", "restore")


class Ground(Struct, frozen=True):
    """What spreads a change.

    Args:
        plugins: Plugin → its file.
        calls: Plugin → the services that it may call.
        providers: Service → plugin.
        routes: Path of a route → the plugins that answer it.
        timed: Plugins that run by the clock.
        ever: Plugins that run in every start: by a hook, or by a way in that is not known here.
        imports: File → the files of the application that it imports.
        unread: Files of plugins that do not load.
    """

    plugins: Mapping[str, str]
    calls: Mapping[str, frozenset[str]]
    providers: Mapping[str, str]
    routes: Mapping[str, frozenset[str]]
    timed: frozenset[str]
    ever: frozenset[str]
    imports: Mapping[str, frozenset[str]]
    unread: frozenset[str]

    def importers(self, files: Iterable[str]) -> set[str]:
        """Return `files` and all that import them, directly or not."""
        return _closure(files, self.imports)

    def callers(self, plugins: Iterable[str]) -> set[str]:
        """Return `plugins` and all that call their services, directly or not."""
        reached = {
            caller: frozenset(self.providers[name] for name in names if name in self.providers)
            for caller, names in self.calls.items()
        }
        return _closure(plugins, reached)


def ground_of(root: Path, manifest: Manifest) -> Ground:
    """Read the ground of the application in the folder `root`."""
    routes: dict[str, set[str]] = {}
    timed, ever = set[str](), set[str]()
    for plugin in manifest.plugins:
        if any(callable(getattr(plugin.cls, name, None)) for name in _HOOKS):
            ever.add(plugin.id)
        for declared in (d for offer in plugin.offers for d in offer.declared):
            if declared.declaration.tool == "clock":
                timed.add(plugin.id)
            elif declared.declaration.tool == "http" and "/" in declared.declaration.key:
                path = declared.declaration.key[declared.declaration.key.index("/") :]
                routes.setdefault(path, set()).add(plugin.id)
            elif not isinstance(declared.declaration, Service):
                ever.add(plugin.id)
    return Ground(
        plugins={plugin.id: plugin.file for plugin in manifest.plugins},
        calls={plugin.id: plugin.grants for plugin in manifest.plugins},
        providers={name: of[0].plugin for name, of in manifest.services.items()},
        routes={path: frozenset(of) for path, of in routes.items()},
        timed=frozenset(timed),
        ever=frozenset(ever),
        imports=_imports(root),
        unread=frozenset(lost.file for lost in manifest.quarantined),
    )


def module_files(dotted: str) -> set[str]:
    """Return the files that an import of `dotted` runs, wherever they are there: one that is gone
    is missed by whoever imports it."""
    parts = dotted.split(".")
    stems = (Path(*parts[:length]) for length in range(1, len(parts) + 1))
    return {
        path.as_posix()
        for stem in stems
        for path in (stem.with_suffix(".py"), stem / "__init__.py")
    }


def is_route(pattern: str, path: str, *, exact: bool) -> bool:
    """Whether a route may answer a path, or one that begins with it."""
    if exact:
        text = "".join(
            ".*" if part.startswith("{") else re.escape(part)
            for part in re.split(r"(\{[^}]*\})", pattern)
        )
        return re.fullmatch(text, path) is not None
    fixed = pattern.partition("{")[0]
    return fixed.startswith(path) or path.startswith(fixed)


def _imports(root: Path) -> dict[str, frozenset[str]]:
    library = Library(root)
    found: dict[str, frozenset[str]] = {}
    for path in (p for top in TOPS for p in sorted((root / top).rglob("*.py"))):
        file = path.relative_to(root).as_posix()
        package = file.removesuffix(".py").replace("/", ".").rpartition(".")[0]
        names = {absolute(site.name, package) for site in library.read(path).imports}
        found[file] = frozenset(one for name in names for one in module_files(name))
    return found


def _closure(begin: Iterable[str], leads: Mapping[str, frozenset[str]]) -> set[str]:
    found = set(begin)
    grown = True
    while grown:
        more = {one for one, to in leads.items() if one not in found and not to.isdisjoint(found)}
        grown = bool(more)
        found |= more
    return found

"""From a folder to imported modules: discover the files, read them, import them under the guard.

Each step takes the one before it and gives the next: `Discovered → Sources → Modules`. A file that
cannot be parsed, a module that fails, exits or hangs at import is quarantined with its reason; the
others go on.
"""

import importlib
import itertools
import keyword
import os
import re
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from traceback import walk_tb
from typing import TypeVar

from msgspec import Struct

from ringfence.errors import DeadlineExceeded, Finding
from ringfence.kernel import guard
from ringfence.kernel.context import text_of
from ringfence.kernel.manifest import PluginFacts, Quarantined
from ringfence.kernel.source import Library, Source

T = TypeVar("T")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
# Folders of a domain that hold no features.
_KEPT = {"migrations", "tests", "contracts", "static"}
_MEND = "mend it; until then the plugin is quarantined and the others serve"
_instances = itertools.count(1)


class Feature(Struct, frozen=True):
    """One public file of a domain."""

    domain: str
    name: str
    path: Path

    @property
    def id(self) -> str:
        return f"{self.domain}.{self.name}"

    @property
    def file(self) -> str:
        return f"domains/{self.domain}/{self.name}.py"

    @property
    def module(self) -> str:
        return f"domains.{self.domain}.{self.name}"


class Discovered(Struct, frozen=True):
    """The files of an application."""

    root: Path
    domains: Mapping[str, Path]
    features: Sequence[Feature]
    findings: Sequence[Finding]


class Sources(Discovered, frozen=True):
    """What those files say, without having run any."""

    by_feature: Mapping[str, Source]
    offers: Mapping[str, Sequence[str]]  # domain → the services that its files declare, as written
    quarantined: Sequence[Quarantined]

    def lost(self, feature: "Feature | PluginFacts", finding: Finding) -> Quarantined:
        """Return a feature as it is listed once it cannot serve."""
        source = self.by_feature[feature.id]
        return Quarantined(
            feature.id, feature.domain, feature.file, finding, source.names, not source.error
        )


class Modules(Struct, frozen=True):
    """The imported modules, and those that could not be."""

    sources: Sources
    prefix: str  # of their names: `shop@1`
    by_feature: Mapping[str, types.ModuleType]
    quarantined: Sequence[Quarantined]


def discover(root: Path) -> Discovered:
    """List the features of every domain under `root`, and what is wrong with their names."""
    domains: dict[str, Path] = {}
    found: list[Feature | Finding | None] = []
    for folder in sorted((root / "domains").iterdir()):
        if not folder.name.startswith((".", "_")) and folder.is_dir():
            wrong = _wrong_name(folder, root)
            found.append(wrong)
            if wrong is None:
                domains[folder.name] = folder
                found += [_entry(path, root) for path in sorted(folder.iterdir())]
    features = [one for one in found if isinstance(one, Feature)]
    findings = [one for one in found if isinstance(one, Finding)]
    return Discovered(root, domains, features, findings)


def _entry(path: Path, root: Path) -> Feature | Finding | None:
    """Return what one entry of a domain's folder is; None for what is none of Ringfence's."""
    line = 0
    if path.name.startswith(("_", ".")):
        if path.name != "__init__.py" or not path.is_file() or not path.stat().st_size:
            return None
        line, message, fix = 1, "a domain's __init__.py is never run", "move it to a `_helper.py`"
    elif path.is_dir():
        if path.name in _KEPT or not any(path.glob("*.py")):
            return None
        message = "a domain has no sub-folders of features"
        fix = "move the files up, or start the folder's name with `_`"
    elif path.suffix == ".py":
        return _wrong_name(path, root) or Feature(path.parent.name, path.stem, path)
    else:
        return None
    return Finding(path.relative_to(root).as_posix(), line, "RF101", message, fix)


def _wrong_name(path: Path, root: Path) -> Finding | None:
    """Refuse a name that cannot be a word of Python, and a link that leads out of the folder."""
    name = path.stem if path.suffix == ".py" else path.name
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        message = f"{name!r} cannot be a name; expected lower_case_words, as in place_order"
        fix = "rename it"
    # Not `resolve`, which raises where links form a circle.
    elif not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        message = "this is a link that leads out of the application; expected a file in it"
        fix = "put the file itself there"
    else:
        return None
    return Finding(path.relative_to(root).as_posix(), 0, "RF101", message, fix)


def read_sources(discovered: Discovered, library: Library) -> Sources:
    """Read every feature's file, and the helpers beside it, without running anything."""
    by_feature = {f.id: library.read(f.path) for f in discovered.features}
    offers = {domain: list[str]() for domain in discovered.domains}
    for feature in discovered.features:
        names = by_feature[feature.id].names
        offers[feature.domain] += [name for word, name in names if word == "service"]
    findings = list(discovered.findings)
    quarantined: list[Quarantined] = []
    root, domains, features = discovered.root, discovered.domains, discovered.features
    sources = Sources(root, domains, features, findings, by_feature, offers, quarantined)
    for feature in features:
        for finding in _unloadable(feature, by_feature[feature.id], offers):
            findings.append(finding)
            quarantined.append(sources.lost(feature, finding))
    for path, module in _helpers(discovered):
        file = path.relative_to(discovered.root).as_posix()
        findings += guard.static_findings(library.read(path), module, file, offers)
    return sources


def _unloadable(
    feature: Feature, source: Source, offers: Mapping[str, Sequence[str]]
) -> list[Finding]:
    if not source.error:
        return guard.static_findings(source, feature.module, feature.file, offers)
    message = f"{feature.id}: the file cannot be parsed: {source.error}"
    return [Finding(feature.file, source.error_line, "RF102", message, _MEND)]


def _helpers(discovered: Discovered) -> Iterator[tuple[Path, str]]:
    """The modules beside the features that the guard watches: private helpers, `lib/`, `tools/`."""
    shared = (discovered.root / "lib", discovered.root / "tools")
    for top in (*discovered.domains.values(), *shared):
        for path in sorted(top.rglob("*.py")) if top.is_dir() else ():
            inside = path.relative_to(discovered.root).as_posix().removesuffix(".py").split("/")
            private = any(part.startswith("_") for part in inside[2:-1])
            if top in shared or private or (path.name.startswith("_") and path.stem != "__init__"):
                yield path, ".".join(inside)


def import_features(
    app: str,
    sources: Sources,
    library: Library,
    timeout_s: float,
    undo: ExitStack | AsyncExitStack,
) -> Modules:
    """Import every readable feature under the guard, as a new generation of the application; each
    within its deadline, on a thread beside the loop."""
    root = sources.root
    territory = guard.Territory(root, f"{app}@{next(_instances)}", library, sources.offers)
    guard.install(territory)
    undo.callback(guard.remove, territory)
    known = {q.id for q in sources.quarantined}
    wanted = [f for f in sources.features if f.id not in known]
    names = [f"{territory.prefix}.{feature.module}" for feature in wanted]
    results = run_each([partial(importlib.import_module, name) for name in names], timeout_s)
    library.keep()
    modules: dict[str, types.ModuleType] = {}
    quarantined = list(sources.quarantined)
    for feature, result in zip(wanted, results, strict=True):
        if isinstance(result, types.ModuleType):
            modules[feature.id] = result
        else:
            finding = failure(feature, "its import", result, timeout_s)
            quarantined.append(sources.lost(feature, finding))
    return Modules(sources, territory.prefix, modules, quarantined)


def failure(feature: Feature | PluginFacts, step: str, error: object, timeout_s: float) -> Finding:
    """Return the finding for a step of a plugin that failed, as `failed` tells it."""
    line, said = failed(error, feature.file, timeout_s)
    return Finding(feature.file, line, "RF102", f"{feature.id}: {step} {said}", _MEND)


def failed(error: object, file: str, timeout_s: float) -> tuple[int, str]:
    """Say where in `file` and how a step failed: with what `run_each` gave or a hook raised."""
    if isinstance(error, DeadlineExceeded):
        return 1, f"has not ended within {timeout_s:g} s"
    if not isinstance(error, BaseException):
        return 1, f"gave something else: {type(error).__name__}"
    line = 1
    for frame, at in walk_tb(error.__traceback__):
        if Path(frame.f_code.co_filename).as_posix().endswith(file):
            line = at
    name, said = type(error).__name__, text_of(error)
    return line, f"has failed: {name}: {said}" if said else f"has failed: {name}"


def run_each(steps: Sequence[Callable[[], T]], timeout_s: float) -> list[T | BaseException]:
    """Run each step in order, off this thread, each within `timeout_s`; contain what it raises.

    A step that does not end is left behind on its daemon thread, and the rest goes on on another.
    """
    results: list[T | BaseException] = []
    lock = threading.Lock()  # guards the next two, and results
    began_at = time.monotonic()
    given_up = False
    ended = threading.Event()

    def run() -> None:
        nonlocal began_at
        for step in steps:
            try:
                result: T | BaseException = step()
            except BaseException as error:  # SystemExit too: one file must not end the process
                result = error
            with lock:
                if given_up:
                    return
                results.append(result)
                began_at = time.monotonic()
        ended.set()

    threading.Thread(target=run, name="ringfence-boot", daemon=True).start()
    while not ended.wait(began_at + timeout_s - time.monotonic()):
        with lock:
            if time.monotonic() >= began_at + timeout_s and len(results) < len(steps):
                given_up = True
                late = DeadlineExceeded(f"it has not ended within {timeout_s:g} s.")
                return [*results, late, *run_each(steps[len(results) + 1 :], timeout_s)]
    return results

"""From what an application's files say to imported modules: `Sources → Modules`.

A module that fails, exits or hangs at import is quarantined with its reason; the others go on. The
files are found and read by whoever wires: see `ringfence.reading`.
"""

import importlib
import itertools
import threading
import time
import types
from collections.abc import Callable, Mapping, Sequence
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
MEND = "mend it; until then the plugin is quarantined and the others serve"
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


class Sources(Struct, frozen=True):
    """The files of an application, and what they say, without having run any."""

    root: Path
    domains: Mapping[str, Path]
    features: Sequence[Feature]
    findings: Sequence[Finding]
    by_feature: Mapping[str, Source]
    offers: Mapping[str, Sequence[str]]  # domain → the services that its files declare, as written
    quarantined: Sequence[Quarantined]

    def lost(self, feature: "Feature | PluginFacts", finding: Finding) -> Quarantined:
        """Return a feature as it is listed once it cannot serve."""
        source = self.by_feature[feature.id]
        names, listens = source.names, source.listens
        return Quarantined(
            feature.id, feature.domain, feature.file, finding, names, not source.error, listens
        )


class Modules(Struct, frozen=True):
    """The imported modules, and those that could not be."""

    sources: Sources
    prefix: str  # of their names: `shop@1`
    by_feature: Mapping[str, types.ModuleType]
    quarantined: Sequence[Quarantined]


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
    fix = MEND
    if isinstance(error, ModuleNotFoundError):
        fix = f"install {error.name} where this runs, and add it to what the application needs"
    return Finding(feature.file, line, "RF102", f"{feature.id}: {step} {said}", fix)


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

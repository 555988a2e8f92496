"""From a folder to what its files say: find the features of every domain, and read them.

Nothing is run. A file that cannot be parsed, or that writes down a forbidden import, is quarantined
with its reason; the others go on. The first of the three steps of reading an application.
"""

import keyword
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ringfence.errors import Finding
from ringfence.kernel.guard import objection
from ringfence.kernel.loader import MEND, Feature, Sources
from ringfence.kernel.manifest import Quarantined
from ringfence.kernel.source import Library, Source, absolute

_NAME = re.compile(r"[a-z][a-z0-9_]*")
# Folders of a domain that hold no features.
_KEPT = {"migrations", "tests", "contracts", "static"}


def read_sources(root: Path, library: Library) -> Sources:
    """Find the features of every domain under `root`, and read their files and the helpers beside
    them, without running anything."""
    domains, features, findings = discover(root)
    by_feature = {feature.id: library.read(feature.path) for feature in features}
    offers = {domain: list[str]() for domain in domains}
    for feature in features:
        names = by_feature[feature.id].names
        offers[feature.domain] += [name for word, name in names if word == "service"]
    quarantined: list[Quarantined] = []
    sources = Sources(root, domains, features, findings, by_feature, offers, quarantined)
    for feature in features:
        for finding in _unloadable(feature, by_feature[feature.id], offers):
            findings.append(finding)
            quarantined.append(sources.lost(feature, finding))
    for path, module in _helpers(root, domains):
        file = path.relative_to(root).as_posix()
        findings += _forbidden(library.read(path), module, file, offers)
    return sources


def discover(root: Path) -> tuple[dict[str, Path], list[Feature], list[Finding]]:
    """List the domains under `root`, their features, and what is wrong with their names."""
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
    return domains, features, [one for one in found if isinstance(one, Finding)]


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


def _unloadable(
    feature: Feature, source: Source, offers: Mapping[str, Sequence[str]]
) -> list[Finding]:
    if not source.error:
        return _forbidden(source, feature.module, feature.file, offers)
    message = f"{feature.id}: the file cannot be parsed: {source.error}"
    return [Finding(feature.file, source.error_line, "RF102", message, MEND)]


def _helpers(root: Path, domains: Mapping[str, Path]) -> Iterator[tuple[Path, str]]:
    """The modules beside the features that the guard watches: private helpers, `lib/`, `tools/`."""
    shared = (root / "lib", root / "tools")
    for top in (*domains.values(), *shared):
        for path in sorted(top.rglob("*.py")) if top.is_dir() else ():
            inside = path.relative_to(root).as_posix().removesuffix(".py").split("/")
            private = any(part.startswith("_") for part in inside[2:-1])
            if top in shared or private or (path.name.startswith("_") and path.stem != "__init__"):
                yield path, ".".join(inside)


def _forbidden(
    source: Source, module: str, file: str, offers: Mapping[str, Sequence[str]]
) -> list[Finding]:
    """List the forbidden imports that are written down in a file."""
    package = module.rpartition(".")[0]
    found: dict[tuple[int, str], Finding] = {}
    for site in source.imports:
        target = absolute(site.name, package)
        reason = objection(module, target, offers)
        if reason is not None:
            area = tuple(target.split(".")[:3])
            found.setdefault(
                (site.line, str(area)),
                Finding(file, site.line, "RF001", reason.message, reason.fix),
            )
    return list(found.values())

"""From an application's folder to what its sources are found to do wrong.

`examine(root)` gives every finding, with the change that mends it where one is certain. Nothing is
imported or run. Called by `ringfence check`, beside what the start itself would find.
"""

import gc
import os
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from ringfence.check import waivers
from ringfence.check.rule import Edit, Hit, Rule, Whole
from ringfence.check.rules import BY_ID, RULES
from ringfence.check.shelf import Examined, Shelf
from ringfence.errors import Finding
from ringfence.tools.db import migrations

_AREAS = ("domains", "lib", "tools")
# Folders of a domain, or of a tool, that hold no code of the application as it runs.
_ASIDE = frozenset({"tests", "migrations", "static", "contracts", "__pycache__", "node_modules"})


class Result(Struct, frozen=True):
    """All findings, sorted; and for some of them the change that mends them."""

    findings: Sequence[Finding]
    edits: Mapping[Finding, Edit]


def examine(root: Path, *, rules: Sequence[Rule] = RULES, keep: bool = True) -> Result:
    """Examine the sources of the application in the folder `root`.

    Args:
        root: Its folder.
        rules: Those that are to look.
        keep: Whether what was read is kept for the next run, in `.ringfence/`.
    """
    with _no_collection():
        shelf = Shelf(root, rules, keep=keep)
        files = [shelf.examined(path, path.relative_to(root).as_posix()) for path in _sources(root)]
        shelf.keep()
    edits: dict[Finding, Edit] = {}
    by_file: dict[str, list[Finding]] = {}
    for one in files:
        by_file[one.file] = [_found(one, rule, hit, edits) for rule, hit in one.hits]
    for finding in _together(root, files, rules):
        by_file[finding.file].append(finding)
    every: list[Finding] = []
    for one in files:
        every += _excused(root, one, by_file[one.file], edits)
    return Result(sorted(set(every)), edits)


@contextmanager
def _no_collection() -> Generator[None]:
    """Pause the garbage collector: trees are many objects, and none of them is in a circle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _sources(root: Path) -> Iterator[Path]:
    """Yield the modules of the application, and of no link that leads out of it."""
    inside = os.path.realpath(root)
    for area in _AREAS:
        for folder, below, names in os.walk(root / area):
            below[:] = sorted(b for b in below if b not in _ASIDE and not b.startswith("."))
            for name in sorted(names):
                path = Path(folder, name)
                leads_out = path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(
                    inside
                )
                if name.endswith(".py") and not name.startswith(".") and not leads_out:
                    yield path


def _found(one: Examined, rule: str, hit: Hit, edits: dict[Finding, Edit]) -> Finding:
    finding = Finding(one.file, hit.line, rule, hit.message, hit.fix)
    if hit.edit is not None:
        edits[finding] = hit.edit
    return finding


def _together(root: Path, files: Sequence[Examined], rules: Sequence[Rule]) -> Iterator[Finding]:
    """Yield what only all files together show."""
    offers: dict[str, list[str]] = defaultdict(list)
    for one in files:
        for name in one.services:
            offers[name.partition(".")[0]].append(name)
    owners = _owners(root)
    for rule in rules:
        if rule.weigh is not None:
            facts = {one.file: one.facts[rule.id] for one in files if rule.id in one.facts}
            yield from rule.weigh(Whole(facts, offers, owners))


def _owners(root: Path) -> dict[str, frozenset[str]]:
    """Return, for each table, the domains whose migrations create it, in whichever database."""
    folder = root / "domains"
    domains = {p.name: p for p in sorted(folder.iterdir()) if p.is_dir()} if folder.is_dir() else {}
    places = [domain / "migrations" for domain in domains.values()]
    below = [one for place in places if place.is_dir() for one in place.iterdir() if one.is_dir()]
    found: dict[str, set[str]] = defaultdict(set)
    for instance in sorted({"db", *(one.name for one in below)}):
        known, _ = migrations.discover(domains, root, instance)
        for migration in known:
            for command in migration.commands:
                if table := migrations.created(command):
                    found[table].add(migration.domain)
    return {table: frozenset(several) for table, several in found.items()}


def _excused(
    root: Path, one: Examined, found: list[Finding], edits: dict[Finding, Edit]
) -> list[Finding]:
    """Return a file's findings but for those that a waiver excuses; with those about waivers."""
    if not one.waivers:
        return found
    wrong = {w: hit for w in one.waivers if (hit := waivers.wrong(w, BY_ID)) is not None}
    left, idle = waivers.apply(found, [w for w in one.waivers if w not in wrong])
    left += [_found(one, "RF590", hit, edits) for hit in wrong.values()]
    if idle:
        text = (root / one.file).read_text("utf-8", "replace")
        lines = text.splitlines(keepends=True)
        left += [_found(one, "RF591", hit, edits) for hit in waivers.unused(idle, lines)]
    return left


def mend(root: Path, edits: Mapping[Finding, Edit]) -> int:
    """Make the changes that are certain; return how many files have changed."""
    by_file: dict[str, set[Edit]] = defaultdict(set)
    for finding, edit in edits.items():
        by_file[finding.file].add(edit)
    for file, several in by_file.items():
        path = root / file
        lines = path.read_bytes().decode("utf-8").splitlines(keepends=True)
        end = "\r\n" if lines[:1] and lines[0].endswith("\r\n") else "\n"
        for edit in sorted(several, key=lambda one: one.first, reverse=True):
            lines[edit.first - 1 : edit.last] = [edit.text.replace("\n", end)] if edit.text else []
        path.write_bytes("".join(lines).encode("utf-8"))
    return len(by_file)

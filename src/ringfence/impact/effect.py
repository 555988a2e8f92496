"""How far a change reaches: from files to features, to their callers, and to tests.

`impact_of` reads both trees, the revision's and the present one; a feature or a call that is in one
of them counts. Called by `cli/impact.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from ringfence.app import survey
from ringfence.impact.ground import Ground, ground_of, is_route
from ringfence.impact.revision import Revision
from ringfence.impact.suite import Suite, Test
from ringfence.locks import Change, declared_locks, review

# Files that no feature runs on.
_INERT = (".md", ".rst")


class Touched(Struct, frozen=True):
    """A feature that is concerned, and why."""

    plugin: str
    file: str
    why: str


class Impact(Struct, frozen=True):
    """What a change concerns.

    Args:
        revision: What the application was compared with.
        files: Every file that is different, below the repository.
        features: Those whose own code is different, or code that they import.
        callers: Those that call one of these, directly or not.
        contracts: Services that are not what they were.
        migrations: Those that are different.
        shared: Helpers and modules of `lib/` that are different.
        everything: Why all is concerned; empty where it is not.
        tests: Those to run, as pytest calls them.
        of: How many there are.
        unsure: How many of `tests` were selected because their text does not say what they need.
    """

    revision: str
    files: list[str]
    features: list[Touched]
    callers: list[Touched]
    contracts: list[Change]
    migrations: list[str]
    shared: list[str]
    everything: str
    tests: list[str]
    of: int
    unsure: int

    @property
    def is_breaking(self) -> bool:
        """Whether a contract broke."""
        return any(one.weight not in ("new", "compatible") for one in self.contracts)


class Reach(Struct, frozen=True):
    """What a change reaches, before tests are looked at."""

    files: frozenset[str]  # of the application, whose code is different or runs other code
    plugins: frozenset[str]
    everywhere: bool  # whatever starts the application may notice
    everything: str
    tests: frozenset[Path]  # files of tests that are different


def impact_of(since: Revision, folders: Sequence[Path]) -> Impact:
    """Work out what the changes since a revision concern.

    Args:
        since: The revision.
        folders: Where the tests are.
    """
    changed = since.changed()
    app = since.app
    with since.tree() as before, survey(before, keep=False) as (was, _):
        old = ground_of(before, was)
        kept = declared_locks(was)
        with survey(app) as (manifest, findings):
            new = ground_of(app, manifest)
            contracts = list(review(app, manifest, kept).changes)
            broken = bool(findings)
    own, tests, everything = _sorted(changed, since, folders)
    direct = _importers(old, new, (file for file in own if file.endswith(".py")))
    for file in own:
        direct |= _beside(file, (old, new))
    begun = {p: f for one in (old, new) for p, f in one.plugins.items() if f in direct}
    plugins = old.callers(new.callers(begun) | set(begun)) | new.callers(old.callers(begun))
    migrations = [file for file in own if file.split("/")[2:3] == ["migrations"]]
    files = {f for one in (old, new) for p, f in one.plugins.items() if p in plugins}
    everywhere = bool(migrations) or (broken and bool(own)) or bool(plugins & (old.ever | new.ever))
    reach = Reach(
        frozenset(direct | files), frozenset(plugins), everywhere, everything, frozenset(tests)
    )
    suite = list(Suite(app, since.top, folders).tests())
    chosen = [(test, why) for test in suite if (why := _why(test, reach, (old, new)))]
    whole: Mapping[str, str] = {**old.plugins, **new.plugins}
    return Impact(
        revision=since.name,
        files=[path.relative_to(since.top).as_posix() for path in changed],
        features=[Touched(p, begun[p], _because(begun[p], own)) for p in sorted(begun)],
        callers=[
            Touched(p, whole[p], _through(p, (old, new), plugins))
            for p in sorted(plugins - {*begun})
        ],
        contracts=contracts,
        migrations=migrations,
        shared=[f for f in own if f.endswith(".py") and f not in whole.values()],
        everything=everything,
        tests=[test.id for test, _ in chosen],
        of=len(suite),
        unsure=sum(why == "unsure" for _, why in chosen),
    )


def _sorted(
    changed: Sequence[Path], since: Revision, folders: Sequence[Path]
) -> tuple[list[str], set[Path], str]:
    """Tell files of the application from those of tests, and from what concerns everything."""
    own: list[str] = []
    tests: set[Path] = set()
    everything = ""
    for path in changed:
        if any(path.is_relative_to(folder.resolve()) for folder in folders):
            tests.add(path)
        elif path.suffix in _INERT:
            continue
        elif path.is_relative_to(since.app):
            file = path.relative_to(since.app).as_posix()
            top = file.partition("/")[0]
            if "/contracts/" in file and path.suffix == ".json":
                continue
            if top in ("domains", "lib"):
                own.append(file)
            else:
                everything = everything or f"{file} is different"
        else:
            everything = everything or f"{path.relative_to(since.top).as_posix()} is different"
    return own, tests, everything


def _importers(old: Ground, new: Ground, files: Iterable[str]) -> set[str]:
    begun = set(files)
    return old.importers(begun) | new.importers(begun)


def _beside(file: str, grounds: Sequence[Ground]) -> set[str]:
    """Return whose work a file is that is no module: of every feature of its domain."""
    if file.endswith(".py"):
        return set()
    domain = "/".join(file.split("/")[:2]) + "/"
    return {f for ground in grounds for f in ground.plugins.values() if f.startswith(domain)}


def _because(file: str, own: Sequence[str]) -> str:
    return "it is different" if file in own else "what it uses is different"


def _through(plugin: str, grounds: Sequence[Ground], plugins: Iterable[str]) -> str:
    reached = set(plugins)
    names = {
        name
        for ground in grounds
        for name in ground.calls.get(plugin, ())
        if ground.providers.get(name) in reached
    }
    return f"calls {', '.join(sorted(names))}"


def _why(test: Test, reach: Reach, grounds: Sequence[Ground]) -> str:
    """Say why a test has to be run; nothing where it need not."""
    if reach.everything or not test.files.isdisjoint(reach.tests):
        return "different"
    if not (reach.files or reach.everywhere):
        return ""
    if test.unsure:
        return "unsure"
    if not test.modules.isdisjoint(reach.files):
        return "imports"
    if not test.boots:
        return ""
    if reach.everywhere:
        return "starts"
    named = _named(test, grounds)
    if named is None:
        return "unsure"
    if "clock" in test.words:
        named |= {plugin for ground in grounds for plugin in ground.timed}
    return "" if named.isdisjoint(reach.plugins) else "names"


def _named(test: Test, grounds: Sequence[Ground]) -> set[str] | None:
    """Return the plugins whose services and routes a test names; None where it names none, or an
    address that no feature answers."""
    found: set[str] = set()
    for one in test.texts:
        text = one.text
        if "://" in text:
            text = "/" + text.partition("://")[2].partition("/")[2]
        exact = one.exact
        if text.startswith("/"):
            for mark in ("?", "#", "{", "%"):
                exact = exact and (mark in "?#" or mark not in text)
                text = text.partition(mark)[0]
            answering = {
                plugin
                for ground in grounds
                for pattern, plugins in ground.routes.items()
                if is_route(pattern, text, exact=exact)
                for plugin in plugins
            }
            if not answering and exact:
                return None  # perhaps a page about the whole application
            found |= answering
        else:
            found |= {
                plugin
                for ground in grounds
                for name, plugin in ground.providers.items()
                if (text == name if exact else "." in text and name.startswith(text))
            }
    return found or None

"""An application compared with its locks: every change, its weight, and whom it concerns.

`review` reads; `Review.write` makes the locks what the application declares, and nothing else ever
writes one. A contract whose provider cannot be read is neither changed nor gone: it is unread, and
its lock stays. Called by `cli/contracts.py`, and by `impact`.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from ringfence.contracts.compatibility import view_misfits
from ringfence.errors import Conflict
from ringfence.kernel.manifest import Manifest, ServiceNeed
from ringfence.kernel.ports import Declared
from ringfence.locks import lock as locks
from ringfence.locks.lock import NAME, Lock, lock_of

Weight = Literal["new", "compatible", "breaking", "unread", "damaged"]


class Affected(Struct, frozen=True):
    """A plugin that depends on a changed contract; `misfits` says why its view does not fit now."""

    plugin: str
    file: str
    line: int
    misfits: tuple[str, ...] = ()
    by_name: bool = False  # through `calls=`: what it sends and reads stands in its code alone


class Change(Struct, frozen=True):
    """One contract that is not as its lock says.

    Args:
        name: The service.
        kind: Of contract.
        weight: How bad it is. `breaking` as well where an actual consumer does not fit any more.
        file: The lock.
        what: What is different; of a breaking change, what breaks.
        affected: Who depends on it, in this application.
    """

    name: str
    kind: str
    weight: Weight
    file: str
    what: tuple[str, ...]
    affected: tuple[Affected, ...] = ()


class Review(Struct, frozen=True):
    """All changes, by name; `current` are the locks as they should be, `gone` those to remove."""

    root: Path
    changes: Sequence[Change]
    current: Mapping[str, Lock]
    gone: Sequence[str]

    @property
    def is_breaking(self) -> bool:
        """Whether somebody may be broken, or nobody can say."""
        return any(c.weight in ("breaking", "unread", "damaged") for c in self.changes)

    def write(self) -> list[str]:
        """Make the locks what the application declares; return the files that changed.

        Raises:
            Conflict: A folder `contracts` leads out of the application. Nothing is written.
        """
        base = os.path.realpath(self.root)
        for file in (*self.current, *self.gone):
            if not Path(os.path.realpath((self.root / file).parent)).is_relative_to(base):
                said = "a link leads out of the application; expected a folder in it."
                raise Conflict(said, subject=file, hint="Nothing was written.")
        stale = [f for f, lock in self.current.items() if _bytes(self.root / f) != lock.encoded()]
        for file in stale:
            locks.write(self.root, self.current[file])
        for file in self.gone:
            (self.root / file).unlink(missing_ok=True)
        return sorted([*stale, *self.gone])


def review(root: Path, manifest: Manifest, kept: Mapping[str, Lock | str] | None = None) -> Review:
    """Compare what an application declares with its locks.

    Args:
        root: Its folder.
        manifest: What it declares; its types can still be asked.
        kept: What to compare with in place of its locks, by file.
    """
    services = _services(manifest)
    current = declared_locks(manifest)
    kept = _kept(root) if kept is None else kept
    changes: list[Change] = []
    gone: list[str] = []
    for file in sorted({*current, *kept}):
        new, old = current.get(file), kept.get(file)
        if isinstance(old, str):
            name = new.name if new else file
            changes.append(Change(name, "service", "damaged", file, (old,)))
            if new is None:
                gone.append(file)
        elif new is None and old is not None:
            if _unread(manifest, old.name):
                said = "its provider cannot be read: see `ringfence check`"
                changes.append(Change(old.name, old.kind, "unread", file, (said,)))
            else:
                gone.append(file)
                changes.append(_gone(manifest, old))
        elif new is not None and old is None:
            changes.append(Change(new.name, new.kind, "new", file, ()))
        elif new is not None and old is not None and new != old:
            changes.append(_changed(manifest, old, new, services[new.name]))
    return Review(root, sorted(changes, key=lambda c: c.name), current, gone)


def declared_locks(manifest: Manifest) -> dict[str, Lock]:
    """Return the lock of each contract that an application declares, by its file."""
    made = (lock_of(name, one.signature) for name, one in _services(manifest).items())
    return {lock.file: lock for lock in made}


def _services(manifest: Manifest) -> dict[str, Declared]:
    return {name: of[0] for name, of in manifest.services.items() if _own(name, of[0])}


def _own(name: str, declared: Declared) -> bool:
    """Whether a name is its domain's: another one is a finding, and no path for a file."""
    return NAME.fullmatch(name) is not None and name.partition(".")[0] == declared.domain


def _kept(root: Path) -> dict[str, Lock | str]:
    """Return every lock by its file; of one that cannot be read, why."""
    found: dict[str, Lock | str] = {}
    for path in sorted((root / "domains").glob("*/contracts/*.json")):
        file = path.relative_to(root).as_posix()
        try:
            found[file] = locks.read(path)
        except (ValueError, OSError) as error:
            found[file] = f"the lock cannot be read: {error}"
    return found


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _unread(manifest: Manifest, name: str) -> bool:
    domain = name.partition(".")[0]
    return any(
        ("service", name) in lost.names or (lost.domain == domain and not lost.parsed)
        for lost in manifest.quarantined
    )


def _gone(manifest: Manifest, old: Lock) -> Change:
    said = ("no plugin provides it any more",)
    affected = tuple(_affected(manifest, old.name, None))
    return Change(old.name, old.kind, "breaking", old.file, said, affected)


def _changed(manifest: Manifest, old: Lock, new: Lock, provider: Declared) -> Change:
    broken = old.breaks(new)
    affected = tuple(_affected(manifest, new.name, provider))
    misfit = any(one.misfits for one in affected)
    weight: Weight = "breaking" if broken or misfit else "compatible"
    what = tuple(broken or old.alterations(new) or ["the same, in other words"])
    return Change(new.name, new.kind, weight, new.file, what, affected)


def _affected(manifest: Manifest, name: str, provider: Declared | None) -> Iterator[Affected]:
    for plugin in manifest.plugins:
        for need in plugin.needs:
            if isinstance(need, ServiceNeed) and need.service == name:
                listed = (
                    tuple(view_misfits(need.view, provider.signature))
                    if provider is not None
                    else ("no plugin provides it",)
                )
                yield Affected(plugin.id, plugin.file, need.line, listed)
        for declared in (d for offer in plugin.offers for d in offer.declared):
            if name in declared.declaration.calls:
                yield Affected(plugin.id, declared.file, declared.line, by_name=True)

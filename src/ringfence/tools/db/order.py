"""In what order migrations are applied: by stamp, unless a file says `-- after:`.

`targets` reads what a file says, `ordered` sorts. Invariant: the order depends on the files alone,
never on the file system or on what has been applied. Called by `migrations.py`.
"""

import heapq
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from ringfence.errors import Finding
from ringfence.kernel.ports import did_you_mean
from ringfence.tools.db.sql import tokens

ORDER = "RF206"

_SAYS = re.compile(r"--[ \t]*after:[ \t]*(.*?)\s*", re.IGNORECASE)
_TARGET = re.compile(r"(?:(?P<domain>[a-z][a-z0-9_]*)/)?(?P<name>[0-9]{14}_[a-z0-9_]+)")
_FORM = "Write `-- after: <stamp>_<name>`, or `-- after: <domain>/<stamp>_<name>`."

Key = tuple[str, str]  # domain and name


class After(Struct, frozen=True):
    """One `-- after:`, the line that it stands on, and whether that is above all statements."""

    target: str
    line: int
    ahead: bool


class Ordered(Protocol):
    """What this module needs of a migration."""

    @property
    def domain(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def shown(self) -> str: ...

    @property
    def after(self) -> Sequence[After]: ...


M = TypeVar("M", bound=Ordered)


def targets(text: str) -> Iterator[After]:
    """Yield what a migration is to come after.

    Below the first statement only what names a migration is meant so; other comments may begin
    with the same word.
    """
    if "after:" not in text.lower():
        return
    ahead = True
    for token in tokens(text):
        said = _SAYS.fullmatch(token.text) if token.kind == "comment" else None
        if said is not None and (ahead or _TARGET.fullmatch(said[1])):
            yield After(said[1], text.count("\n", 0, token.start) + 1, ahead)
        ahead = ahead and token.kind in {"comment", "space"}


def ordered(migrations: Sequence[M], known: Collection[Key]) -> tuple[list[M], list[Finding]]:
    """Sort by stamp, then domain, then name; later only where an `-- after:` demands it.

    Args:
        migrations: What is to be sorted.
        known: The domain and the name of every migration, of those too that could not be read.
    """
    findings: list[Finding] = []
    needs: dict[Key, dict[Key, int]] = {}  # each with what it comes after, and the line of that
    for each in migrations:
        key = (each.domain, each.name)
        needs[key] = {}
        for after in each.after:
            target = _resolved(each, after, known, findings)
            if target is not None:
                needs[key].setdefault(target, after.line)
    by_key = {(each.domain, each.name): each for each in migrations}
    order = _sorted({key: [t for t in of if t in by_key] for key, of in needs.items()})
    left = by_key.keys() - set(order)
    findings += _circles(left, needs, by_key)
    return [by_key[key] for key in (*order, *sorted(left, key=_rank))], findings


def _rank(key: Key) -> tuple[str, str, str]:
    return key[1][:14], key[0], key[1]


def _resolved(
    each: Ordered, after: After, known: Collection[Key], findings: list[Finding]
) -> Key | None:
    """Return what a target names, or None and a finding."""
    target = _TARGET.fullmatch(after.target)
    if not after.ahead:
        what = f"`-- after: {after.target}` stands below the first statement."
        findings.append(Finding(each.shown, after.line, ORDER, what, "Move it to the top."))
        return None
    if target is None:
        what = f"`-- after:` expected a migration, got {after.target!r:.80}."
        findings.append(Finding(each.shown, after.line, ORDER, what, _FORM))
        return None
    key = (target["domain"] or each.domain, target["name"])
    if key in known:
        return key
    names = [f"{domain}/{name}" for domain, name in sorted(known)]
    alike = did_you_mean(f"{key[0]}/{key[1]}", names).lstrip("; ")
    what = f"`-- after: {after.target}` names no migration of this database."
    fix = f"{alike[:1].upper()}{alike[1:]}" or "Name one that there is, or remove the line."
    findings.append(Finding(each.shown, after.line, ORDER, what, fix))
    return None


def _sorted(needs: Mapping[Key, Sequence[Key]]) -> list[Key]:
    """Return the keys, each after what it needs; those of a circle are left out."""
    waiting = {key: len(set(of)) for key, of in needs.items()}
    followers: dict[Key, list[Key]] = {}
    for key, of in needs.items():
        for target in set(of):
            followers.setdefault(target, []).append(key)
    ready = [(_rank(key), key) for key, count in waiting.items() if not count]
    heapq.heapify(ready)
    order: list[Key] = []
    while ready:
        _, key = heapq.heappop(ready)
        order.append(key)
        for follower in followers.get(key, ()):
            waiting[follower] -= 1
            if not waiting[follower]:
                heapq.heappush(ready, (_rank(follower), follower))
    return order


def _circles(
    left: Collection[Key], needs: Mapping[Key, Mapping[Key, int]], by_key: Mapping[Key, Ordered]
) -> Iterator[Finding]:
    """Yield each circle once, where its first migration closes it."""
    seen: set[Key] = set()
    for start in sorted(left, key=_rank):
        path: list[Key] = []
        at = start
        while at not in path and at not in seen:
            path.append(at)
            at = min((t for t in needs[at] if t in left), key=_rank)
        seen.update(path)
        if at not in path:
            continue  # it leads to a circle that has been told
        circle = path[path.index(at) :]
        first = min(circle, key=_rank)
        turn = circle.index(first)
        told = [*circle[turn:], *circle[:turn], first]
        shown = " after ".join(f"{domain}/{name}" for domain, name in told)
        line = needs[first][told[1]]
        what = f"these wait for each other: {shown}."
        yield Finding(by_key[first].shown, line, ORDER, what, "Remove one of the `-- after:`.")

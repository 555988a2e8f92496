"""RF504: domains that need each other."""

from collections.abc import Iterator

from ringfence.check.code import Code, text_of
from ringfence.check.rule import Fact, Rule, Whole
from ringfence.errors import Finding

Place = tuple[str, int, str]  # file, line, and the service that is required there


def _gather(code: Code) -> Iterator[Fact]:
    for called, call in code.calls:
        if called == "ringfence.requires" and call.args:
            name = text_of(call.args[0])
            if name and code.domain and name.partition(".")[0] != code.domain:
                yield Fact(name, call.lineno)


def _weigh(whole: Whole) -> Iterator[Finding]:
    edges: dict[str, dict[str, Place]] = {}
    for file, facts in sorted(whole.facts.items()):
        domain = file.split("/")[1]
        for fact in facts:
            there = fact.text.partition(".")[0]
            edges.setdefault(domain, {}).setdefault(there, (file, fact.line, fact.text))
    seen: set[frozenset[str]] = set()
    for domain in sorted(edges):
        circle = _circle(domain, edges)
        if circle and frozenset(circle) not in seen:
            seen.add(frozenset(circle))
            steps = [edges[a][b] for a, b in zip(circle, [*circle[1:], circle[0]], strict=True)]
            shown = "; ".join(
                f"{d} requires {s[2]} ({s[0]}:{s[1]})" for d, s in zip(circle, steps, strict=True)
            )
            yield Finding(
                steps[0][0],
                steps[0][1],
                RULE.id,
                f"domains {' and '.join(sorted(circle))} need each other: {shown}",
                "let one of them be told by an event, or join what belongs together",
            )


def _circle(start: str, edges: dict[str, dict[str, Place]]) -> list[str]:
    """Return the shortest way from a domain back to itself."""
    ways = [[start]]
    known: set[str] = set()
    while ways:
        way = ways.pop(0)
        for there in sorted(edges.get(way[-1], ())):
            if there == start:
                return way
            if there not in known:
                known.add(there)
                ways.append([*way, there])
    return []


_ASKS = """\
from typing import Protocol

from ringfence import Plugin, requires, service


@requires("{other}.level")
class LevelOf(Protocol):
    async def __call__(self) -> int: ...


class Ask(Plugin):
    level: LevelOf

    @service("{own}.ask")
    async def ask(self) -> int:
        return await self.level()
"""
_ANSWERS = """\
from ringfence import Plugin, service


class Level(Plugin):
    @service("{own}.level")
    async def level(self) -> int:
        return 1
"""
_BOTH = {
    "domains/orders/ask.py": _ASKS.format(own="orders", other="stock"),
    "domains/stock/level.py": _ANSWERS.format(own="stock"),
}

RULE = Rule(
    id="RF504",
    title="Two domains, or more, require services of each other.",
    why="Domains that need each other are one domain in several folders: none of them can be "
    "understood, tested or moved without the others.",
    bad={
        **_BOTH,
        "domains/stock/ask.py": _ASKS.format(own="stock", other="orders"),
        "domains/orders/level.py": _ANSWERS.format(own="orders"),
    },
    good=_BOTH,
    areas=("domains",),
    gather=_gather,
    weigh=_weigh,
)

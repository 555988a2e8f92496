"""The graph of an application's domains, and what its numbers say.

An edge leads from a domain to one whose services it calls. Of a domain, `afferent` counts the
domains that depend on it and `efferent` those that it depends on; `instability` is the efferent
part of both. A domain should depend on what is more stable than itself.

Source: Robert C. Martin, "Agile Software Development" (2002): metrics, stable dependencies.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from ringfence.errors import Finding
from ringfence.kernel.manifest import Manifest, ToolNeed

RULE = "unstable-dependency"


class Edge(Struct, frozen=True, order=True):
    """One domain calls services of another, by these plugins."""

    source: str
    target: str
    services: tuple[str, ...]
    plugins: tuple[str, ...]


class Coupling(Struct, frozen=True):
    """How a domain is coupled: see the module."""

    afferent: int
    efferent: int

    @property
    def instability(self) -> float:
        """From 0, which everybody depends on, to 1, which depends on others alone."""
        both = self.afferent + self.efferent
        return self.efferent / both if both else 0.0


class Domain(Struct, frozen=True):
    """One domain: what it offers, what it uses, and how it is coupled."""

    name: str
    plugins: int
    services: tuple[str, ...]
    tools: tuple[str, ...]
    afferent: int
    efferent: int
    instability: float


class Graph(Struct, frozen=True):
    """All domains by name, and the edges between them."""

    domains: tuple[Domain, ...]
    edges: tuple[Edge, ...]


class Trend(Struct, frozen=True):
    """What became of one domain: then and now; None where there was or is none."""

    name: str
    was: Domain | None
    now: Domain | None


def graph_of(manifest: Manifest) -> Graph:
    """Draw the graph of what an application declares; what does not load is not in it."""
    providers = {name: of[0] for name, of in manifest.services.items()}
    names = sorted({plugin.domain for plugin in manifest.plugins})
    calls: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for plugin in manifest.plugins:
        for service in plugin.grants:
            provider = providers.get(service)
            if provider is not None and provider.domain != plugin.domain:
                pair = (plugin.domain, provider.domain)
                calls.setdefault(pair, set()).add((service, plugin.id))
    edges = tuple(
        Edge(*pair, _sorted(s for s, _ in by), _sorted(p for _, p in by))
        for pair, by in sorted(calls.items())
    )
    return Graph(tuple(_domain(name, manifest, edges) for name in names), edges)


def _sorted(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(words)))


def _domain(name: str, manifest: Manifest, edges: Sequence[Edge]) -> Domain:
    own = [plugin for plugin in manifest.plugins if plugin.domain == name]
    offered = (s for s, of in manifest.services.items() if of[0].domain == name)
    tools = {need.tool for plugin in own for need in plugin.needs if isinstance(need, ToolNeed)}
    tools |= {d.declaration.tool for p in own for o in p.offers for d in o.declared} - {""}
    coupling = Coupling(
        sum(edge.target == name for edge in edges), sum(edge.source == name for edge in edges)
    )
    return Domain(
        name=name,
        plugins=len(own),
        services=tuple(sorted(offered)),
        tools=tuple(sorted(tools)),
        afferent=coupling.afferent,
        efferent=coupling.efferent,
        instability=round(coupling.instability, 3),
    )


def unstable(graph: Graph) -> list[Finding]:
    """List each edge to a domain that is less stable than the one which depends on it."""
    of = {domain.name: domain for domain in graph.domains}
    return [
        Finding(
            f"domains/{edge.source}",
            0,
            RULE,
            f"{edge.source} (instability {of[edge.source].instability:.2f}) depends on "
            f"{edge.target} ({of[edge.target].instability:.2f}), which is less stable: "
            f"{', '.join(edge.plugins)} call {', '.join(edge.services)}",
            "let what is stable publish, and what changes listen; or move the service",
        )
        for edge in graph.edges
        if of[edge.source].instability < of[edge.target].instability
    ]


def trend(was: Graph, now: Graph) -> list[Trend]:
    """List the domains whose coupling or size is different."""
    before, after = ({d.name: d for d in graph.domains} for graph in (was, now))
    return [
        Trend(name, before.get(name), after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]

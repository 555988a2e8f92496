"""A graph as text: Mermaid for documents, SVG for everything else.

The SVG stands in layers: a domain is above all that it depends on; in a circle, the one that comes
first by name is. Both are the same bytes for the same graph. Called by `cli/graph.py`.
"""

from collections.abc import Mapping
from xml.sax.saxutils import escape

from ringfence.graph.model import Graph

_WIDTH, _HEIGHT = 190, 64  # of a box
_ACROSS, _DOWN = 40, 70  # between boxes
_EDGE = 24


def mermaid(graph: Graph) -> str:
    """Return the graph as a Mermaid flowchart, with services on its edges and tools below."""
    lines = ["flowchart TD"]
    for domain in graph.domains:
        said = f"{domain.name}<br/>instability {domain.instability:.2f}"
        lines.append(f'    d_{domain.name}["{said}"]')
    for edge in graph.edges:
        words = "<br/>".join(edge.services)
        lines.append(f'    d_{edge.source} -->|"{words}"| d_{edge.target}')
    for tool in sorted({tool for domain in graph.domains for tool in domain.tools}):
        lines.append(f'    t_{tool}(["{tool}"])')
        lines += [f"    d_{d.name} -.-> t_{tool}" for d in graph.domains if tool in d.tools]
    return "\n".join(lines) + "\n"


def svg(graph: Graph) -> str:
    """Return the graph as an SVG document; an edge names its services when it is pointed at."""
    rows: dict[int, list[str]] = {}
    for name, layer in sorted(_layers(graph).items()):
        rows.setdefault(layer, []).append(name)
    at = {
        name: (_EDGE + column * (_WIDTH + _ACROSS), _EDGE + row * (_HEIGHT + _DOWN))
        for row, names in rows.items()
        for column, name in enumerate(names)
    }
    width = max((x for x, _ in at.values()), default=0) + _WIDTH + _EDGE
    height = max((y for _, y in at.values()), default=0) + _HEIGHT + _EDGE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
        "<style>text {font: 13px sans-serif; text-anchor: middle}</style>",
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" orient="auto">',
        '<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    parts += [_line(edge.source, edge.target, edge.services, at) for edge in graph.edges]
    for domain in graph.domains:
        x, y = at[domain.name]
        middle = x + _WIDTH // 2
        said = f"{domain.plugins} features, instability {domain.instability:.2f}"
        parts.append(
            f"<g><title>{escape(', '.join(domain.tools))}</title>"
            f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="#eef3fa"'
            f' stroke="#456"/><text x="{middle}" y="{y + 27}" font-weight="bold">'
            f'{escape(domain.name)}</text><text x="{middle}" y="{y + 47}" font-size="11">'
            f"{escape(said)}</text></g>"
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _line(
    source: str, target: str, services: tuple[str, ...], at: Mapping[str, tuple[int, int]]
) -> str:
    (x1, y1), (x2, y2) = at[source], at[target]
    down = y2 > y1
    begin, end = (y1 + _HEIGHT, y2) if down else (y1, y2 + _HEIGHT)
    if y1 == y2:  # beside each other: an arc above the row
        begin = end = y1
    x1, x2 = x1 + _WIDTH // 2, x2 + _WIDTH // 2
    bend = _DOWN // 2 if down else -_DOWN // 2
    path = (
        f"M{x1} {begin}C{x1} {begin + bend} {x2} {end - (bend if y1 != y2 else -bend)} {x2} {end}"
    )
    title = escape(f"{source} calls {', '.join(services)}")
    return (
        f'<path d="{path}" fill="none" stroke="#555" marker-end="url(#arrow)">'
        f"<title>{title}</title></path>"
    )


def _layers(graph: Graph) -> dict[str, int]:
    """Return how far below the top each domain stands; what closes a circle does not count."""
    needs: dict[str, list[str]] = {domain.name: [] for domain in graph.domains}
    for edge in graph.edges:
        needs[edge.source].append(edge.target)
    ordered: list[str] = []  # each after all that it leads to
    down: dict[str, list[str]] = {}

    def visit(name: str, above: frozenset[str]) -> None:
        if name not in down:
            down[name] = [target for target in needs[name] if target not in above]
            for target in down[name]:
                visit(target, above | {target})
            ordered.append(name)

    for name in sorted(needs):
        visit(name, frozenset({name}))
    layers = dict.fromkeys(needs, 0)
    for name in reversed(ordered):
        for target in down[name]:
            layers[target] = max(layers[target], layers[name] + 1)
    return layers

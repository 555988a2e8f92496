"""`ringfence graph`: how the domains of an application hang together, in numbers and pictures."""

from pathlib import Path

import click
from msgspec import Struct

from ringfence.cli.options import app_option, json_option
from ringfence.cli.progress import Waiting
from ringfence.cli.terminal import say, say_json, say_text
from ringfence.errors import Finding
from ringfence.graph import Graph, graph_of, mermaid, svg, trend, unstable
from ringfence.graph.model import Domain, Trend


class Shown(Struct, frozen=True):
    """What `ringfence graph --json` prints."""

    graph: Graph
    findings: list[Finding]
    trend: list[Trend] = []


@click.command("graph")
@click.argument("rev", default="")
@app_option
@click.option("--mermaid", "as_mermaid", is_flag=True, help="Print a Mermaid flowchart.")
@click.option("--svg", "as_svg", is_flag=True, help="Print an SVG document.")
@click.option("--strict", is_flag=True, help="Exit with 1 if there are findings.")
@json_option
def verb(rev: str, app: Path, as_mermaid: bool, as_svg: bool, strict: bool, as_json: bool) -> int:
    """Show which domains call which, and how stable each is.

    With a git revision REV, show what became of them since. A domain that depends on a less stable
    one is a finding. What does not load is left out: see `ringfence check`.
    """
    if as_mermaid + as_svg + as_json > 1:
        raise click.UsageError("--mermaid, --svg and --json: one at a time; expected at most one.")
    with Waiting("reading the application", quiet=as_json or as_mermaid or as_svg):
        graph = _read(app)
        then = trend(_was(app, rev), graph) if rev else []
    findings = unstable(graph)
    if as_json:
        say_json(Shown(graph, findings, then), indent=2)
    elif as_mermaid or as_svg:
        say_text(mermaid(graph) if as_mermaid else svg(graph))
    else:
        _show(graph, findings, then, rev)
    return 1 if strict and findings else 0


def _read(app: Path) -> Graph:
    from ringfence.app import survey

    with survey(app, keep=False) as (manifest, _):
        return graph_of(manifest)


def _was(app: Path, rev: str) -> Graph:
    from ringfence.impact import revision

    with revision(app, rev).tree() as before:
        return _read(before)


def _show(graph: Graph, findings: list[Finding], then: list[Trend], rev: str) -> None:
    width = max((len(domain.name) for domain in graph.domains), default=0)
    head = f"{'domain':<{max(width, 6)}}  features  afferent  efferent  instability"
    say((head, "dim"))
    for domain in graph.domains:
        numbers = f"{domain.plugins:>8}  {domain.afferent:>8}  {domain.efferent:>8}"
        name = f"{domain.name:<{max(width, 6)}}"
        say((name, "bold"), f"  {numbers}  {domain.instability:>11.2f}")
    for edge in graph.edges:
        say(f"{edge.source} → {edge.target}", (f"  {', '.join(edge.services)}", "dim"))
    for finding in findings:
        say((finding.rule, "bad"), f" {finding.message}")
        say(("    fix: ", "dim"), finding.fix)
    if rev and not then:
        say((f"coupled as at {rev}", "good"))
    for one in then:
        say((one.name, "bold"), f" since {rev}: {_numbers(one.was)} → {_numbers(one.now)}")


def _numbers(domain: Domain | None) -> str:
    if domain is None:
        return "none"
    return (
        f"{domain.plugins} features, afferent {domain.afferent}, efferent {domain.efferent}, "
        f"instability {domain.instability:.2f}"
    )

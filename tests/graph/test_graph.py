"""`ringfence graph`: who depends on whom, how stably, and what became of it."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from ringfence.cli import invoke
from ringfence.graph import Domain, Edge, Graph, svg
from tests.impact.repository import committed
from tests.kernel.apps import feature, write


def calling(domain: str, *services: str) -> str:
    """Return a feature that provides `<domain>.ask` and calls others by name."""
    calls = f", calls={services!r}" if services else ""
    return feature(f"""
        class Ask(Plugin):
            db: Database

            @service("{domain}.ask"{calls})
            async def ask(self, ctx: Context) -> None: ...
    """)


# core is stable, and depends on edge, which is not.
FILES = {
    "domains/web/ask.py": calling("web", "core.ask"),
    "domains/shell/ask.py": calling("shell", "core.ask"),
    "domains/core/ask.py": calling("core", "edge.ask"),
    "domains/edge/ask.py": calling("edge", "base.ask", "rock.ask"),
    "domains/base/ask.py": calling("base"),
    "domains/rock/ask.py": calling("rock"),
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return committed(tmp_path_factory.mktemp("graph") / "app", FILES)


def shown(app: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    """Return the exit code of `ringfence graph`, and what it prints."""
    capsys.readouterr()
    code = invoke(["graph", "--app", str(app), *options])
    return code, capsys.readouterr().out


def test_numbers_say_who_depends_on_whom(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Domains that depend on it, domains that it depends on, and the part of the latter."""
    code, printed = shown(app, capsys, "--json")
    graph: dict[str, Any] = json.loads(printed)["graph"]
    numbers = {
        each["name"]: (each["afferent"], each["efferent"], each["instability"])
        for each in graph["domains"]
    }
    assert code == 0
    assert numbers == {
        "base": (1, 0, 0.0),
        "core": (2, 1, 0.333),
        "edge": (1, 2, 0.667),
        "rock": (1, 0, 0.0),
        "shell": (0, 1, 1.0),
        "web": (0, 1, 1.0),
    }
    assert graph["domains"][0]["tools"] == ["db"]
    assert {
        "source": "core",
        "target": "edge",
        "services": ["edge.ask"],
        "plugins": ["core.ask"],
    } in (graph["edges"])


def test_a_dependency_on_what_is_less_stable_is_a_finding(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named with both numbers; `--strict` makes it an exit code."""
    code, printed = shown(app, capsys)
    assert code == 0
    assert printed.count("unstable-dependency") == 1
    assert "core (instability 0.33) depends on edge (0.67), which is less stable" in printed
    assert shown(app, capsys, "--strict")[0] == 1


def test_the_trend_names_the_domains_that_changed(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against a revision: what they were, and what they are."""
    assert "coupled as at HEAD" in shown(app, capsys, "HEAD")[1]
    try:
        write(app, {"domains/web/ask.py": calling("web", "core.ask", "rock.ask")})
        printed = shown(app, capsys, "HEAD")[1]
    finally:
        write(app, {"domains/web/ask.py": FILES["domains/web/ask.py"]})
    assert "efferent 1, instability 1.00 → 1 features, afferent 0, efferent 2" in printed
    assert "rock since HEAD: 1 features, afferent 1" in printed
    assert "core since" not in printed


def test_pictures_name_every_domain_and_are_the_same_bytes_again(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mermaid, and an SVG that is XML."""
    drawn = shown(app, capsys, "--mermaid")[1]
    assert 'd_web -->|"core.ask"| d_core' in drawn
    assert "d_base -.-> t_db" in drawn
    picture = shown(app, capsys, "--svg")[1]
    assert "web calls core.ask" in [each.text for each in ET.fromstring(picture).iter()]
    assert (drawn, picture) == (shown(app, capsys, "--mermaid")[1], shown(app, capsys, "--svg")[1])


def test_two_pictures_at_once_are_refused(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One output has one format."""
    assert shown(app, capsys, "--svg", "--json")[0] == 2


def drawn_at(*pairs: tuple[str, str]) -> dict[str, float]:
    """Return how far down the boxes of domains stand that depend on each other."""
    names = sorted({name for pair in pairs for name in pair})
    domains = tuple(Domain(name, 1, (), (), 0, 0, 0.0) for name in names)
    edges = tuple(Edge(*pair, ("a.b",), ("c.d",)) for pair in sorted(pairs))
    root = ET.fromstring(svg(Graph(domains, edges)))
    groups = [group for group in root if group.tag.endswith("}g")]
    return {str(group[2].text): float(group[1].attrib["y"]) for group in groups}


def test_a_domain_stands_above_all_that_it_depends_on() -> None:
    """Also where there is a shorter way."""
    at = drawn_at(("a", "d"), ("a", "b"), ("b", "c"), ("c", "d"))
    assert at["a"] < at["b"] < at["c"] < at["d"]


def test_a_circle_and_a_dense_graph_are_drawn() -> None:
    """What closes a circle leads upwards; forty domains that all know each other take no time."""
    at = drawn_at(("a", "b"), ("b", "c"), ("c", "a"))
    assert at["a"] < at["b"] < at["c"]
    names = [f"d{number:02}" for number in range(40)]
    at = drawn_at(*((a, b) for a in names for b in names if a < b))
    assert sorted(at, key=at.__getitem__) == names

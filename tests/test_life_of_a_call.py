"""The document that follows one request names places that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "life-of-a-call.md"
HOPS = sorted(set(re.findall(r"`([\w/.]+\.py):([\w.]+)`", DOCUMENT.read_text())))


def symbols(file: Path) -> set[str]:
    """List the classes, functions and methods that a file defines, as `Class.method`."""
    found: set[str] = set()

    def walk(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(prefix + node.name)
                walk(node.body, f"{prefix}{node.name}.")

    walk(ast.parse(file.read_text()).body, "")
    return found


def test_it_names_every_hop() -> None:
    """The document has not lost its hops to a change of its form."""
    assert len(HOPS) >= 20


@pytest.mark.parametrize("file, symbol", HOPS)
def test_each_hop_is_where_the_document_says(file: str, symbol: str) -> None:
    """A file and a symbol of the document exist in the code."""
    base = ROOT if file.startswith("apps/") else ROOT / "src" / "ringfence"
    assert (base / file).is_file()
    assert symbol in symbols(base / file)

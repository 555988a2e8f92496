"""The documents lead somewhere, and leave out nothing that is public."""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.cli import COMMANDS
from scripts.reference import PACKAGE, modules, pages, public, told

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")})
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!\w+:)(?P<target>[^)#]*)(?:#(?P<anchor>[^)]+))?\)")
RULE = re.compile(r'"(RF\d{3}|config-[a-z-]+)"|\brefuse\(\s*"([a-z-]+)"')


def anchors(document: Path) -> set[str]:
    """Return what the headings of a document are linked to by."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text("utf-8")), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


def undocumented(value: object) -> Iterator[str]:
    """Yield what of a public class or function has no docstring: itself, or methods of its own.

    What a suite's doubles do, their contracts say.
    """
    if not inspect.isclass(value) and not inspect.isroutine(value):
        return  # an alias of a type; its comment says what it is
    if not (value.__doc__ or "").strip():
        yield value.__name__
    is_double = value.__module__.endswith(("conformance", "doubles"))
    for name, member in vars(value).items() if inspect.isclass(value) and not is_double else ():
        method = member.fget if isinstance(member, property) else member
        ours = inspect.isfunction(method) and method.__module__.startswith("ringfence")
        if ours and not name.startswith("_") and not inspect.getdoc(getattr(value, name)):
            yield f"{value.__name__}.{name}"


@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=[str(one.relative_to(ROOT)) for one in DOCUMENTS]
)
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    """To a file or a folder that exists, and to a heading that it has."""
    for found in LINK.finditer(FENCE.sub("", document.read_text("utf-8"))):
        target = document.parent / found["target"] if found["target"] else document
        assert target.exists(), found[0]
        assert not found["anchor"] or found["anchor"] in anchors(target), found[0]


@pytest.mark.parametrize("name", modules())
def test_every_public_name_has_a_docstring_and_is_in_the_reference(name: str) -> None:
    """On the page of the module, or of the one that it is public in as well."""
    module = importlib.import_module(name)
    here, elsewhere = told(name)
    assert {*here, *(full.rpartition(".")[2] for full in elsewhere)} == {*public(module)}
    assert all(re.search(rf"\b{one}\b", pages()[f"{name}.rst"]) for one in here)
    assert [one for value in here for one in undocumented(getattr(module, value))] == []


def test_every_command_is_in_the_reference() -> None:
    """Each with its options, as the command itself says them."""
    page = pages()["command-line.rst"]
    assert all(f":prog: ringfence {name}\n" in page for name in COMMANDS)


def test_every_rule_is_in_the_list_of_findings() -> None:
    """And none that the code does not have."""
    code = "\n".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    rules = {rule or f"config-{word}" for rule, word in RULE.findall(code)}
    listed = re.findall(
        r"^\| ((?:RF|config-)\S+) \|", (ROOT / "docs/findings.md").read_text(), re.M
    )
    assert sorted(listed) == sorted(rules)

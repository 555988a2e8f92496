"""How `make docs` makes the site: Sphinx, with MyST for the pages and furo for their look.

The folder of the sources is the repository's own, so that a link leads to the same place here and
where the repository is read. README.md is the start; what is navigated by is added to it here.
The pages of docs/reference/ are generated from docstrings by `scripts/reference.py`.
"""

import inspect
import re
import shutil
import sys
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from scripts.reference import modules, pages  # noqa: E402 - the folder is known by now

project = "Ringfence"
version = release = version_of("ringfence")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_click",
]
root_doc = "README"
include_patterns = [
    "*.md",
    "docs/*.md",
    "docs/reference/*.rst",
    "examples/README.md",
    "examples/*/README.md",
]
exclude_patterns = [".*"]
myst_heading_anchors = 3
html_theme = "furo"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_title = f"Ringfence {version}"
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
default_role = "code"  # docstrings are written with single backticks
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Guarantees", "Source"]

# A page of docs/ that no other group names is a how-to.
GROUPS = {
    "Tutorial": ["docs/tutorial", "examples/README"],
    "How-to": [],
    "Operate": [
        "docs/deploying",
        "docs/configuration",
        "docs/database-operations",
        "docs/platforms",
    ],
    "Reference": [
        "docs/error-tour",
        "docs/findings",
        "docs/isolation",
        "docs/contracts",
        "docs/glossary",
        "docs/reference/command-line",
        *(f"docs/reference/{name}" for name in modules() if not name.endswith("conformance")),
        "CHANGELOG",
    ],
    "Explanation": [
        "ARCHITECTURE",
        "docs/life-of-a-call",
        "docs/decisions",
        "CONTRIBUTING",
    ],
}


def generate(app: Sphinx) -> None:
    """Write the pages of the reference, those alone that have changed."""
    folder = ROOT / "docs" / "reference"
    folder.mkdir(exist_ok=True)
    for name, text in pages().items():
        path = folder / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
    for path in folder.iterdir():
        if path.name not in pages():
            path.unlink()


def link(app: Sphinx, docname: str, source: list[str]) -> None:
    """Let a link to a folder lead to its README, and be text where it has none."""

    def resolved(found: re.Match[str]) -> str:
        folder = (ROOT / docname).parent / found["target"]
        if not folder.is_dir():
            return found[0]
        readme = folder / "README.md"
        return (
            f"[{found['text']}]({found['target']}/README.md)" if readme.exists() else found["text"]
        )

    source[0] = re.sub(r"\[(?P<text>[^\]]+)\]\((?P<target>[^)#:]+)\)", resolved, source[0])


def navigate(app: Sphinx, docname: str, source: list[str]) -> None:
    """Add to the first page what the site is navigated by."""
    if docname != root_doc:
        return
    named = {page for group in GROUPS.values() for page in group}
    known = app.env.found_docs
    howto = sorted(page for page in known - named - {root_doc} if "/reference/" not in page)
    for caption, group in {**GROUPS, "How-to": howto}.items():
        listed = "\n".join(page for page in group if page in known)
        source[0] += f"\n```{{toctree}}\n:caption: {caption}\n:hidden:\n\n{listed}\n```\n"


def outdated(*_: object) -> list[str]:
    """Read the first page again each time: what it lists may be another."""
    return [root_doc]


def literal(
    app: Sphinx, what: str, name: str, obj: object, options: object, text: list[str]
) -> None:
    """Let an indented block of a docstring be code, and `Args (of each method):` a section."""
    text[:] = [re.sub(r"^(Args|Raises) \(.*\):$", r"\1:", line) for line in text]
    for at in range(len(text) - 1, 1, -1):
        above, between, line = text[at - 2 : at + 1]
        if line.startswith("    ") and not between and above and not above.startswith(" "):
            text[at - 1 : at] = ["", "::", ""]


def plain(app: Sphinx, what: str, name: str, obj: object, options: object, text: list[str]) -> None:
    """Let a property's docstring be text: napoleon takes what precedes a colon for its type."""
    if what == "property":
        text[:] = (inspect.getdoc(obj) or "").splitlines()


def signature(app: Sphinx, what: str, name: str, *rest: object) -> tuple[str, None] | None:
    """Show none where a Protocol would show what it inherits."""
    return ("", None) if what == "class" and rest[2] == "(*args, **kwargs)" else None


def start(app: Sphinx, error: Exception | None) -> None:
    """Let the first page be what a folder's address shows."""
    if error is None and app.builder.name == "html":
        out = Path(app.outdir)
        shutil.copy(out / f"{root_doc}.html", out / "index.html")


def setup(app: Sphinx) -> None:
    """Be an extension of Sphinx."""
    app.connect("builder-inited", generate)
    app.connect("env-get-outdated", outdated)
    app.connect("source-read", link)
    app.connect("source-read", navigate)
    app.connect("autodoc-process-docstring", literal, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", plain, priority=600)  # and after it
    app.connect("autodoc-process-signature", signature)
    app.connect("build-finished", start)

"""The reference's pages, generated from what is public: modules, the command line.

`pages` returns them, file name → reStructuredText; Sphinx reads the docstrings when it builds the
site. Needs nothing of Sphinx itself, so that the tests see what the reference has. Invariant: a new
tool, suite or command is in it without a change here. Used by `docs/conf.py` and the tests.
"""

import importlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

from ringfence.cli import COMMANDS

PACKAGE = Path(__file__).parents[1] / "src" / "ringfence"
_AUTHOR = ("ringfence", "ringfence.errors", "ringfence.testing")
_DRIVERS = ("ringfence.kernel.ports", "ringfence.testing.driver")


@cache
def modules() -> Sequence[str]:
    """Return the public modules: the author's, each tool, its suites, and the drivers' side."""
    tools = sorted(PACKAGE.glob("tools/[a-z]*/__init__.py"))
    suites = sorted(PACKAGE.glob("tools/*/*conformance.py"))
    return [
        *_AUTHOR,
        *(f"ringfence.tools.{file.parent.name}" for file in tools),
        *(f"ringfence.tools.{file.parent.name}.{file.stem}" for file in suites),
        *_DRIVERS,
    ]


def public(module: ModuleType) -> Sequence[str]:
    """Return the public names of a module: those of `__all__`, or else what it defines."""
    names: Sequence[str] | None = getattr(module, "__all__", None)
    if names is not None:
        return names
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def told(name: str) -> tuple[Sequence[str], Sequence[str]]:
    """Return what the page of a module documents, and the names that another page does."""
    module = importlib.import_module(name)
    elsewhere = {
        one: f"{home}.{one}"
        for one in public(module)
        if (home := getattr(getattr(module, one), "__module__", name)) in modules() and home != name
    }
    return [one for one in public(module) if one not in elsewhere], list(elsewhere.values())


@cache
def pages() -> Mapping[str, str]:
    """Return the pages of the reference, file name → text."""
    found = {f"{name}.rst": _module(name) for name in modules()}
    return {**found, "command-line.rst": _command_line()}


def _module(name: str) -> str:
    here, elsewhere = told(name)
    options = [f":members: {', '.join(here)}", ":show-inheritance:", ":member-order: bysource"]
    parts = [_heading(name), f".. automodule:: {name}", *(f"   {option}" for option in options)]
    suites = [
        one for one in modules() if one.startswith(f"{name}.") and one.endswith("conformance")
    ]
    if name.startswith("ringfence.tools.") and suites:
        parts += ["", ".. toctree::", "   :caption: What every driver passes", "", ""]
        parts[-1:] = [f"   {one}" for one in suites]
    if elsewhere:
        parts += ["", f"Also here: {', '.join(f':py:obj:`{full}`' for full in elsewhere)}."]
    return "\n".join([*parts, ""])


def _command_line() -> str:
    said = "Exit codes: 0 fine, 1 findings or a failed operation, 2 wrong usage or a refused start."
    parts = [_heading("Command line"), said]
    for name in COMMANDS:
        parts += [
            "",
            f".. click:: ringfence.cli.{name}:verb",
            f"   :prog: ringfence {name}",
            "   :nested: full",
        ]
    return "\n".join([*parts, ""])


def _heading(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"

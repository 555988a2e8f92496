"""RF501: code that reaches into Ringfence instead of using what it offers."""

import ast
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

from ringfence.check.code import Code
from ringfence.check.rule import Hit, Rule

# Not by an import statement: the vocabulary leads to `asgi`, and that to a driver, by an import
# that only a running application makes.
_VOCABULARY: frozenset[str] = frozenset(import_module("ringfence").__all__)
_FIX = "use what `ringfence` and `ringfence.tools.<tool>` offer"
_OPEN = ("ringfence.errors", "ringfence.settings")
_OPEN_TO_TOOLS = (*_OPEN, "ringfence.kernel.ports", "ringfence.contracts.payload")


def _look(code: Code) -> Iterator[Hit]:
    yield from _by_attribute(code)
    seen: set[tuple[int, str]] = set()
    for _, whole, node in code.imports:
        module = whole.rpartition(".")[0] if hasattr(node, "module") else whole
        if whole.partition(".")[0] != "ringfence" or _is_open(code, whole, module):
            continue
        name = whole.rpartition(".")[2]
        if (node.lineno, module) in seen:
            continue
        seen.add((node.lineno, module))
        fix = f"write `from ringfence import {name}`" if name in _VOCABULARY else _FIX
        yield Hit(node.lineno, f"{whole} is a part of Ringfence's inside, and may change", fix)


def _by_attribute(code: Code) -> Iterator[Hit]:
    """Find the same where the package itself is imported: `ringfence.kernel.registry`."""
    known = code.references
    for node, name in known.items():
        if not isinstance(node, ast.Attribute) or known.get(node.value) != "ringfence":
            continue
        if node.attr not in (*_VOCABULARY, *_TOP, "tools") and find_spec(name) is not None:
            yield Hit(node.lineno, f"{name} is a part of Ringfence's inside", _FIX)


def _is_open(code: Code, whole: str, module: str) -> bool:
    words = module.split(".")
    if module == "ringfence":
        name = whole.rpartition(".")[2]
        offered = whole == module or name == "*" or name in (*_VOCABULARY, *_TOP)
        return offered or find_spec(whole) is None  # what is not there fails at its import
    if words[1] == "tools":
        is_contract = len(words) == 3 or words[3:] in (["contract"], ["corpus"])
        # A driver has a rule of its own.
        return code.area == "tools" or "drivers" in words or is_contract or whole in _TOOLS
    several = _OPEN_TO_TOOLS if code.area == "tools" else _OPEN
    return module in several or whole in several or (code.area == "tools" and words[1] == "testing")


_TOP = ("errors", "settings")
_TOOLS = tuple(
    f"ringfence.tools.{name}" for name in ("clock", "db", "fetch", "files", "http", "log")
)

RULE = Rule(
    id="RF501",
    title="Code of an application imports a part of Ringfence that is not offered to it.",
    why="What `ringfence`, `ringfence.errors`, `ringfence.settings` and each "
    "`ringfence.tools.<tool>` offer stays as it is; all else may change with any version, and "
    "knows of no limits. A tool of the application's own may use `ringfence.kernel.ports` as well.",
    bad="from ringfence.kernel.context import Context\n",
    good="from ringfence import Context\n",
    areas=("domains", "lib", "tools"),
    look=_look,
)

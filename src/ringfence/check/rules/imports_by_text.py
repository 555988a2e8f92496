"""RF519: an import of another domain whose name is given as a text."""

import ast
from collections.abc import Iterator

from ringfence.check.code import Code, text_of
from ringfence.check.rule import Hit, Rule
from ringfence.kernel.guard import objection
from ringfence.kernel.source import absolute

_IMPORTS = frozenset(
    {
        *("importlib.import_module", "builtins.__import__", "importlib.__import__"),
        *("importlib.util.find_spec", "pkgutil.resolve_name", "pkgutil.get_data"),
        *("importlib.resources.files", "runpy.run_module"),
    }
)


def _look(code: Code) -> Iterator[Hit]:
    for name, call in code.calls:
        if name not in _IMPORTS:
            continue
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        texts = [text.replace(":", ".") for one in given if (text := _constant(one))]
        if not texts:
            continue
        package = next((t for t in texts[1:] if "." in t), code.module.rpartition(".")[0])
        reason = objection(code.module, absolute(texts[0], package), {})
        if reason is not None:
            yield Hit(call.lineno, reason.message, reason.fix)


def _constant(node: ast.AST) -> str:
    """Return a text that stands there, put together of pieces or not."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _constant(node.left), _constant(node.right)
        return left + right if left and right else ""
    return text_of(node) or ""


RULE = Rule(
    id="RF519",
    title="Another domain is imported by a name that is given as a text.",
    why="It is an import like any other: the guard refuses it when it is made. This says so "
    "before.",
    bad="""\
import importlib


def stock() -> object:
    return importlib.import_module("domains.inventory.stock")
""",
    good="""\
import importlib


def table() -> object:
    return importlib.import_module("domains.orders._table")
""",
    look=_look,
)

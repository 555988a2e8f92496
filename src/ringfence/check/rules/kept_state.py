"""RF512: a plugin that keeps state in itself."""

import ast
from collections.abc import Iterator

from ringfence.check.code import Code, field_of, self_name, text_of
from ringfence.check.rule import Hit, Rule

_MAY = frozenset({"__init__", "start", "restore"})


def _look(code: Code) -> Iterator[Hit]:
    for node in code.all(ast.Attribute):
        if isinstance(node.ctx, ast.Store | ast.Del):
            owner = _owner(code, node)
            if owner and (name := field_of(node, self_name(owner[1]))):
                yield _hit(node.lineno, name, owner[1].name)
    for called, call in code.calls:
        if called == "builtins.setattr" and len(call.args) == 3:
            owner = _owner(code, call)
            target = call.args[0]
            if owner and isinstance(target, ast.Name) and target.id == self_name(owner[1]):
                yield _hit(call.lineno, text_of(call.args[1]) or "…", owner[1].name)


def _owner(
    code: Code, node: ast.AST
) -> tuple[ast.ClassDef, ast.FunctionDef | ast.AsyncFunctionDef] | None:
    owner = code.owner(node)
    return None if owner is None or owner[1].name in _MAY else owner


def _hit(line: int, name: str, method: str) -> Hit:
    return Hit(
        line,
        f"self.{name} is assigned in {method}; expected in __init__, start or restore alone",
        "keep state in a tool: a table of the domain, a file, or a value that is handed on",
    )


RULE = Rule(
    id="RF512",
    title="A method of a plugin assigns to `self`, outside of `__init__`, `start` and `restore`.",
    why="One object of a plugin serves all calls at once, and is replaced when its file changes: "
    "what a call leaves in `self` is seen by others halfway, and gone with the next swap. State "
    "lives in tools.",
    bad="""\
from ringfence import Plugin, service


class PlaceOrder(Plugin):
    @service("orders.place")
    async def place(self, sku: str) -> None:
        self.last = sku
""",
    good="""\
from ringfence import Plugin, service


class PlaceOrder(Plugin):
    async def start(self) -> None:
        self.skus = {"tea"}

    @service("orders.place")
    async def place(self, sku: str) -> bool:
        return sku in self.skus
""",
    areas=("domains",),
    look=_look,
)

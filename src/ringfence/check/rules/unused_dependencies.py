"""RF507: a plugin that asks for what it does not use."""

import ast
from collections.abc import Iterator

from ringfence.check.code import Code, arguments, methods
from ringfence.check.rule import Edit, Hit, Rule


def _look(code: Code) -> Iterator[Hit]:
    named = {node.attr for node in code.all(ast.Attribute)}
    for plugin in code.plugins:
        if _escapes(code, plugin) or any(m.name == "__init__" for m in methods(plugin)):
            continue
        fields = code.fields(plugin)
        used = named | _by_parameters(code, plugin, fields)
        for name, item in fields.items():
            if name not in used:
                yield Hit(
                    item.lineno,
                    f"{plugin.name} asks for {name}, and does not use it",
                    "remove the field",
                    _removal(plugin, item),
                )
    yield from _unused_views(code)


def _escapes(code: Code, plugin: ast.ClassDef) -> bool:
    """Whether an object is handed to somebody who may use anything of it."""
    for owner, _, me in code.uses:
        used = code.parents[me]
        is_field = isinstance(used, ast.Attribute) and used.attr != "__dict__"
        if owner is plugin and not is_field:
            return True
    return False


def _by_parameters(code: Code, plugin: ast.ClassDef, fields: dict[str, ast.AnnAssign]) -> set[str]:
    """The fields whose tool fills in a parameter: a `tx` uses a `Database`."""
    tools: set[str] = set()
    for method in methods(plugin):
        for one in arguments(method):
            tools |= {_tool(kind) for kind in code.kinds(one.annotation)}
    tools.discard("")
    return {n for n, f in fields.items() if tools & {_tool(k) for k in code.kinds(f.annotation)}}


def _tool(kind: str) -> str:
    """Return the package that a type is of, but for the author's vocabulary and plain types."""
    package = kind.rpartition(".")[0]
    return package if ".tools." in f".{package}." else ""


def _removal(plugin: ast.ClassDef, item: ast.AnnAssign) -> Edit | None:
    """Certain where something is left of the class."""
    several = [one for one in plugin.body if one is not item]
    return Edit(item.lineno, item.end_lineno or item.lineno) if several else None


def _unused_views(code: Code) -> Iterator[Hit]:
    if any(part.startswith("_") for part in code.file.split("/")):
        return  # a helper has views for others
    for node in code.all(ast.ClassDef):
        marks = [d for d in node.decorator_list if isinstance(d, ast.Call)]
        if not any(code.dotted(d.func) == "ringfence.requires" for d in marks):
            continue
        used = any(n.id == node.name for n in code.all(ast.Name))
        if not used and not any(node.name in str(c.value) for c in code.all(ast.Constant)):
            yield Hit(
                node.lineno,
                f"{node.name} requires a service, and no field has that type",
                f"remove it, or ask for it by a field: `{node.name.lower()}: {node.name}`",
            )


RULE = Rule(
    id="RF507",
    title="A plugin asks for a tool or a service, and does not use it.",
    why="A field says what a feature depends on: who reads it looks for a use, the kernel starts "
    "a tool for it, and every unit test makes up something to fill it.",
    bad="""\
from ringfence import Plugin, service
from ringfence.tools.db import Database


class PlaceOrder(Plugin):
    db: Database

    @service("orders.place")
    async def place(self) -> int:
        return 1
""",
    good="""\
from ringfence import Plugin, service
from ringfence.tools.db import Database, Transaction


class PlaceOrder(Plugin):
    db: Database

    @service("orders.place")
    async def place(self, tx: Transaction) -> int:
        return await tx.fetch_value("SELECT 1", into=int)
""",
    areas=("domains",),
    look=_look,
)

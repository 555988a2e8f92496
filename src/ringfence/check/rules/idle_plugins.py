"""RF517: a plugin that offers nothing."""

import ast
from collections.abc import Iterator

from ringfence.check.code import Code, methods
from ringfence.check.rule import Hit, Rule

_PLAIN = frozenset(
    {
        *("property", "staticmethod", "classmethod", "overload", "override", "cached_property"),
    }
)
_HOOKS = frozenset({"start", "healthy", "snapshot", "restore"})


def _look(code: Code) -> Iterator[Hit]:
    for plugin in code.plugins:
        marks = [m for method in methods(plugin) for m in method.decorator_list]
        offers = any(_word(mark) not in _PLAIN for mark in marks)
        if not offers and not _HOOKS & {method.name for method in methods(plugin)}:
            yield Hit(
                plugin.lineno,
                f"{plugin.name} offers nothing: no service, no route, no timer, no handler",
                "decorate a method with what calls it, such as `@service(…)`, or remove the file",
            )


def _word(mark: ast.expr) -> str:
    node = mark.func if isinstance(mark, ast.Call) else mark
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


RULE = Rule(
    id="RF517",
    title="A plugin offers nothing.",
    why="A plugin is reached through its decorators. One without any is built at every start and "
    "never called: most often a decorator was forgotten.",
    bad="""\
from ringfence import Plugin


class PlaceOrder(Plugin):
    async def place(self) -> int:
        return 1
""",
    good="""\
from ringfence import Plugin, service


class PlaceOrder(Plugin):
    @service("orders.place")
    async def place(self) -> int:
        return 1
""",
    severity="warning",
    areas=("domains",),
    look=_look,
)

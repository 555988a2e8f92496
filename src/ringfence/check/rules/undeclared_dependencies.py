"""RF506: a plugin that uses what it does not declare."""

import ast
from collections.abc import Iterator

from ringfence.author import Plugin
from ringfence.check.code import Code, arguments, text_of
from ringfence.check.rule import Hit, Rule

_GIVEN = frozenset(dir(Plugin))
_ANYTHING = "__getattr__"  # a class that has it answers to every name


def _look(code: Code) -> Iterator[Hit]:
    for plugin in code.plugins:
        known = _known(code, plugin)
        if _ANYTHING in known:
            continue
        for owner, _, me in code.uses:
            used = code.parents.get(me)
            if owner is plugin and isinstance(used, ast.Attribute) and used.attr not in known:
                yield Hit(
                    used.lineno,
                    f"{plugin.name} uses self.{used.attr}, which it does not declare",
                    f"annotate a field: `{used.attr}: <the tool's contract, or a Protocol under "
                    "@requires>`",
                )
    yield from _calls_by_name(code)


def _known(code: Code, plugin: ast.ClassDef) -> set[str]:
    """What an object of the class may have: fields, methods, and whatever is assigned to it."""
    known = set(_GIVEN)
    for item in plugin.body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            known.add(item.name)
        elif not isinstance(item, ast.Expr):
            known |= {node.id for node in ast.walk(item) if isinstance(node, ast.Name)}
    for owner, _, me in code.uses:
        used = code.parents.get(me)
        if owner is plugin and isinstance(used, ast.Attribute):
            known |= set() if isinstance(used.ctx, ast.Load) else {used.attr}
    for name, call in code.calls:
        if name == "builtins.setattr" and len(call.args) > 1:
            known.add(text_of(call.args[1]) or _ANYTHING)
    return known


def _calls_by_name(code: Code) -> Iterator[Hit]:
    declared = {
        text
        for called, call in code.calls
        if called == "ringfence.requires" and call.args
        if (text := text_of(call.args[0]))
    }
    for keyword in code.all(ast.keyword):
        if keyword.arg == "calls":
            declared |= {t for node in ast.walk(keyword.value) if (t := text_of(node))}
            if any(
                isinstance(n, ast.Name | ast.Attribute) and isinstance(n.ctx, ast.Load)
                for n in ast.walk(keyword.value)
            ):
                return  # put together elsewhere
    for call in code.all(ast.Call):
        name = text_of(call.args[0]) if call.args else None
        if name and name not in declared and _is_by_name(code, call):
            yield Hit(
                call.lineno,
                f"ctx.call reaches {name}, which is not declared",
                f'name it in the decorator: `calls=["{name}"]`, or require it by a Protocol',
            )


def _is_by_name(code: Code, call: ast.Call) -> bool:
    func = call.func
    if not isinstance(func, ast.Attribute) or func.attr != "call":
        return False
    owner = code.owner(call)
    return owner is not None and any(
        isinstance(func.value, ast.Name)
        and one.arg == func.value.id
        and "ringfence.Context" in code.kinds(one.annotation)
        for one in arguments(owner[1])
    )


RULE = Rule(
    id="RF506",
    title="A plugin uses a tool or a service that it does not declare.",
    why="Everything that a plugin can touch is in its constructor, so that one sees what it needs, "
    "and the kernel checks it before the start. What is not declared is not there when it is used.",
    bad="""\
from ringfence import Plugin, service


class PlaceOrder(Plugin):
    @service("orders.place")
    async def place(self) -> int:
        return await self.db.fetch_value("SELECT 1", into=int)
""",
    good="""\
from ringfence import Plugin, service
from ringfence.tools.db import Database


class PlaceOrder(Plugin):
    db: Database

    @service("orders.place")
    async def place(self) -> int:
        return await self.db.fetch_value("SELECT 1", into=int)
""",
    areas=("domains",),
    look=_look,
)

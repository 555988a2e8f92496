"""RF514: a query for each element of a loop."""

import ast
from collections.abc import Iterator

from ringfence.check.code import Code, arguments, field_of, self_name
from ringfence.check.rule import Hit, Rule

_METHODS = frozenset({"fetch_all", "fetch_one", "fetch_value", "execute"})
_TOOL = frozenset({"ringfence.tools.db.Database", "ringfence.tools.db.Transaction"})
Loop = ast.For | ast.AsyncFor | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def _look(code: Code) -> Iterator[Hit]:
    for call in code.all(ast.Call):
        func = call.func
        if isinstance(func, ast.Attribute) and func.attr in _METHODS and _is_query(code, func):
            loop = _loop(code, call)
            if loop is not None:
                yield Hit(
                    call.lineno,
                    f"{func.attr} is called for each element of the loop in line {loop.lineno}",
                    "ask once for all of them: a JOIN, `IN (…)`, or `execute_many`",
                )


def _is_query(code: Code, func: ast.Attribute) -> bool:
    """Whether it is a database's method, for certain."""
    owner = code.owner(func)
    if owner is None:
        return False
    plugin, method = owner
    field = code.fields(plugin).get(field_of(func.value, self_name(method)))
    if field is not None:
        return bool(_TOOL & code.kinds(field.annotation))
    if not isinstance(func.value, ast.Name):
        return False
    name = func.value.id
    opened = any(
        isinstance(item, ast.withitem)
        and isinstance(item.optional_vars, ast.Name)
        and item.optional_vars.id == name
        and ".transaction(" in ast.unparse(item.context_expr)
        for item in ast.walk(method)
    )
    return opened or any(
        one.arg == name and _TOOL & code.kinds(one.annotation) for one in arguments(method)
    )


def _loop(code: Code, call: ast.Call) -> Loop | None:
    """Return the loop whose element the query is for."""
    used = {node.id for node in ast.walk(call) if isinstance(node, ast.Name)}
    child: ast.AST = call
    for parent in code.above(call):
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return None
        if isinstance(parent, ast.For | ast.AsyncFor) and child in parent.body:
            is_write = isinstance(call.func, ast.Attribute) and call.func.attr == "execute"
            if _is_short(code, parent.iter) or (is_write and _has_effects(code, parent.body)):
                return None
            if used & _bound(parent.target, parent.body):
                return parent
        elif isinstance(parent, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            first = parent.generators[0]
            if child is not first and used & _bound(first.target, []):
                return None if _is_short(code, first.iter) else parent
        child = parent
    return None


def _has_effects(code: Code, body: list[ast.stmt]) -> bool:
    """Whether each element is done for itself: what was done outside is written down at once, or a
    failure of one leaves the others."""
    nodes = [node for statement in body for node in ast.walk(statement)]
    calls = [node for node in nodes if isinstance(node, ast.Call) and _is_awaited(code, node)]
    return any(isinstance(node, ast.Try) for node in nodes) or any(
        not (isinstance(call.func, ast.Attribute) and _is_query(code, call.func)) for call in calls
    )


def _is_awaited(code: Code, call: ast.Call) -> bool:
    """Whether it does something outside: `self.clock.now()` does not."""
    parent = code.parents[call]
    waits = isinstance(parent, ast.Call) and code.dotted(parent.func) == "ringfence.wait"
    return waits or isinstance(parent, ast.Await)


def _bound(target: ast.expr, body: list[ast.stmt]) -> set[str]:
    """The names of an element, and those that are made of it."""
    names = {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Assign) and names & _names(node.value):
                names |= {one for each in node.targets for one in _names(each)}
    return names


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _is_short(code: Code, iterated: ast.expr) -> bool:
    """Whether there are a few elements, which stand here; or chunks of many."""
    if isinstance(iterated, ast.Tuple | ast.List | ast.Set | ast.Dict):
        return True
    if isinstance(iterated, ast.Call):
        name = code.dotted(iterated.func)
        constant = all(isinstance(a, ast.Constant) for a in iterated.args)
        return (name == "builtins.range" and constant) or "batch" in name or "chunk" in name
    return False


RULE = Rule(
    id="RF514",
    title="A query is made for each element of a loop.",
    why="A hundred elements are a hundred queries, of a budget of 200: it works until there are "
    "more. The database can be asked for all of them at once.",
    bad="""\
from ringfence import Plugin, service
from ringfence.tools.db import Database


class Price(Plugin):
    db: Database

    @service("orders.price")
    async def price(self, skus: list[str]) -> int:
        total = 0
        for sku in skus:
            sql = "SELECT cents FROM prices WHERE sku = $1"
            total += await self.db.fetch_value(sql, sku, into=int)
        return total
""",
    good="""\
from ringfence import Plugin, service
from ringfence.tools.db import Database


class Price(Plugin):
    db: Database

    @service("orders.price")
    async def price(self, skus: list[str]) -> int:
        sql = "SELECT sum(cents) FROM prices WHERE sku IN (SELECT value FROM json_each($1))"
        return await self.db.fetch_value(sql, skus, into=int)
""",
    severity="warning",
    areas=("domains",),
    look=_look,
)

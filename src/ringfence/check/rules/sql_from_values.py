"""RF520: SQL that is put together with what a caller sent."""

import ast
from collections.abc import Iterator

from ringfence.check.code import FUNCTIONS, Code, Function, arguments
from ringfence.check.rule import Hit, Rule
from ringfence.check.rules.foreign_tables import METHODS

_SAFE = ("Literal", "int", "bool", "float", "UUID", "Enum", "datetime", "date", "Decimal")


def _look(code: Code) -> Iterator[Hit]:
    for call in code.all(ast.Call):
        func = call.func
        if not isinstance(func, ast.Attribute) or func.attr not in METHODS or not call.args:
            continue
        scope = code.scope(call)
        if not isinstance(scope, FUNCTIONS):
            continue
        for part in _parts(call.args[0], scope):
            name = _from_caller(part, scope)
            if name:
                yield Hit(
                    call.lineno,
                    f"{name}, a value of the caller, is put into the text of an SQL statement",
                    "write $1 in the statement, and hand the value in after it",
                )


def _parts(sql: ast.expr, scope: Function) -> Iterator[ast.expr]:
    """Yield the expressions whose values become a part of the text."""
    match sql:
        case ast.JoinedStr():
            yield from (v.value for v in sql.values if isinstance(v, ast.FormattedValue))
        case ast.BinOp(op=ast.Add()):
            for side in (sql.left, sql.right):
                yield from _parts(side, scope) if isinstance(side, ast.BinOp) else [side]
        case ast.BinOp(op=ast.Mod()):
            right = sql.right
            yield from right.elts if isinstance(right, ast.Tuple) else [right]
        case ast.Call(func=ast.Attribute(attr="format")):
            yield from (*sql.args, *(k.value for k in sql.keywords))
        case ast.Name():
            for node in ast.walk(scope):
                targets = node.targets if isinstance(node, ast.Assign) else []
                named = any(isinstance(t, ast.Name) and t.id == sql.id for t in targets)
                if named and isinstance(node, ast.Assign) and not isinstance(node.value, ast.Name):
                    yield from _parts(node.value, scope)
        case _:
            pass


def _from_caller(node: ast.expr, scope: Function) -> str:
    """Return how a value is written that is a parameter, or a part of one; else nothing."""
    root: ast.expr = node
    while isinstance(root, ast.Attribute | ast.Subscript):
        root = root.value
    if not isinstance(root, ast.Name):
        return ""
    for n, one in enumerate(arguments(scope)):
        if one.arg == root.id and not (n == 0 and one.annotation is None):
            said = ast.unparse(one.annotation) if one.annotation else ""
            checked = any(word in said for word in _SAFE) and root is node
            return "" if checked else ast.unparse(node)
    return ""


RULE = Rule(
    id="RF520",
    title="A value of the caller is put into the text of an SQL statement.",
    why="Whoever sends the value writes the statement: SQL injection. A value that is handed in "
    "beside the text is never read as SQL.",
    bad="""\
from ringfence import Plugin, service
from ringfence.tools.db import Database


class Find(Plugin):
    db: Database

    @service("orders.find")
    async def find(self, sku: str) -> int:
        sql = f"SELECT count(*) FROM orders WHERE sku = '{sku}'"
        return await self.db.fetch_value(sql, into=int)
""",
    good="""\
from ringfence import Plugin, service
from ringfence.tools.db import Database


class Find(Plugin):
    db: Database

    @service("orders.find")
    async def find(self, sku: str) -> int:
        sql = "SELECT count(*) FROM orders WHERE sku = $1"
        return await self.db.fetch_value(sql, sku, into=int)
""",
    areas=("domains",),
    look=_look,
)

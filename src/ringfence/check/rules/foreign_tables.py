"""RF505: SQL that names another domain's table."""

import ast
import re
from collections.abc import Iterator

from ringfence.check.code import Code, text_of
from ringfence.check.rule import Fact, Rule, Whole
from ringfence.errors import Finding
from ringfence.tools.db.tables import named

METHODS = frozenset({"fetch_all", "fetch_one", "fetch_value", "execute", "execute_many", "stream"})
_STATEMENT = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH)\s")


def _gather(code: Code) -> Iterator[Fact]:
    for line, sql in statements(code):
        for token in named(sql):
            yield Fact(token.called, line + sql.count("\n", 0, token.start))


def statements(code: Code) -> Iterator[tuple[int, str]]:
    """Yield each text that is SQL for certain: it is handed to a query, or a constant that begins
    as a statement does."""
    handed: set[ast.AST] = set()
    names: set[str] = set()
    for call in code.all(ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr in METHODS and call.args:
            first = call.args[0]
            handed.add(first)
            names |= {first.id} if isinstance(first, ast.Name) else set()
    for assign in code.all(ast.Assign):
        constant = code.parents[assign] is code.tree
        for target in assign.targets:
            if isinstance(target, ast.Name):
                text = _text(assign.value)
                begins = constant and text is not None and _STATEMENT.match(text)
                if target.id in names or begins:
                    handed.add(assign.value)
    for node in handed:
        text = _text(node)
        if text is not None:
            yield getattr(node, "lineno", 1), text


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or " _ " for part in node.values)
    if isinstance(node, ast.BinOp):
        left, right = _text(node.left), _text(node.right)
        is_sum = isinstance(node.op, ast.Add)
        return None if left is None else left + ((right or " _ ") if is_sum else "")
    return text_of(node)


def _weigh(whole: Whole) -> Iterator[Finding]:
    for file, facts in whole.facts.items():
        domain = file.split("/")[1]
        for fact in facts:
            owners = whole.owners.get(fact.text, frozenset())
            if owners and domain not in owners:
                owner = min(owners)
                services = ", ".join(sorted(whole.offers.get(owner, ())))
                yield Finding(
                    file,
                    fact.line,
                    RULE.id,
                    f"this SQL uses {fact.text}, a table of domain {owner}; expected tables of "
                    f"{domain}",
                    f"ask {owner} through @requires on a service of its ({services})"
                    if services
                    else f"let a feature of {owner} provide a service, and declare @requires on it",
                )


_MIGRATION = {
    "domains/stock/migrations/20260101000000_stock.sql": "CREATE TABLE stock (sku TEXT);\n",
    "domains/orders/migrations/20260101000001_orders.sql": "CREATE TABLE orders (sku TEXT);\n",
}
_QUERY = """\
from ringfence import Plugin, service
from ringfence.tools.db import Database


class Count(Plugin):
    db: Database

    @service("orders.count")
    async def count(self) -> int:
        return await self.db.fetch_value("SELECT count(*) FROM {table}", into=int)
"""

RULE = Rule(
    id="RF505",
    title="SQL names a table that another domain's migrations create.",
    why="A domain's tables are its own: it may change them without asking anybody. The database "
    "refuses such a statement when it runs; this says so before.",
    bad={**_MIGRATION, "domains/orders/count.py": _QUERY.format(table="stock")},
    good={**_MIGRATION, "domains/orders/count.py": _QUERY.format(table="orders")},
    areas=("domains",),
    gather=_gather,
    weigh=_weigh,
)

"""RF508: a transaction that is held while something else is waited for."""

import ast
from collections.abc import Iterator

from ringfence.check.code import Code, Function, arguments, field_of, methods, self_name
from ringfence.check.rule import Hit, Rule

_TRANSACTION = "ringfence.tools.db.Transaction"
_DATABASE = "ringfence.tools.db.Database"
_WAITING = frozenset({"run", "execute", "execute_many"})


def _look(code: Code) -> Iterator[Hit]:
    opens = any(node.attr == "transaction" for node in code.all(ast.Attribute))
    takes = any(whole == _TRANSACTION for _, whole, _ in code.imports)
    for plugin in code.plugins if opens or takes else ():
        fields = code.fields(plugin)
        databases = {n for n, f in fields.items() if _DATABASE in code.kinds(f.annotation)}
        calling = _calling(code, plugin, set(fields))
        for method in methods(plugin):
            me = self_name(method)
            contexts = {
                one.arg
                for one in arguments(method)
                if "ringfence.Context" in code.kinds(one.annotation)
            }
            for node, held in _held(code, method, me, databases):
                what = _forbidden(node, me, set(fields), databases, calling, contexts)
                if what:
                    fix = (
                        "call it before the transaction or after it"
                        if "calls" in what
                        else (f"use {held}, the transaction")
                    )
                    yield Hit(node.lineno, f"{what} while it holds a transaction ({held})", fix)


def _held(
    code: Code, method: Function, me: str, databases: set[str]
) -> Iterator[tuple[ast.Call, str]]:
    """Yield the calls that are made inside a transaction, and what that is called."""
    held = [a.arg for a in arguments(method) if _TRANSACTION in code.kinds(a.annotation)]
    bodies: list[tuple[list[ast.stmt], str]] = [(method.body, held[0])] if held else []
    if not held:
        for node in ast.walk(method):
            if isinstance(node, ast.With | ast.AsyncWith):
                for item in node.items:
                    if _opens(item.context_expr, me, databases):
                        name = item.optional_vars
                        called = name.id if isinstance(name, ast.Name) else "tx"
                        bodies.append((node.body, called))
    for body, called in bodies:
        for statement in body:
            for node in ast.walk(statement):
                if isinstance(node, ast.Call) and code.scope(node) is method:
                    yield node, called


def _opens(node: ast.AST, me: str, databases: set[str]) -> bool:
    return any(
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "transaction"
        and field_of(call.func.value, me) in databases
        for call in ast.walk(node)
    )


def _forbidden(
    call: ast.Call,
    me: str,
    fields: set[str],
    databases: set[str],
    calling: dict[str, str],
    contexts: set[str],
) -> str:
    name = field_of(call.func, me)
    func = call.func
    target = func.value if isinstance(func, ast.Attribute) and func.attr == "call" else None
    if isinstance(target, ast.Name) and target.id in contexts:
        return f"it calls a service by {target.id}.call"
    if name in fields:
        return f"it calls the service behind self.{name}"
    if name in calling:
        return f"it calls self.{name}, which calls the service behind self.{calling[name]},"
    if isinstance(call.func, ast.Attribute) and call.func.attr in _WAITING:
        database = field_of(call.func.value, me)
        if database in databases:
            return f"it waits for self.{database}.{call.func.attr}"
    return ""


def _calling(code: Code, plugin: ast.ClassDef, fields: set[str]) -> dict[str, str]:
    """Return the methods that call a service, directly or through others: which field."""
    inside: dict[str, set[str]] = {}
    for method in methods(plugin):
        me = self_name(method)
        called = {
            field_of(node.func, me)
            for node in ast.walk(method)
            if isinstance(node, ast.Call) and code.scope(node) is method
        }
        inside[method.name] = called - {""}
    found: dict[str, str] = {}
    grown = True
    while grown:
        grown = False
        for method_name, called in inside.items():
            reached = sorted(called & fields) or [found[c] for c in sorted(called & found.keys())]
            if reached and method_name not in found:
                found[method_name] = reached[0]
                grown = True
    return found


_START = """\
from typing import Protocol

from ringfence import Plugin, requires, service
from ringfence.tools.db import Database


@requires("stock.level")
class LevelOf(Protocol):
    async def __call__(self) -> int: ...


class PlaceOrder(Plugin):
    db: Database
    level: LevelOf

    @service("orders.place")
    async def place(self) -> None:
"""
_WRITE = 'await tx.execute("INSERT INTO orders (level) VALUES ($1)", level)\n'

RULE = Rule(
    id="RF508",
    title="A service, or the database itself, is called inside a transaction.",
    why="Whoever holds a transaction keeps all others from writing, so nothing but the database "
    "is used inside: a service call would hold it for as long as another feature takes, and what "
    "waits for the database waits for itself. The kernel raises TransactionHeld there.",
    bad=_START + "        async with self.db.transaction() as tx:\n"
    "            level = await self.level()\n            " + _WRITE,
    good=_START + "        level = await self.level()\n"
    "        async with self.db.transaction() as tx:\n            " + _WRITE,
    areas=("domains",),
    look=_look,
)

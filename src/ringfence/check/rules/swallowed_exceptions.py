"""RF510: an `except` that takes everything and says nothing."""

import ast
from collections.abc import Iterator

from ringfence.check.code import Code
from ringfence.check.rule import Hit, Rule

_BROAD = frozenset({"builtins.Exception", "builtins.BaseException"})
_CANCELLED = frozenset({"asyncio.CancelledError", "builtins.BaseException"})
_FIX = "name the errors that are expected here, or let it rise: the kernel contains and records it"


def _look(code: Code) -> Iterator[Hit]:
    for handler in code.all(ast.ExceptHandler):
        names = _names(code, handler.type)
        if handler.type is None or names & _BROAD:
            if _is_silent(handler):
                yield Hit(handler.lineno, f"{_shown(handler)} takes whatever fails, silently", _FIX)
        elif "asyncio.CancelledError" in names and _keeps(code, handler):
            fix = "raise it again: whoever cancels waits for this to end"
            yield Hit(handler.lineno, "a cancellation is caught and kept", fix)
    for item in code.all(ast.withitem):
        call = item.context_expr
        if not isinstance(call, ast.Call) or code.dotted(call.func) != "contextlib.suppress":
            continue
        if any(_names(code, arg) & _BROAD for arg in call.args):
            yield Hit(call.lineno, "suppress takes whatever fails, silently", _FIX)


def _names(code: Code, node: ast.expr | None) -> set[str]:
    several = node.elts if isinstance(node, ast.Tuple) else [node] if node is not None else []
    return {code.dotted(one) for one in several}


def _shown(handler: ast.ExceptHandler) -> str:
    return f"`except {ast.unparse(handler.type)}`" if handler.type else "a bare `except`"


def _is_silent(handler: ast.ExceptHandler) -> bool:
    """Whether nothing is done with the error: not raised, not told, not looked at."""
    for statement in handler.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Raise | ast.Call | ast.Await):
                return False
            if isinstance(node, ast.Name) and node.id == handler.name:
                return False
    return True


def _keeps(code: Code, handler: ast.ExceptHandler) -> bool:
    """Whether the cancellation ends here, unless it was this code that cancelled."""
    if any(isinstance(n, ast.Raise) for statement in handler.body for n in ast.walk(statement)):
        return False
    scope = code.scope(handler)
    return scope is not None and not any(
        isinstance(n, ast.Attribute) and n.attr == "cancel" for n in ast.walk(scope)
    )


RULE = Rule(
    id="RF510",
    title="An `except` takes every error and says nothing of it.",
    why="What fails without a word is looked for at the wrong place. The kernel contains every "
    "failure of a feature, records it with its cause, and answers without detail; an error that is "
    "expected has a name.",
    bad="""\
def parsed(text: str) -> int:
    try:
        return int(text)
    except Exception:
        return 0
""",
    good="""\
def parsed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0
""",
    look=_look,
)

"""RF511: a task that nobody waits for."""

import ast
from collections.abc import Iterator

from ringfence.check.code import SCOPES, Code
from ringfence.check.rule import Hit, Rule

_STARTS = frozenset({"asyncio.create_task", "asyncio.ensure_future"})
_LOOPS = frozenset({"asyncio.get_running_loop", "asyncio.get_event_loop"})


def _look(code: Code) -> Iterator[Hit]:
    for call in code.all(ast.Call):
        if _starts(code, call) and not _is_owned(code, call):
            yield Hit(
                call.lineno,
                "a task is started, and nobody waits for it",
                "start it in `async with asyncio.TaskGroup() as group`, or await it",
            )


def _starts(code: Code, call: ast.Call) -> bool:
    if code.dotted(call.func) in _STARTS:
        return True
    func = call.func
    return (
        isinstance(func, ast.Attribute)
        and func.attr == "create_task"
        and isinstance(func.value, ast.Call)
        and code.dotted(func.value.func) in _LOOPS
    )


def _is_owned(code: Code, call: ast.Call) -> bool:
    parent = code.parents[call]
    if isinstance(parent, ast.Expr):
        return False
    if not isinstance(parent, ast.Assign) or not isinstance(parent.targets[0], ast.Name):
        return True  # it is handed on, or kept
    name = parent.targets[0].id
    around = next((p for p in code.above(call) if isinstance(p, SCOPES)), code.tree)
    return any(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
        for node in ast.walk(around)
    )


RULE = Rule(
    id="RF511",
    title="A task is started that nobody waits for.",
    why="Its error is lost, and it may be collected while it runs. A context ends the tasks that "
    "it left behind, so such a task ends with the call that started it, done or not.",
    bad="""\
import asyncio


async def remind() -> None: ...


async def place() -> None:
    asyncio.create_task(remind())
""",
    good="""\
import asyncio


async def remind() -> None: ...


async def place() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(remind())
""",
    look=_look,
)

"""RF516: a text that is run as code."""

import ast
from collections.abc import Iterator

from ringfence.check.code import Code
from ringfence.check.rule import Hit, Rule

_RUNS = frozenset(
    {
        "builtins.eval",
        "builtins.exec",
        "builtins.compile",
        "code.InteractiveInterpreter",
        "code.InteractiveConsole",
        "code.interact",
        "codeop.compile_command",
        "types.FunctionType",
        "types.CodeType",
    }
)


def _look(code: Code) -> Iterator[Hit]:
    for node, name in code.references.items():
        if name in _RUNS and isinstance(node, ast.expr):
            yield Hit(
                node.lineno,
                f"{name.removeprefix('builtins.')} runs a text as code, which no check has read",
                "write the code down, or choose from a dict of functions; "
                "for a value, ast.literal_eval or msgspec",
            )


RULE = Rule(
    id="RF516",
    title="A text is run as code: eval, exec, compile.",
    why="Code that stands in no file is seen by no check and no guard: it imports what it likes. "
    "Where the text comes from outside, so does the code.",
    bad="def value(text: str) -> object:\n    return eval(text)\n",
    good="import ast\n\n\ndef value(text: str) -> object:\n    return ast.literal_eval(text)\n",
    look=_look,
)

"""RF503: shared code that reads, writes, or waits for something."""

import ast
from collections.abc import Iterator

from ringfence.check.code import Code
from ringfence.check.rule import Hit, Rule

_MODULES = frozenset(
    {
        *("socket", "ssl", "subprocess", "sqlite3", "requests", "httpx", "aiohttp", "smtplib"),
        *("ftplib", "shutil", "tempfile", "glob", "urllib.request", "http.client", "http.server"),
        *("multiprocessing", "asyncpg", "psycopg", "psycopg2"),
    }
)
_CALLS = frozenset({"builtins.open", "builtins.input", "builtins.print", "io.open"})
_PURE_OF_OS = ("os.path.", "os.fspath", "os.fsdecode", "os.fsencode", "os.sep", "os.PathLike")
_METHODS = frozenset({"read_text", "write_text", "read_bytes", "write_bytes"})
_TOUCHING = ("exists", "getsize", "getmtime", "isfile", "isdir", "realpath", "islink")


def _look(code: Code) -> Iterator[Hit]:
    for _, whole, node in code.imports:
        words = whole.split(".")
        if words[0] in _MODULES or ".".join(words[:2]) in _MODULES:
            yield _hit(node.lineno, f"imports {whole}")
        elif words[:2] == ["ringfence", "tools"]:
            yield _hit(node.lineno, f"imports a tool, {'.'.join(words[:3])}")
    for call in code.all(ast.Call):
        name = code.dotted(call.func)
        if name in _CALLS or (name.startswith("os.") and not _is_pure(name)):
            yield _hit(call.lineno, f"calls {name.removeprefix('builtins.')}")
        elif isinstance(call.func, ast.Attribute) and call.func.attr in _METHODS:
            yield _hit(call.lineno, f"calls {call.func.attr}")
    for attribute in code.all(ast.Attribute):
        if code.dotted(attribute) == "os.environ":
            yield _hit(attribute.lineno, "reads the environment")


def _is_pure(name: str) -> bool:
    if name.startswith("os.environ"):
        return True  # told of once, by the attribute
    return name.startswith(_PURE_OF_OS) and name.rpartition(".")[2] not in _TOUCHING


def _hit(line: int, does: str) -> Hit:
    fix = "let a feature do that with a tool, and hand in what comes of it"
    return Hit(line, f"lib/ is shared and pure; this {does}", fix)


RULE = Rule(
    id="RF503",
    title="Shared code in lib/ reads, writes or waits for something.",
    why="What several domains share is pure: values in, values out. So it can be used anywhere, "
    "tested without anything, and hides no dependency that a plugin does not declare.",
    bad={
        "lib/rates.py": 'def rate() -> str:\n    with open("rate.txt") as file:\n'
        "        return file.read()\n"
    },
    good={
        "lib/rates.py": "def with_rate(cents: int, rate: float) -> int:\n"
        "    return round(cents * (1 + rate))\n"
    },
    areas=("lib",),
    look=_look,
)

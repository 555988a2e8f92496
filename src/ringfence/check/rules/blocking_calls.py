"""RF509: a call that blocks the event loop."""

import ast
from collections.abc import Iterator

from ringfence.check.code import Code
from ringfence.check.rule import Hit, Rule

_CALLS = frozenset(
    {
        *("time.sleep", "os.system", "os.popen", "os.wait", "os.waitpid", "subprocess.run"),
        *("subprocess.call", "subprocess.check_call", "subprocess.check_output"),
        *("subprocess.getoutput", "subprocess.getstatusoutput", "urllib.request.urlopen"),
        *("urllib.request.urlretrieve", "socket.create_connection", "socket.getaddrinfo"),
        *("socket.gethostbyname", "socket.gethostbyaddr", "builtins.input", "builtins.open"),
        *("io.open", "shutil.copy", "shutil.copyfile", "shutil.copytree", "shutil.move"),
        *("shutil.rmtree", "shutil.make_archive", "sqlite3.connect", "concurrent.futures.wait"),
        "ringfence.wait",
    }
)
_VERBS = frozenset(
    ["get", "post", "put", "patch", "delete", "head", "options", "request", "stream"]
)
_PATH = frozenset(["read_text", "write_text", "read_bytes", "write_bytes", "open"])


def _look(code: Code) -> Iterator[Hit]:
    for call in code.all(ast.Call):
        name = _name(code, call)
        if name and isinstance(code.scope(call), ast.AsyncFunctionDef):
            yield Hit(call.lineno, f"{name} blocks the event loop: nothing else runs", _fix(name))


def _name(code: Code, call: ast.Call) -> str:
    name = code.dotted(call.func)
    if name in _CALLS:
        return name.removeprefix("builtins.")
    client, _, verb = name.rpartition(".")
    if client in ("requests", "httpx") and verb in _VERBS:
        return name
    func = call.func
    if isinstance(func, ast.Attribute) and func.attr in _PATH:
        made = func.value.func if isinstance(func.value, ast.Call) else None
        return f"Path.{func.attr}" if made and code.dotted(made) == "pathlib.Path" else ""
    return ""


def _fix(name: str) -> str:
    match name.partition(".")[0]:
        case "time":
            return "ask for a Clock and `await self.clock.sleep(…)`, or make the method a `def`"
        case "requests" | "httpx" | "urllib":
            return "ask for a Fetch by a field and await it, or make the method a `def`"
        case "ringfence":
            return "await it: `wait` is for a `def`, which runs on a thread"
        case _:
            return "make the method a `def`, which runs on a thread, or use asyncio.to_thread"


RULE = Rule(
    id="RF509",
    title="An `async def` calls what blocks.",
    why="All that is `async` shares one thread: while one feature blocks it, no request, no "
    "deadline and no timer of any other goes on. A `def` handler runs on a thread of its own.",
    bad="""\
import time

from ringfence import Plugin, service


class PlaceOrder(Plugin):
    @service("orders.place")
    async def place(self) -> None:
        time.sleep(1)
""",
    good="""\
import time

from ringfence import Plugin, service


class PlaceOrder(Plugin):
    @service("orders.place")
    def place(self) -> None:
        time.sleep(1)
""",
    areas=("domains",),
    look=_look,
)

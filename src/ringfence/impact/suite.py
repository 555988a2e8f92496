"""The tests of an application, each with what its text reaches: names, addresses, modules.

A test is read with all that it uses: functions and fixtures of its module, of `conftest.py` and of
other modules of tests, as far as their names are written down. Nothing is run. Invariant: what is
not understood makes a test `unsure`, never small. Called by `effect.py`.
"""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct, field

from ringfence.impact.ground import module_files
from ringfence.kernel.source import TOPS

# Whoever uses one of these looks at the application as a whole, or at its files.
_WHOLE = {
    *("Popen", "subprocess", "invoke", "main", "eval", "exec", "exec_module", "import_module"),
    *("manifest", "findings", "plugins", "domains", "copytree", "glob", "iterdir", "open"),
    *("read_bytes", "read_text", "write_bytes", "write_text"),
}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_ASKS = {
    *("get", "post", "put", "patch", "delete", "head", "options", "request"),
    *("stream", "events", "websocket"),
}
Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.stmt


class Text(Struct, frozen=True):
    """A literal; not `exact` where more follows that is not known."""

    text: str
    exact: bool


class Test(Struct):
    """One test and what it reaches.

    Args:
        id: As pytest calls it: `tests/orders/test_place.py::test_it`.
        files: The files of tests that it is made of.
        modules: Files of the application that it imports.
        texts: Its literals.
        words: Every name and attribute in it.
        unsure: Why its text does not say what it needs; empty where it does.
    """

    __test__ = False

    id: str
    files: set[Path] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    texts: set[Text] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    unsure: str = ""

    @property
    def boots(self) -> bool:
        """Whether it starts an application."""
        return not self.words.isdisjoint({"boot", "asgi", "TestApplication"})


class _Module(Struct):
    path: Path
    body: list[ast.stmt]
    defined: dict[str, Definition] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)  # name → module, its name
    always: list[ast.stmt] = field(default_factory=list)


class Suite:
    """All tests in some folders.

    Args:
        root: The application's folder.
        top: The folder that ids of tests begin at, and modules of tests are named from.
        folders: Where the tests are.
    """

    def __init__(self, root: Path, top: Path, folders: Sequence[Path]) -> None:
        self._bases = (top, root)
        self._top = top
        self._folders = [folder.resolve() for folder in folders]
        self._modules: dict[Path, _Module | None] = {}

    def tests(self) -> Iterator[Test]:
        """Yield every test, file by file."""
        paths = {path for folder in self._folders for path in folder.rglob("*.py")}
        for path in sorted(paths):
            if path.name.startswith("test_") or path.name.endswith("_test.py"):
                yield from self._of(path)

    def _of(self, path: Path) -> Iterator[Test]:
        name = path.relative_to(self._top).as_posix()
        module = self._module(path)
        if module is None:
            yield Test(name, {path}, unsure="it cannot be parsed")
            return
        for word, node in module.defined.items():
            if _is_test(word, node):
                test = Test(f"{name}::{word}")
                self._reach(test, module, word, set())
                yield test
        for word in module.imported:
            if word.startswith("test_") or (word.startswith("Test") and word != "TestApplication"):
                yield Test(f"{name}::{word}", {path}, unsure="it is defined elsewhere")

    def _reach(self, test: Test, module: _Module, name: str, seen: set[tuple[Path, str]]) -> None:
        """Add what a name of a module is made of; an empty name stands for all of it."""
        if (module.path, name) in seen:
            return
        seen.add((module.path, name))
        if module.path not in test.files:
            test.files.add(module.path)
            if "*" in module.imported:
                test.unsure = test.unsure or "it imports by *"
            for fixtures in self._conftests(module.path):
                test.files.add(fixtures.path)
                self._read(test, fixtures, fixtures.always, seen)
            self._read(test, module, module.always, seen)
        nodes = list(module.defined.values()) if not name else [module.defined[name]]
        self._read(test, module, nodes, seen)

    def _read(
        self,
        test: Test,
        module: _Module,
        nodes: Sequence[ast.AST],
        seen: set[tuple[Path, str]],
    ) -> None:
        used: set[str] = set()
        for node in nodes:
            used |= _look(test, node)
        for word in sorted(used):
            if word in module.defined:
                self._reach(test, module, word, seen)
            elif word in module.imported:
                self._follow(test, *module.imported[word], seen)
            else:
                for fixtures in self._conftests(module.path):
                    if word in fixtures.defined:
                        self._reach(test, fixtures, word, seen)

    def _follow(self, test: Test, dotted: str, name: str, seen: set[tuple[Path, str]]) -> None:
        if dotted.partition(".")[0] in TOPS:
            test.modules |= module_files(f"{dotted}.{name}".rstrip("."))
            return
        for base in (*self._bases, *self._folders):
            for word, inner in ((dotted, name), (f"{dotted}.{name}", "")):
                path = base.joinpath(*word.split("."))
                for file in (path.with_suffix(".py"), path / "__init__.py"):
                    other = self._module(file) if self._is_ours(file) else None
                    if other is not None and (not inner or inner in other.defined):
                        self._reach(test, other, inner, seen)
                        return
                    if other is not None and inner in other.imported:
                        self._follow(test, *other.imported[inner], seen)
                        return

    def _is_ours(self, file: Path) -> bool:
        return file.is_file() and any(file.is_relative_to(folder) for folder in self._folders)

    def _conftests(self, path: Path) -> list[_Module]:
        found = (folder / "conftest.py" for folder in path.parents if folder >= self._top)
        modules = (self._module(file) for file in found if file.is_file() and file != path)
        return [module for module in modules if module is not None]

    def _module(self, path: Path) -> _Module | None:
        if path not in self._modules:
            try:
                module = _Module(path, ast.parse(path.read_bytes()).body)
                _sort(module, module.body)
            except (SyntaxError, ValueError, OSError):
                module = None
            self._modules[path] = module
        return self._modules[path]


def _is_test(name: str, node: Definition) -> bool:
    if isinstance(node, ast.ClassDef):
        return name.startswith("Test") or any("TestCase" in ast.dump(one) for one in node.bases)
    return isinstance(node, _FUNCTIONS) and name.startswith("test")


def _sort(module: _Module, body: Sequence[ast.stmt]) -> None:
    """Tell a module's definitions from its imports, and from what runs with every import."""
    for node in body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                module.imported[alias.asname or alias.name.partition(".")[0]] = (alias.name, "")
        elif isinstance(node, ast.ImportFrom):
            stem = node.module or ""
            if node.level:
                package = module.path.parts[1 : -node.level]
                stem = ".".join((*package, stem)).rstrip(".")
            for alias in node.names:
                module.imported[alias.asname or alias.name] = (stem, alias.name)
        elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            module.defined[node.name] = node
            if any("autouse" in ast.dump(mark) for mark in node.decorator_list):
                module.always.append(node)
        elif isinstance(node, ast.Assign) and all(isinstance(t, ast.Name) for t in node.targets):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    module.defined[target.id] = node
                    if target.id.startswith("pytest"):
                        module.always.append(node)
        else:
            module.always.append(node)


def _look(test: Test, node: ast.AST) -> set[str]:
    """Add a node's literals and words to a test; return the names that it uses."""
    used: set[str] = set()
    parts: set[int] = set()  # of texts that are put together; walked after what they are part of
    for inner in ast.walk(node):
        match inner:
            case ast.Constant() if id(inner) in parts:
                pass
            case ast.Name(id=word):
                used.add(word)
            case ast.arg(arg=word):
                used.add(word)
            case ast.Attribute(attr=word):
                test.words.add(word)
            case ast.Constant(value=str() as text):
                test.texts.add(Text(text, exact=True))
                used.add(text)  # a fixture may be asked for by its name
            case ast.JoinedStr() | ast.BinOp():
                parts |= {id(part) for part in _begun(test, inner)}
            case ast.Call(func=ast.Attribute() as asked, args=[first, *_]):
                _dynamic(test, asked, first)
            case ast.ImportFrom() | ast.Import():  # in a function
                test.words |= {alias.name.rpartition(".")[2] for alias in inner.names}
                if getattr(inner, "module", None) or isinstance(inner, ast.Import):
                    test.unsure = test.unsure or "it imports inside a function"
            case _:
                pass
    test.words |= used
    whole = sorted(test.words & _WHOLE)
    if whole:
        test.unsure = test.unsure or f"it looks at the whole application: {whole[0]}"
    return used


def _begun(test: Test, node: ast.JoinedStr | ast.BinOp) -> list[ast.expr]:
    """Add how a text begins that is put together; of one that begins with a value, its rest.
    Returns its parts."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node.left, node.right]
    for index, part in enumerate(parts):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            if index == 0:
                test.texts.add(Text(part.value, exact=False))
            elif index == 1 and "/" in part.value and not isinstance(parts[0], ast.Constant):
                test.unsure = test.unsure or "it puts addresses together"
    return parts


def _dynamic(test: Test, asked: ast.Attribute, first: ast.expr) -> None:
    """Note a call or a request whose name is no literal."""
    is_http = isinstance(asked.value, ast.Attribute) and asked.value.attr == "http"
    if not (asked.attr == "call" or (is_http and asked.attr in _ASKS)):
        return
    begins = first
    if isinstance(begins, ast.JoinedStr) and begins.values:
        begins = begins.values[0]
    while isinstance(begins, ast.BinOp):
        begins = begins.left
    if not (isinstance(begins, ast.Constant) and isinstance(begins.value, str)):
        test.unsure = test.unsure or "what it asks for is not written down"

"""A package's modules and what they would become: features, helpers of a domain, or `lib/`.

A domain to be is what stands directly in the package: a folder, or a module. A function under a
decorator that lets work in (a route, a task, a command) is a feature; a module without one is a
helper, and one that several domains import, and that imports none, belongs in `lib/`. Called by
`cli/adopt.py`.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct

from ringfence.errors import Invalid, NotFound
from ringfence.kernel.source import absolute

Kind = Literal["feature", "helper", "lib", "unread"]
# Decorators that let work in, of the frameworks that people come from.
_ROUTES = {"get", "post", "put", "patch", "delete", "head", "options", "route", "api_route"}
_ROUTES |= {"websocket", "api_view"}
_TASKS = {"task", "shared_task", "periodic_task", "command", "receiver", "listens_for"}
_TABLE = re.compile(r"\bCREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?[\"`]?(\w+)", re.IGNORECASE)


class Move(Struct, frozen=True):
    """One module, and what it would become.

    Args:
        file: It, below the folder that the package is in.
        kind: What it would be.
        to: Where, in an application.
        ways_in: Of a feature, what lets work in, with its line: `post /orders:12`.
        tables: That its text declares.
        why: Of what cannot be read.
    """

    file: str
    kind: Kind
    to: str
    ways_in: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    why: str = ""


class Crossing(Struct, frozen=True, order=True):
    """An import across the border of a domain to be, which would become a service or an event."""

    file: str
    line: int
    source: str
    target: str
    name: str

    @property
    def key(self) -> str:
        """What stays the same when lines move."""
        return f"{self.file} imports {self.name}"


class Survey(Struct, frozen=True):
    """All modules of a package, and every import between its domains to be."""

    package: str
    moves: tuple[Move, ...]
    crossings: tuple[Crossing, ...]

    @property
    def domains(self) -> list[str]:
        """The domains to be."""
        found = {move.to.split("/")[1] for move in self.moves if move.to.startswith("domains/")}
        return sorted(found)


class _Module(Struct, frozen=True):
    file: str
    name: str
    domain: str
    stem: str
    imports: tuple[tuple[str, int], ...] = ()
    ways_in: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    error: str = ""


def survey_of(package: Path) -> Survey:
    """Read a package.

    Raises:
        NotFound: There is no folder with modules.
        Invalid: It is a Ringfence application already.
    """
    if not package.is_dir() or not any(package.rglob("*.py")):
        said = "there are no modules; expected a folder with .py files in it."
        raise NotFound(said, subject=str(package), hint="Name the folder of your package.")
    if (package / "domains").is_dir():
        said = "it has a folder domains/; expected a package that is no application yet."
        raise Invalid(said, subject=str(package), hint="Use `ringfence check`.")
    top = package.resolve()
    modules = {module.name: module for module in _modules(top)}
    crossings = tuple(sorted(_crossings(modules)))
    shared = _shared(modules, crossings)
    moves = tuple(_move(module, module.domain in shared) for module in modules.values())
    kept = (c for c in crossings if c.target not in shared)
    return Survey(top.name, moves, tuple(kept))


def _modules(top: Path) -> Iterator[_Module]:
    for path in sorted(top.rglob("*.py")):
        inside = path.relative_to(top)
        hidden = any(
            part.startswith(".") or part in ("tests", "__pycache__") for part in inside.parts
        )
        if hidden or path.name.startswith("test_"):
            continue
        words = [top.name, *inside.with_suffix("").parts]
        stem = "_".join(words[2:]) or words[1]
        domain = words[1] if words[1] != "__init__" else ""
        name = ".".join(words).removesuffix(".__init__")
        file = path.relative_to(top.parent).as_posix()
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, OSError, RecursionError) as error:
            yield _Module(file, name, domain, stem, error=f"{type(error).__name__}: {error}")
            continue
        if path.name == "__init__.py" and all(isinstance(node, ast.Expr) for node in tree.body):
            continue  # it says nothing
        whole = name if path.name == "__init__.py" else name.rpartition(".")[0]
        found = tuple(sorted(set(_imports(tree, whole, top.name))))
        yield _Module(
            file, name, domain, stem, found, tuple(_ways_in(tree)), tuple(sorted(_tables(tree)))
        )


def _imports(tree: ast.AST, package: str, top: str) -> Iterator[tuple[str, int]]:
    """Yield what is imported of the package, by its full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            stem = absolute("." * node.level + (node.module or ""), package)
            names = [f"{stem}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((name, node.lineno) for name in names if name.startswith(f"{top}."))


def _ways_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for mark in node.decorator_list:
            called = mark.func if isinstance(mark, ast.Call) else mark
            word = getattr(called, "attr", getattr(called, "id", ""))
            if word in _ROUTES or word in _TASKS:
                first = mark.args[0] if isinstance(mark, ast.Call) and mark.args else None
                path = first.value if isinstance(first, ast.Constant) else None
                yield f"{word} {path if isinstance(path, str) else node.name}:{node.lineno}"


def _tables(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id="__tablename__")], value=ast.Constant(value=name)):
                yield str(name)
            case ast.Constant(value=str() as text):
                yield from _TABLE.findall(text)
            case ast.ClassDef(bases=bases) if any(ast.unparse(b) == "models.Model" for b in bases):
                yield node.name.lower()
            case _:
                pass


def _crossings(modules: Mapping[str, _Module]) -> Iterator[Crossing]:
    domains = {module.domain for module in modules.values()}
    for module in modules.values():
        for name, line in module.imports:
            target = name.split(".")[1]
            if module.domain and target in domains and target != module.domain:
                yield Crossing(module.file, line, module.domain, target, name)


def _shared(modules: Mapping[str, _Module], crossings: tuple[Crossing, ...]) -> set[str]:
    """Return what several use, and what itself uses nobody, lets no work in and has no tables."""
    users: dict[str, set[str]] = {}
    for crossing in crossings:
        users.setdefault(crossing.target, set()).add(crossing.source)
    leaning = {crossing.source for crossing in crossings}
    working = {m.domain for m in modules.values() if m.ways_in or m.tables or m.error}
    return {name for name, by in users.items() if len(by) > 1} - leaning - working


def _move(module: _Module, shared: bool) -> Move:
    if module.error:
        return Move(module.file, "unread", "", why=module.error)
    if shared or not module.domain:
        kind: Kind = "lib"
        to = f"lib/{module.stem.strip('_')}.py"
    else:
        kind = "feature" if module.ways_in else "helper"
        mark = "" if module.ways_in else "_"
        to = f"domains/{module.domain}/{mark}{module.stem.strip('_')}.py"
    return Move(module.file, kind, to, module.ways_in, module.tables)

"""One parsed file, as the rules see it: its nodes by kind, their parents, and what names mean.

`Code` is made by one walk over the tree, which all rules share. `dotted` says what an expression
names, through whatever imports have called it: `sleep` after `from time import sleep` is
`time.sleep`, and a builtin that nothing shadows is `builtins.open`. Used by the files of `rules/`.
"""

import ast
import builtins
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import TypeVar

N = TypeVar("N", bound=ast.AST)
Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.Lambda)
_BUILTINS = frozenset(dir(builtins))
_NAMED: tuple[type[Function | ast.ClassDef], ...] = (*FUNCTIONS, ast.ClassDef)
_LEAVES = frozenset({ast.Load, ast.Store, ast.Del})


class Code:
    """One file.

    Args:
        file: From the application's folder: `domains/orders/place_order.py`.
        tree: Of it.
    """

    def __init__(self, file: str, tree: ast.Module) -> None:
        self.file = file
        self.tree = tree
        parts = file.removesuffix(".py").split("/")
        self.area = parts[0]
        self.module = ".".join(parts)
        self.domain = parts[1] if self.area == "domains" else ""
        self._nodes: dict[type[ast.AST], list[ast.AST]] = defaultdict(list)
        self.parents: dict[ast.AST, ast.AST] = {}
        self._walk()
        self._bound: dict[ast.AST, frozenset[str]] = {}

    def _walk(self) -> None:
        stack: list[ast.AST] = [self.tree]
        nodes, parents = self._nodes, self.parents
        while stack:
            node = stack.pop()
            nodes[type(node)].append(node)
            for name in node._fields:
                value = getattr(node, name, None)
                if isinstance(value, list):
                    for one in value:
                        if isinstance(one, ast.AST):
                            parents[one] = node
                            stack.append(one)
                elif isinstance(value, ast.AST) and type(value) not in _LEAVES:
                    parents[value] = node
                    stack.append(value)

    def all(self, *kinds: type[N]) -> Iterator[N]:
        """Yield every node of these kinds, in no order."""
        for kind in kinds:
            yield from self._nodes.get(kind, ())  # type: ignore[misc]

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield what a node stands in, the nearest first."""
        while (parent := self.parents.get(node)) is not None:
            yield parent
            node = parent

    def scope(self, node: ast.AST) -> ast.AST | None:
        """Return the function or lambda whose body a node is run with."""
        child = node
        for parent in self.above(node):
            if isinstance(parent, ast.Lambda) or (
                isinstance(parent, FUNCTIONS) and child in parent.body
            ):
                return parent
            child = parent
        return None

    @cached_property
    def imports(self) -> list[tuple[str, str, ast.stmt]]:
        """Each imported name: what it is called here, what it is, and where."""
        found: list[tuple[str, str, ast.stmt]] = []
        for plain in self.all(ast.Import):
            found += ((a.asname or _top(a.name), a.name, plain) for a in plain.names)
        for node in self.all(ast.ImportFrom):
            stem = "." * node.level + (node.module or "")
            dot = "" if stem.endswith(".") else "."
            found += ((a.asname or a.name, f"{stem}{dot}{a.name}", node) for a in node.names)
        return found

    @cached_property
    def _aliases(self) -> dict[str, str]:
        return {
            called: whole if isinstance(node, ast.ImportFrom) or called != _top(whole) else called
            for called, whole, node in self.imports
        }

    @cached_property
    def _module_names(self) -> frozenset[str]:
        return self._names_in(self.tree)

    def _names_in(self, scope: ast.AST) -> frozenset[str]:
        """The names that a module or a function binds itself, but for imports."""
        known = self._bound.get(scope)
        if known is not None:
            return known
        names: set[str] = set()
        if isinstance(scope, SCOPES):
            names |= {one.arg for one in arguments(scope)}
        body = getattr(scope, "body", [])
        stack: list[ast.AST] = list(body) if isinstance(body, list) else [body]
        while stack:
            node = stack.pop()
            if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                names.add(node.name)
            elif isinstance(node, ast.Name):
                if isinstance(node.ctx, ast.Store):
                    names.add(node.id)
            elif not isinstance(node, ast.Lambda):
                stack.extend(ast.iter_child_nodes(node))
        self._bound[scope] = frozenset(names)
        return self._bound[scope]

    @cached_property
    def _rebound(self) -> frozenset[str]:
        """The names that are bound anywhere in the file: all others mean what they mean at its
        top, which saves looking for their scope."""
        args = {one.arg for one in self.all(ast.arg)}
        defined = {one.name for kind in _NAMED for one in self.all(kind)}
        stored = {one.id for one in self.all(ast.Name) if isinstance(one.ctx, ast.Store)}
        return frozenset(args | defined | stored)

    def _is_local(self, node: ast.Name) -> bool:
        """Whether a function around it binds the name to something else."""
        if node.id not in self._rebound:
            return False
        scope = self.scope(node)
        while scope is not None:
            if node.id in self._names_in(scope):
                return True
            scope = self.scope(scope)
        return False

    @cached_property
    def references(self) -> dict[ast.AST, str]:
        """Every expression that names something of another module, or a builtin: what it names."""
        found: dict[ast.AST, str] = {}
        for base in self.all(ast.Name):
            called = self._aliases.get(base.id)
            if called is None and base.id in _BUILTINS and base.id not in self._module_names:
                called = f"builtins.{base.id}"
            if called is None or self._is_local(base):
                continue
            found[base] = called
            node: ast.AST = base
            while isinstance(parent := self.parents.get(node), ast.Attribute):
                called = f"{called}.{parent.attr}"
                found[parent] = called
                node = parent
        return found

    def dotted(self, node: ast.AST) -> str:
        """Return what an expression names: `asyncio.create_task`; empty where that is not known."""
        return self.references.get(node, "")

    @cached_property
    def calls(self) -> list[tuple[str, ast.Call]]:
        """Every call of something of another module, or of a builtin: what is called."""
        known = self.references
        return [(known[c.func], c) for c in self.all(ast.Call) if c.func in known]

    @cached_property
    def plugins(self) -> list[ast.ClassDef]:
        """The classes that derive from `Plugin` alone, so that all of it stands here."""
        found: list[ast.ClassDef] = []
        for node in self.all(ast.ClassDef):
            bases = [self.dotted(base) for base in node.bases]
            if bases in (["ringfence.Plugin"], ["ringfence.author.Plugin"]) and not node.keywords:
                found.append(node)
        return found

    def fields(self, plugin: ast.ClassDef) -> dict[str, ast.AnnAssign]:
        """Return a plugin's annotated fields, by name."""
        return {
            item.target.id: item
            for item in plugin.body
            if isinstance(item, ast.AnnAssign)
            and isinstance(item.target, ast.Name)
            and not {"typing.ClassVar", "ClassVar"} & self.kinds(item.annotation)
        }

    def kinds(self, annotation: ast.AST | None) -> set[str]:
        """Return what an annotation names, each of its parts: `{"ringfence.tools.db.Database"}`."""
        if annotation is None:
            return set()
        found: set[str] = set()
        if isinstance(annotation, ast.Name):  # which most of them are
            return {name} if (name := self.dotted(annotation)) else found
        for node in ast.walk(annotation):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= self._quoted(node.value)
            elif isinstance(node, ast.Attribute | ast.Name) and (name := self.dotted(node)):
                found.add(name)
        return found

    def _quoted(self, text: str) -> set[str]:
        words = text.replace("|", " ").replace("[", " ").replace("]", " ").split()
        return {self._aliases.get(word, word) for word in words}

    def owner(self, node: ast.AST) -> tuple[ast.ClassDef, Function] | None:
        """Return the plugin and the method that a node stands in."""
        method: Function | None = None
        for parent in self.above(node) if self.plugins else ():
            if isinstance(parent, FUNCTIONS):
                method = parent
            elif isinstance(parent, ast.ClassDef):
                return (parent, method) if method is not None and parent in self.plugins else None
        return None

    @cached_property
    def uses(self) -> list[tuple[ast.ClassDef, Function, ast.Name]]:
        """Every place where a plugin's method names its object."""
        called = {self_name(method) for plugin in self.plugins for method in methods(plugin)}
        named = [node for node in self.all(ast.Name) if node.id in called]
        owned = [(owner, node) for node in named if (owner := self.owner(node)) is not None]
        return [(*owner, node) for owner, node in owned if node.id == self_name(owner[1])]


def _top(name: str) -> str:
    return name.partition(".")[0]


def arguments(scope: Function | ast.Lambda) -> list[ast.arg]:
    """Return every parameter of a function."""
    args = scope.args
    several = [*args.posonlyargs, *args.args, *args.kwonlyargs]
    return [*several, *(one for one in (args.vararg, args.kwarg) if one is not None)]


def self_name(method: Function) -> str:
    """Return what a method calls its object; empty where it has none."""
    if any(isinstance(d, ast.Name) and d.id in _UNBOUND for d in method.decorator_list):
        return ""
    first = [*method.args.posonlyargs, *method.args.args][:1]
    return first[0].arg if first else ""


_UNBOUND = ("staticmethod", "classmethod")


def methods(plugin: ast.ClassDef) -> list[Function]:
    """Return the functions in a class's body."""
    return [item for item in plugin.body if isinstance(item, FUNCTIONS)]


def field_of(node: ast.AST, called: str) -> str:
    """Return `x` of `self.x`, where `called` is what `self` is called; else nothing."""
    if (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == called
    ):
        return node.attr
    return ""


def text_of(node: ast.AST | None) -> str | None:
    """Return the text that an expression is, where it stands there."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return None

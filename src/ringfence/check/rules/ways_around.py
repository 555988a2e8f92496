"""RF518: what leads around the import guard."""

import ast
from collections.abc import Iterator

from ringfence.check.code import Code, text_of
from ringfence.check.rule import Hit, Rule

_NAMES = frozenset(
    {
        *("sys.modules", "sys._getframe", "sys._current_frames", "sys.meta_path", "sys.path_hooks"),
        *("sys.path_importer_cache", "sys.path", "sys.settrace", "sys.setprofile"),
        *("inspect.currentframe", "inspect.stack", "inspect.getouterframes"),
        *("inspect.getinnerframes", "traceback.walk_stack", "unittest.mock.patch"),
        *("gc.get_objects", "gc.get_referrers", "gc.get_referents"),
        *("importlib.reload", "importlib.util.module_from_spec", "importlib.util.spec_from_loader"),
        *("importlib.util.spec_from_file_location", "importlib.machinery.SourceFileLoader"),
        *("importlib.machinery.SourcelessFileLoader", "importlib.machinery.PathFinder"),
        *("importlib.machinery.FileFinder", "zipimport.zipimporter"),
        *("pkgutil.resolve_name", "pkgutil.get_loader", "pkgutil.walk_packages"),
        "pkgutil.iter_modules",
    }
)
_MODULES = frozenset({"runpy", "ctypes", "imp", "_imp", "_frozen_importlib", "_ctypes"})
_WITHIN = ("importlib._bootstrap", "importlib._bootstrap_external")
# Attributes that lead from a value to code, frames or modules that are not its own.
_ATTRIBUTES = frozenset(
    {
        *("__globals__", "__builtins__", "__closure__", "__code__", "__loader__"),
        *("f_globals", "f_locals", "f_back", "f_builtins", "tb_frame"),
        *("gi_frame", "cr_frame", "ag_frame", "gi_code", "cr_code"),
    }
)
_OF_MODULES = frozenset({"__loader__", "__spec__", "__builtins__"})
_FIX = "ask for what is needed by a field: a tool, or a Protocol under @requires"


def _look(code: Code) -> Iterator[Hit]:
    for _, whole, node in code.imports:
        inside = whole.partition(".")[0] in _MODULES or whole.startswith(_WITHIN)
        if inside or whole in _NAMES - {"sys.path"}:
            yield _hit(node.lineno, whole)
    for attribute in code.all(ast.Attribute):
        name = code.dotted(attribute)
        if name == "sys.path" and not _is_changed(code, attribute):
            continue
        if name in _NAMES:
            yield _hit(attribute.lineno, name)
        elif attribute.attr in _ATTRIBUTES:
            yield _hit(attribute.lineno, attribute.attr)
        elif attribute.attr == "__subclasses__" and not _is_own(code, attribute.value):
            yield _hit(attribute.lineno, "__subclasses__ of a class of others")
        elif not isinstance(attribute.ctx, ast.Load) and name in _GUARDED:
            yield _hit(attribute.lineno, f"another {name.removeprefix('builtins.')}")
    for named in code.all(ast.Name):
        if named.id in _OF_MODULES:
            yield _hit(named.lineno, named.id)
    for called, call in code.calls:
        yield from _by_text(code, called, call)


_GUARDED = ("builtins.__import__", "importlib.import_module", "importlib.__import__")


def _by_text(code: Code, called: str, call: ast.Call) -> Iterator[Hit]:
    """Find the same where a name is given as a text."""
    if called in ("builtins.getattr", "operator.attrgetter", "builtins.setattr"):
        for arg in call.args:
            for word in (text_of(arg) or "").split("."):
                if word in _ATTRIBUTES or word in ("__subclasses__", "_getframe"):
                    yield _hit(call.lineno, word)
                elif word == "modules" and code.dotted(call.args[0]) == "sys":
                    yield _hit(call.lineno, "sys.modules")
    elif called == "builtins.vars" and call.args:
        of = code.dotted(call.args[0])
        if of in ("sys", "builtins", "gc", "importlib"):
            yield _hit(call.lineno, f"the inside of {of}")


def _is_changed(code: Code, node: ast.AST) -> bool:
    return isinstance(code.parents.get(node), ast.Attribute | ast.AugAssign | ast.Assign)


def _is_own(code: Code, node: ast.expr) -> bool:
    """Whether it is a class of this file, which only this domain derives from."""
    return (
        isinstance(node, ast.Name) and any(one.name == node.id for one in code.all(ast.ClassDef))
    ) or (isinstance(node, ast.Name) and node.id == "cls")


def _hit(line: int, what: str) -> Hit:
    return Hit(line, f"{what} leads to other features' code, around the import guard", _FIX)


RULE = Rule(
    id="RF518",
    title="Code reaches for modules, frames or objects around the import guard.",
    why="In one process everything can be reached by who wants to. What the guard cannot see is "
    "found here where it is written down; docs/isolation.md lists what neither of them stops.",
    bad="""\
import sys


def stock() -> object:
    return next(m for name, m in sys.modules.items() if name.endswith("inventory.stock"))
""",
    good="""\
from typing import Protocol

from ringfence import Plugin, requires, service


@requires("inventory.level")
class LevelOf(Protocol):
    async def __call__(self) -> int: ...


class Ask(Plugin):
    level: LevelOf

    @service("orders.ask")
    async def ask(self) -> int:
        return await self.level()
""",
    look=_look,
)

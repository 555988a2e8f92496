"""The import guard: who may import what, and under which name it is found.

Modules of an application live in a `Territory`: `domains.orders.place_order` is loaded as
`shop@1.domains.orders.place_order`, so that two applications, or two versions of one, live side by
side. While an application runs, `builtins.__import__` and `importlib.import_module` are replaced by
versions that decide by the file name in the importing code object, which no assigned name changes;
`__name__` says only which of several loads of that file it is. Code from `exec` or `compile` has
whatever file name it is given: this stops accidents and shortcuts, and is no sandbox.
"""

import builtins
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Mapping, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path

from msgspec import Struct

from ringfence.kernel.source import TOPS, Library, absolute


class ForbiddenImport(ImportError):
    """A module reached for another feature's code."""


class Territory(Struct, eq=False):
    """One loaded application: the prefix of its module names."""

    root: Path
    prefix: str  # `shop@1`
    library: Library
    offers: Mapping[str, Sequence[str]]  # domain → its services, for the error's next step


class Resident(Struct, frozen=True):
    """A module of an application: `domains.orders.place_order`."""

    territory: Territory
    module: str


class Objection(Struct, frozen=True):
    """Why an import is refused, and what to do instead."""

    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.message}; {self.fix}"


def objection(importer: str, target: str, offers: Mapping[str, Sequence[str]]) -> Objection | None:
    """Say why module `importer` may not import `target`; None if it may.

    Args:
        importer: The importing module, `domains.orders.place_order`.
        target: What it asks for, absolute: `domains.inventory.stock`.
        offers: The services of each domain, to name what to use instead.
    """
    mine, theirs = importer.split("."), target.split(".")
    if theirs[0] not in TOPS:
        return None
    if mine[0] == "lib" and theirs[0] != "lib":
        return Objection(
            f"lib/ is shared and pure, and may not import {target}",
            "let whoever calls it give it what it needs",
        )
    if theirs[0] != "domains":
        return None
    if mine[0] != "domains":
        return Objection(
            f"{mine[0]}/ may not import a domain ({target})",
            "let the domain use the tool, or move what they share to lib/",
        )
    return _between_domains(mine, theirs, offers)


def _between_domains(
    mine: Sequence[str], theirs: Sequence[str], offers: Mapping[str, Sequence[str]]
) -> Objection | None:
    target = ".".join(theirs)
    if len(theirs) < 2:  # all domains are reached through it
        return Objection(
            f"domain {mine[1]} may not import `domains` as a whole", "import the helper itself"
        )
    if mine[1] != theirs[1]:
        names = ", ".join(offers.get(theirs[1], ()))
        return Objection(
            f"domain {mine[1]} may not import domain {theirs[1]} ({target})",
            f"declare @requires on one of its services ({names})"
            if names
            else f"let a feature of {theirs[1]} provide a service, and declare @requires on it",
        )
    if len(theirs) > 2 and not theirs[2].startswith("_") and [theirs[2]] != mine[2:3]:
        return Objection(
            f"a feature may not import another feature ({target})",
            f"move what they share to domains/{mine[1]}/_{theirs[2]}.py, or call its service",
        )
    return None


class _Loader(SourceFileLoader):
    """Runs a resident's checked code under its territory's name."""

    def __init__(self, fullname: str, path: str, library: Library) -> None:
        super().__init__(fullname, path)
        self.library = library

    def get_code(self, fullname: str) -> types.CodeType:
        return self.library.code(Path(self.path))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of every loaded territory, and guards what they import."""

    def __init__(self) -> None:
        self.territories: dict[str, Territory] = {}  # by prefix
        self.residents: dict[str, dict[str, Resident]] = {}  # by path, as code has it, and prefix
        self.import_statement = builtins.__import__
        self.import_module = importlib.import_module
        self.replaced = (
            (builtins, "__import__", builtins.__import__, self.guarded_import),
            (importlib, "__import__", importlib.__import__, self.guarded_import),
            (importlib, "import_module", importlib.import_module, self.guarded_import_module),
        )

    def replace(self) -> None:
        """Put the guard into the place of the functions that import."""
        for module, name, _, ours in self.replaced:
            setattr(module, name, ours)

    def restore(self) -> None:
        """Undo `replace`, but for what somebody else has replaced since."""
        for module, name, plain, ours in self.replaced:
            if getattr(module, name) is ours:
                setattr(module, name, plain)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        prefix, _, name = fullname.partition(".")
        territory = self.territories.get(prefix)
        if territory is None:
            return None
        place = territory.root.joinpath(*name.split("."))
        of_domain = name.startswith("domains") and name.count(".") < 2
        file = place / "__init__.py"
        is_package = not of_domain and file.is_file()  # a domain's own __init__ is never run
        if not is_package:
            file = place.with_suffix(".py")
        if is_package or ("." in name and file.is_file()):
            module = f"{name}.__init__" if is_package else name
            self.residents.setdefault(str(file), {})[prefix] = Resident(territory, module)
            loader = _Loader(fullname, str(file), territory.library)
            below = [str(place)] if is_package else None
            return importlib.util.spec_from_file_location(
                fullname, file, loader=loader, submodule_search_locations=below
            )
        if not place.is_dir():
            return None
        spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = [str(place)]
        return spec

    def asker(self, frame: types.FrameType) -> tuple[Resident | None, bool]:
        """Return whose code runs in `frame`, and whether it was loaded as a resident.

        Of several loads of a file its module's name picks; it may also be loaded plainly, as by a
        unit test.
        """
        owners = self.residents.get(frame.f_code.co_filename)
        if not owners:
            return None, False
        prefix = str(frame.f_globals.get("__name__")).partition(".")[0]
        return owners.get(prefix) or next(iter(owners.values())), prefix in owners

    def without_prefix(self, name: str) -> str:
        """Return a module's name as its application writes it, of whichever generation it is."""
        prefix, dot, rest = name.partition(".")
        return rest if dot and prefix in self.territories else name

    def guarded_import(  # the signature of builtins.__import__
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> types.ModuleType:
        frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
        importer, at_home = self.asker(frame)
        if importer is not None:
            name = self.without_prefix(name)
        if importer is None or (level == 0 and name.partition(".")[0] not in TOPS):
            return self.import_statement(name, globals, locals, fromlist or (), level)
        target = absolute("." * level + name, importer.module.rpartition(".")[0])
        for leaf in fromlist or ("",):
            _refuse(importer, f"{target}.{leaf}".rstrip("."), frame.f_lineno)
        if target.startswith(".") or not at_home:
            return self.import_statement(name, globals, locals, fromlist or (), level)
        prefix = importer.territory.prefix
        if fromlist:
            return self.import_statement(f"{prefix}.{target}", globals, locals, fromlist, 0)
        module = self.import_module(f"{prefix}.{target}")
        return sys.modules[f"{prefix}.{target.partition('.')[0]}"] if "." in name else module

    def guarded_import_module(self, name: str, package: str | None = None) -> types.ModuleType:
        frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
        importer, at_home = self.asker(frame)
        if importer is None:
            return self.import_module(name, package)
        inside = self.without_prefix(package or "") or importer.module.rpartition(".")[0]
        target = absolute(self.without_prefix(name), inside)
        _refuse(importer, target, frame.f_lineno)
        if at_home and target.partition(".")[0] in TOPS:
            return self.import_module(f"{importer.territory.prefix}.{target}")
        return self.import_module(name, package)


def _refuse(importer: Resident, target: str, line: int) -> None:
    reason = objection(importer.module, target, importer.territory.offers)
    if reason is not None:
        raise ForbiddenImport(f"{importer.module.replace('.', '/')}.py:{line}: {reason}")


def install(territory: Territory) -> None:
    """Let a territory's modules be found, and guard what they import."""
    finder = _installed()
    if finder is None:
        finder = _Finder()
        sys.meta_path.insert(0, finder)
        finder.replace()
    finder.territories[territory.prefix] = territory


def remove(territory: Territory) -> None:
    """Forget a territory and its modules; with the last one, the guard goes as well."""
    finder = _installed()
    if finder is None:
        return
    finder.territories.pop(territory.prefix, None)
    for file, owners in list(finder.residents.items()):
        owners.pop(territory.prefix, None)
        if not owners:
            del finder.residents[file]
    for name in [n for n in sys.modules if n.partition(".")[0] == territory.prefix]:
        del sys.modules[name]
    if not finder.territories:
        sys.meta_path.remove(finder)
        finder.restore()


def _installed() -> _Finder | None:
    return next((f for f in sys.meta_path if isinstance(f, _Finder)), None)

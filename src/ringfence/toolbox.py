"""Which tools and drivers an application can use, and what is wrong with those that it cannot.

A tool is built in, or of a package that announces it (entry point group `ringfence.tools`) and that
`ringfence.toml` names, or a folder of the application's `tools/`. A driver is a module of its
tool's `drivers/`, or is announced as `<tool>.<driver>` (group `ringfence.drivers`), or lies in the
application's `tools/<tool>/drivers/`. Invariant: no name means two things, and nothing is loaded of
a package that the configuration does not name. Called by `app.py`.
"""

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

from msgspec import Struct

from ringfence import config as configuration
from ringfence.config import Config
from ringfence.errors import BootError, Finding, StartRefused, did_you_mean
from ringfence.kernel import loader
from ringfence.kernel.context import text_of
from ringfence.kernel.manifest import PluginFacts, ToolNeed
from ringfence.kernel.ports import Driver, ToolEnv, ToolSpec

BROKEN = "RF120"  # a folder of `tools/` that is no tool
UNKNOWN = "RF121"  # a plugin uses a tool that is not known, or another one of that name


class Broken(Struct, frozen=True):
    """Why something is no tool, or no driver, and what to do."""

    message: str
    fix: str


class Tools:
    """The tools of one application.

    Args:
        config: Its configuration.
        built_in: The names of those that come with Ringfence.
    """

    def __init__(self, config: Config, built_in: Sequence[str]) -> None:
        self.config = config
        self.known: dict[str, ToolSpec] = {}
        self.request_values: dict[type, tuple[str, str]] = {}
        self._tried: dict[str, object] = {}  # module → it, or what its import failed with
        self._broken: dict[str, Broken] = {}  # tools of packages
        self._prefix = ""  # of the application's own modules, once they can be imported
        for name in built_in:
            self._take(importlib.import_module(f"ringfence.tools.{name}").SPEC)
        for name in sorted({table.tool for table in config.tools.values()} - set(built_in)):
            self._learn_packaged(name)

    def _learn_packaged(self, name: str) -> None:
        points = tuple(entry_points(group="ringfence.tools", name=name))
        if len(points) > 1:
            places = " and ".join(map(_announcement, points))
            self._broken[name] = Broken(f"{name} is announced by {places}", "uninstall one")
        for point in points if len(points) == 1 else ():
            wrong = self._learn(name, point.module)
            if wrong is not None:
                said = f"{_announcement(point)} is no tool: {wrong.message}"
                self._broken[name] = Broken(said, wrong.fix)

    def own(self, prefix: str) -> list[Finding]:
        """Learn of the application's own tools, importing each; return what is wrong with them.

        Args:
            prefix: Of the names of its modules: `shop@1`.
        """
        self._prefix = prefix
        found: list[Finding] = []
        for path in sorted((self.config.root / "tools").glob("[a-z]*/__init__.py")):
            name = path.parent.name
            file = path.relative_to(self.config.root).as_posix()
            module = f"{prefix}.tools.{name}"
            if name in self.known:
                what = "there is another one of that name"
                fix = "rename it; a folder of drivers for that one has no __init__.py"
                wrong: Broken | None = Broken(what, fix)
            else:
                wrong = self._learn(name, module)
            if wrong is not None:
                line, _ = loader.failed(self._tried.get(module), file, 0)
                found.append(
                    Finding(file, line, BROKEN, f"tool {name}: {wrong.message}", wrong.fix)
                )
        return found

    def _learn(self, name: str, package: str) -> Broken | None:
        """Take a tool as its package announces it, or say what is wrong with it."""
        module = self._imported(package)
        if not isinstance(module, ModuleType):
            return Broken(f"its import {self._failure(module)}", "mend it")
        spec = getattr(module, "SPEC", None)
        wrong = _wrong_spec(name, package, spec)
        if wrong is None:
            self._take(spec)
        return wrong

    def _take(self, spec: object) -> None:
        assert isinstance(spec, ToolSpec)
        self.known[spec.name] = spec
        for kind, operation in spec.request_values.items():
            self.request_values[kind] = (spec.name, operation)

    def _imported(self, module: str) -> object:
        """Import a module, once, within the deadline of imports; return it, or why it cannot be."""
        if module not in self._tried:
            load = partial(importlib.import_module, module)
            limit = self.config.kernel.import_timeout
            (self._tried[module],) = loader.run_each([load], limit)
        return self._tried[module]

    def _failure(self, error: object) -> str:
        return self._shown(loader.failed(error, "", self.config.kernel.import_timeout)[1])

    def _shown(self, text: str) -> str:
        """Name the application's modules as it writes them, of whichever generation they are."""
        return text.replace(f"{self._prefix}.", "") if self._prefix else text

    def unmet(self, plugin: PluginFacts) -> Iterator[Finding]:
        """Yield what is wrong with the tools that a plugin asks for, or declares something for."""
        for need in plugin.needs:
            if isinstance(need, ToolNeed):
                where = f"{plugin.id}: field {need.field!r}"
                spec = self.known.get(need.tool)
                if spec is None:
                    yield self._unknown(plugin, where, need.tool)
                elif not _is_of(need.contract, spec):
                    there = self._shown(f"{need.contract.__module__}.{need.contract.__qualname__}")
                    said = f"{where} asks for {there}; expected a contract of {spec.package}"
                    fix = f"import it from {spec.package}, or give the other tool another name"
                    yield Finding(plugin.file, plugin.line, UNKNOWN, said, fix)
        for declared in (d for offer in plugin.offers for d in offer.declared):
            tool = declared.declaration.tool
            if tool and tool not in self.known:
                where = f"{plugin.id}: @{declared.declaration.kind} on {declared.method}"
                yield self._unknown(plugin, where, tool)

    def _unknown(self, plugin: PluginFacts, where: str, tool: str) -> Finding:
        said = f"{where} is for the tool {tool}, which is not known here"
        fix = f"write [tools.{tool}] into ringfence.toml, if it is of an installed package"
        if (self.config.root / "tools" / tool).is_dir():
            fix = f"mend tools/{tool}/"
        return Finding(plugin.file, plugin.line, UNKNOWN, said, fix)

    def instance_for(self, tool: str, field: str) -> str:
        """Of several instances of a tool the field's name picks one; else the tool's own name."""
        named = self.config.tools.get(field)
        own = (named is not None and named.tool == tool) or self.known[tool].named
        return field if own else tool

    def missing(self, tool: str, field: str) -> StartRefused | None:
        """Refuse a field that names an instance which is not configured, where it must be."""
        spec, table = self.known[tool], self.config.tools.get(field)
        if not spec.named or (table is not None and table.tool == tool):
            return None
        what = f"it is of the tool {table.tool}" if table is not None else "there is no such table"
        needed = "" if field == tool else f' with `tool = "{tool}"` in it'
        fix = f"write [tools.{field}]{needed}; or rename the field to the link that is meant"
        said = f"a feature has the field `{field}: {spec.contract.__name__}`, and {what}"
        return configuration.refused(self.config, field, said, fix)

    def driver(self, instance: str, env: ToolEnv) -> Driver:
        """Make the driver that the configuration chooses for an instance; raises StartRefused."""
        made, options = self.chosen(instance)
        try:
            return made(options, env)
        except BootError:
            raise
        except Exception as error:  # a driver's constructor is its author's code
            said = f"its driver could not be made: {type(error).__name__}: {text_of(error)}"
            raise configuration.refused(self.config, instance, said) from error

    def chosen(
        self, instance: str, *, serving: bool = False
    ) -> tuple[Callable[[Struct, ToolEnv], Driver], Struct]:
        """Return the driver's class and its options; raises StartRefused with all that is wrong.

        Args:
            instance: Of a tool.
            serving: Whether plugins declare what its driver has to serve.
        """
        table = self.config.tool(instance)
        spec = self.known.get(table.tool)
        if spec is None:
            raise self._no_tool(instance, table.tool)
        name = table.driver or spec.default_driver
        places = self._places(spec, name)
        if not places:
            raise self._no_driver(instance, spec, name)
        if len(places) > 1:
            said = f"driver {name!r} is there more than once: {self._shown(', '.join(places))}"
            raise configuration.refused(self.config, instance, said, "rename or remove one")
        module = self._imported(places[0])
        wrong = self._wrong_driver(places[0], module, serving)
        if wrong is not None:
            said = f"driver {name!r} {wrong.message}"
            raise configuration.refused(self.config, instance, said, wrong.fix)
        made = getattr(module, "Driver")
        return made, configuration.tool_options(table, made.Config)

    def _places(self, spec: ToolSpec, name: str) -> list[str]:
        """Return the modules that are a tool's driver of that name."""
        places = [f"{spec.package}.drivers.{name}"] if name in _modules(_folders(spec)) else []
        if name != spec.default_driver or not places:  # who is content with it pays for no look
            places += [p.module for p in self._announced if p.name == f"{spec.name}.{name}"]
        if name in _modules(self._own_drivers(spec)):
            places.append(f"{self._prefix}.tools.{spec.name}.drivers.{name}")
        return places

    @cached_property
    def _announced(self) -> Sequence[EntryPoint]:
        return tuple(entry_points(group="ringfence.drivers"))

    def _own_drivers(self, spec: ToolSpec) -> list[Path]:
        """Return the application's folder of drivers for a tool that is not its own."""
        others = self._prefix and not spec.package.startswith(f"{self._prefix}.")
        return [self.config.root / "tools" / spec.name / "drivers"] if others else []

    def _wrong_driver(self, place: str, module: object, serving: bool) -> Broken | None:
        """Say what keeps a module from being a driver."""
        shown = self._shown(place)
        if isinstance(module, ModuleNotFoundError) and not f"{place}.".startswith(
            f"{module.name}."
        ):
            return Broken(f"needs {module.name}, which is not installed", f"install {module.name}")
        if not isinstance(module, ModuleType):
            return Broken(f"cannot be imported: {shown} {self._failure(module)}", "mend it")
        made = getattr(module, "Driver", None)
        if not isinstance(made, type):
            return Broken(f"has no class Driver in {shown}", "write it, with Config and handle")
        options = getattr(made, "Config", None)
        if not (isinstance(options, type) and issubclass(options, Struct)):
            fix = "write `Config: ClassVar[type[Struct]] = Config`; its fields are the keys here"
            return Broken(f"has no Config in {shown}.Driver; expected a Struct", fix)
        hooks = ("start", "stop", "handle", *(("bind", "open", "close") if serving else ()))
        missing = [hook for hook in hooks if not callable(getattr(made, hook, None))]
        if missing:
            return Broken(f"has no {', '.join(missing)} in {shown}.Driver", "write what is missing")
        return None

    def _no_tool(self, instance: str, tool: str) -> StartRefused:
        broken = self._broken.get(tool)
        if broken is not None:
            return configuration.refused(self.config, instance, broken.message, broken.fix)
        known = sorted(self.known)
        said = f"no tool is called {tool!r}; expected one of {', '.join(known)}"
        if (self.config.root / "tools" / tool).is_dir():
            fix = f"mend tools/{tool}/"
        else:
            fix = did_you_mean(tool, known).lstrip("; ") or f"install it, or write tools/{tool}/"
        return configuration.refused(self.config, instance, said, fix)

    def _no_driver(self, instance: str, spec: ToolSpec, name: str) -> StartRefused:
        tool = f"{spec.name}."
        known = _modules([*_folders(spec), *self._own_drivers(spec)])
        known |= {p.name.removeprefix(tool) for p in self._announced if p.name.startswith(tool)}
        listed = ", ".join(sorted(known)) or f"a module in {self._shown(spec.package)}.drivers"
        said = f"tool {spec.name} has no driver {name!r}; expected one of {listed}"
        hint = did_you_mean(name, sorted(known)).lstrip("; ")
        return configuration.refused(self.config, instance, said, hint)


def _wrong_spec(name: str, package: str, spec: object) -> Broken | None:
    if not isinstance(spec, ToolSpec):
        got = "none" if spec is None else type(spec).__name__
        said = f"it announces nothing; expected SPEC to be a ToolSpec, got {got}"
        return Broken(said, 'write SPEC = ToolSpec("…", Contract, __name__, "driver")')
    if spec.name != name:
        said = f"its SPEC says name={spec.name!r}; expected {name!r}"
        return Broken(said, "let the folder, or the entry point, and the tool have one name")
    if spec.package != package:
        said = f"its SPEC says package={spec.package!r}; expected the package that it is in"
        return Broken(said, "write package=__name__")
    marked = vars(spec.contract).get("__ringfence_tool__")
    if marked != name and (marked or _has_methods(spec.contract)):
        got = f"@contract({marked!r})" if marked else "no @contract"
        said = f"its contract {spec.contract.__qualname__} has {got}; expected @contract({name!r})"
        return Broken(said, "write it above the class, so that fields of that type are given it")
    return None


def _has_methods(contract: type) -> bool:
    """Whether plugins hold a handle on the tool; what is all decorators has none to mark."""
    return any(callable(v) for n, v in vars(contract).items() if not n.startswith("_"))


def _is_of(contract: type, spec: ToolSpec) -> bool:
    return contract is spec.contract or contract.__module__.startswith(f"{spec.package}.")


def _folders(spec: ToolSpec) -> list[Path]:
    paths = getattr(sys.modules[spec.package], "__path__", ())
    return [Path(path) / "drivers" for path in paths]


def _modules(folders: Iterable[Path]) -> set[str]:
    found = iter_modules([str(folder) for folder in folders])
    return {module.name for module in found if not module.name.startswith("_")}


def _announcement(point: EntryPoint) -> str:
    return f"{point.value} (of {point.dist.name})" if point.dist else point.value

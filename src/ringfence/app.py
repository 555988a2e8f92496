"""The one place that wires: configuration, drivers and kernel become a running application.

`boot` starts one, `check` only looks. Used by `cli`, `serve.py`, `testing` and whoever embeds an
application; the kernel decides in what order things happen, this module which.
"""

import asyncio
import gc
from collections import deque
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from ringfence import config as configuration
from ringfence import reading
from ringfence.config import Config, KernelLimits
from ringfence.contracts import views as contracts
from ringfence.contracts.deliveries import to_json
from ringfence.contracts.payload import forget_descriptions
from ringfence.deliveries import Deliveries
from ringfence.errors import Finding, NotFound, Overloaded, StartRefused
from ringfence.keeping import Keeping
from ringfence.kernel import boot as kernel
from ringfence.kernel import loader
from ringfence.kernel.bind import within
from ringfence.kernel.call import Gate, Opener, opener
from ringfence.kernel.context import Budget, Context, Inbound, Principal
from ringfence.kernel.fused import fused_named, fused_view
from ringfence.kernel.manifest import Manifest, SettingsNeed, ToolNeed
from ringfence.kernel.owned import scope_tasks
from ringfence.kernel.ports import (
    Clock,
    DeliveryStore,
    Driver,
    Grant,
    Health,
    Ingress,
    TimerStore,
    ToolEnv,
    ToolSpec,
)
from ringfence.kernel.publisher import Publisher
from ringfence.kernel.registry import Registry
from ringfence.kernel.source import Library as SourceLibrary
from ringfence.kernel.views import View
from ringfence.library import Library
from ringfence.observer import Observer, trouble_of
from ringfence.plain import arguments, plain_named, plain_view, refuse_unknown
from ringfence.redaction import Redactor
from ringfence.report import Cause, EndedTraces, Span, Status, Trace
from ringfence.settings import Settings
from ringfence.threads.pool import Pool
from ringfence.threads.waiting import wait
from ringfence.toolbox import Tools
from ringfence.tools.db.maintenance import Maintained, Maintenance
from ringfence.tools.db.migrations import RULES as MIGRATION_RULES
from ringfence.tools.db.migrations import unclaimed

BUILT_IN = ("clock", "db", "events", "fetch", "files", "http", "log")
GRACE_S = 5.0  # what the steps of a stop take beside their deadlines
BUDGETS = ("default", "call", "control", "events")  # beside one for each tool that lets work in
ALWAYS = ("log", "http")  # beside the clock: an application can be looked at and says what it does


class Wires:
    """What the kernel's boot asks for, answered from one application's configuration."""

    def __init__(self, config: Config, *, strict: bool = False, state: Path | None = None) -> None:
        self.config = config
        self.redact = config.redactor
        self.name = config.name
        self.root = config.root
        self.library: SourceLibrary = Library(config.root)
        self.reader: kernel.Reader = reading
        self.strict = strict
        self.limits = _limits(config.kernel, config.events.keep)
        self.tools = Tools(config, BUILT_IN)
        self.keeping = Keeping(self.tools)
        self.request_values: Mapping[type, tuple[str, str]] = self.tools.request_values
        self.state = state or config.root / ".ringfence"
        self.running: kernel.Running | None = None
        self.made: Mapping[str, Driver] = {}
        self.stopping = False
        # The clock comes first: every other driver is given it.
        self.clock_driver = self.tools.driver("clock", self._env("clock", cast(Clock, None)))
        grant = Grant(plugin="kernel", domain="", instance="clock")
        self.clock = cast(Clock, self.clock_driver.handle(grant))
        fused = config.kernel.call_path == "fused"
        self.gate = Gate(
            clock=self.clock,
            registry=Registry(),
            budget=config.budget("default"),
            spans=deque(maxlen=config.kernel.spans),
            contracts=contracts,
            threads=Pool(config.kernel.threads),
            enter=wait,
            make_call=fused_named if fused else plain_named,
            make_view=fused_view if fused else plain_view,
        )
        self.publisher = Publisher(self.clock, self.gate.spans, to_json)

    def specs(self) -> Sequence[ToolSpec]:
        return list(self.tools.known.values())

    def own_tools(self, prefix: str) -> list[Finding]:
        return self.tools.own(prefix)

    def configure(self, manifest: Manifest) -> kernel.Configured:
        """Resolve what the configuration decides, collecting everything that is wrong with it."""
        needs = [need for plugin in manifest.plugins for need in plugin.needs]
        classes = {_settings(n.settings) for n in needs if isinstance(n, SettingsNeed)}
        fields: dict[str, set[str]] = {}
        for cls in classes:
            fields.setdefault(cls.__section__, set()).update(cls.__struct_encode_fields__)
        serving = {d.declaration.tool for d in manifest.declared} & self.tools.known.keys()
        wanted = {(need.tool, need.field) for need in needs if isinstance(need, ToolNeed)}
        instances = {
            (tool, field): self.tools.instance_for(tool, field)
            for tool, field in wanted | {(tool, tool) for tool in serving}
            if tool in self.tools.known
        }
        instances |= self.keeping.wanted(manifest)
        read = {*self.config.settings} if manifest.quarantined else {*fields}
        wrong = configuration.unread(self.config, read, {*BUDGETS, *self.tools.known})
        wrong += (one for plugin in manifest.plugins for one in self.tools.unmet(plugin))
        wrong += self.keeping.misplaced(manifest)
        # What a migration prevents ends with the exit code of what the configuration prevents.
        wrong += [f for f in manifest.ambiguous if f.rule in MIGRATION_RULES]
        domains = self._env("db", self.clock).domains
        wrong += unclaimed(domains, self.root, {"db", *self.config.tools})
        settings: dict[type, Struct] = {}
        for cls in classes:
            try:
                settings[cls] = configuration.section(self.config, cls, fields[cls.__section__])
            except StartRefused as error:
                wrong += error.findings
        absent = {named: self.tools.missing(*named) for named in instances}
        wrong += [f for error in absent.values() if error is not None for f in error.findings]
        unmade = {field for (_, field), error in absent.items() if error is not None}
        for instance in sorted({*instances.values(), *self.config.tools, *ALWAYS} - unmade):
            try:
                self.tools.chosen(instance, serving=instance in serving)
            except StartRefused as error:
                wrong += error.findings
        return kernel.Configured(settings, instances, sorted(set(wrong)))

    def instances(self, wanted: Sequence[str]) -> Mapping[str, Driver]:
        """Make the clock, the log, what plugins ask for, and last what lets work in."""
        names = ["log", *(n for n in wanted if n not in ("clock", *ALWAYS)), "http"]
        made = {name: self.tools.driver(name, self._env(name, self.clock)) for name in names}
        self.made = {"clock": self.clock_driver, **made}
        return self.made

    def timers(self) -> TimerStore:
        """Return where the clock's timers are stored; raises StartRefused."""
        return self.keeping.timers(self.made)

    def events(self) -> DeliveryStore | None:
        """Return where events are kept, if the application has any; raises StartRefused."""
        return self.keeping.events(self.made)

    def _store(self) -> DeliveryStore:
        store = self.events()
        assert store is not None  # only what seals events asks
        return store

    def databases(self) -> dict[str, Maintenance]:
        """Return what can be maintained, by instance.

        Raises:
            StartRefused: One of them is configured wrongly.
        """
        made = {name: self.tools.driver(name, self._env(name, self.clock)) for name in self._dbs()}
        return {n: d.maintenance() for n, d in made.items() if isinstance(d, Maintained)}

    def unkept(self, kept: Mapping[str, Maintenance]) -> list[str]:
        """List the databases that are not among those that can be maintained."""
        return [name for name in self._dbs() if name not in kept]

    def _dbs(self) -> list[str]:
        return sorted({"db", *(n for n, t in self.config.tools.items() if t.tool == "db")})

    def budget(self, ingress: str) -> Budget:
        return self.config.budget(ingress)

    def health(self) -> Health:
        """Return the state of the whole application, with the reasons for whoever may know."""
        if self.running is None:
            return Health("starting")
        lost = [self.redact(q.finding.message) for q in self.running.lost.values()]
        lost += self._contained(self.running)
        dead = [f"tool {s.instance} is dead" for s in self.running.states.values() if s.refusal]
        dead += [
            f"tool {name}: {self.redact(said)}"
            for name, driver in self.running.drivers.items()
            if (said := trouble_of(driver))
        ]
        if self.stopping:
            return Health("stopping", (*lost, *dead))
        return Health("degraded" if lost or dead else "ready", (*lost, *dead))

    def _contained(self, running: kernel.Running) -> list[str]:
        """Say what was left out of the application without a plugin being lost: a bad name."""
        files = {gone.file for gone in running.lost.values()}
        found = running.manifest.findings
        return [f"{f.file}: {self.redact(f.message)}" for f in found if f.file not in files]

    def _env(self, instance: str, clock: Clock) -> ToolEnv:
        domains = self.root / "domains"
        seals = self.keeping.seals(instance)
        return ToolEnv(
            app=self.name,
            instance=instance,
            root=self.root,
            state=self.state,
            clock=clock,
            domains={p.name: p for p in sorted(domains.iterdir()) if p.is_dir()},
            health=self.health,
            timers=self.timers,
            seal=self.publisher.seal if seals else None,
            events=self._store if seals else None,
            redact=self.redact,
            owns=self._owns,
        )

    def _owns(self, ctx: Context) -> bool:
        return ctx.origin.caller is self.gate


def _settings(cls: type[Struct]) -> type[Settings]:
    assert issubclass(cls, Settings)
    return cls


def _limits(chosen: KernelLimits, keep: float) -> kernel.Limits:
    return kernel.Limits(
        import_timeout=chosen.import_timeout,
        start_timeout=chosen.start_timeout,
        stop_timeout=chosen.stop_timeout,
        drain_timeout=chosen.drain_timeout,
        plugin_threads=chosen.plugin_threads,
        plugin_concurrency=chosen.plugin_concurrency,
        keep=keep,
    )


class Application:
    """A running application, seen from outside its features."""

    def __init__(self, wires: Wires, running: kernel.Running) -> None:
        self._wires = wires
        self._running = running
        self._observer = Observer(wires, running)
        self._redact = wires.redact
        self._manifest = _shown(running.manifest, wires.redact)
        self._deliveries: Deliveries | None = None
        if running.dispatcher is not None and running.store is not None:
            self._deliveries = Deliveries(
                running.manifest,
                wires.publisher,
                running.dispatcher,
                running.store,
                wires.redact,
                wires.clock,
            )
        self._ways_in: dict[str, tuple[View, Opener]] = {}

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    @property
    def findings(self) -> Sequence[Finding]:
        """What is wrong with it, contained for now: quarantined plugins and their reasons."""
        lost = (q.finding for q in self._running.lost.values())
        return sorted({*self.manifest.findings, *map(self._redact.finding, lost)})

    @property
    def spans(self) -> Sequence[Span]:
        """The contexts that have ended, oldest first, as many as are kept."""
        return self._observer.spans

    @property
    def has_events(self) -> bool:
        return self._deliveries is not None

    @property
    def deliveries(self) -> Deliveries:
        """Its events, for whoever operates it; raises NotFound where it has none."""
        if self._deliveries is None:
            said = "it declares no event and no subscription."
            raise NotFound(said, subject=f"events of {self._wires.name}")
        return self._deliveries

    @property
    def health(self) -> Health:
        """The state of the whole application, with its reasons."""
        return self._wires.health()

    def driver(self, instance: str) -> Driver:
        """Return the driver behind a tool's instance; raises KeyError where there is none."""
        return self._running.drivers[instance]

    async def call(
        self,
        name: str,
        payload: Mapping[str, object],
        principal: Principal | None = None,
        origin: str = "call",
        *,
        trace: int | None = None,
    ) -> object:
        """Call a service from outside, in a new root context; return what the provider returned.

        Args:
            name: The service.
            payload: Its parameters by name.
            principal: Who asks; None where nobody is known.
            origin: What lets it in: its budget, and how the trace begins.
            trace: The id of its trace, where that has to be known before; by default a new one.

        Raises:
            NoSuchService: No plugin provides `name`.
            Invalid: The payload does not fit; `faults` lists every fault.
            Overloaded: The application is stopping, or has stopped.
            RingfenceError: Whatever the call ended with, its trace id set.
        """
        if self._wires.stopping:
            raise Overloaded("the application is stopping; nothing new is started.", subject=name)
        gate = self._wires.gate
        entry = gate.registry.get(name)
        if entry.declared is None and entry.refusal is not None:
            raise entry.refusal()
        known = self._ways_in.get(name)
        if known is None:
            budget = within(self._wires.budget(origin), entry.budget)
            known = contracts.bind_named(entry), opener(gate, entry, budget, f"{origin} {name}")
            self._ways_in[name] = known
        view, way_in = known
        refuse_unknown(view, entry, payload)
        tenant = principal.tenant if principal else None
        inbound = None if trace is None else Inbound(trace=trace)
        return await way_in(arguments(view, payload), principal, tenant, inbound)

    def trace(self, wanted: str) -> list[Span]:
        """Return the spans of a trace, by its id, a span's id, or the unambiguous start of one.

        Raises:
            NotFound: No trace that is kept has that id, or more than one begins so.
        """
        return self._observer.trace(wanted)

    def traces(self, limit: int, failed: bool) -> Sequence[Trace]:
        """Return the traces that ended last, oldest first; `failed`: in which something failed."""
        return self._observer.traces(limit, failed)

    def follow(self, failed: bool) -> AsyncGenerator[EndedTraces, None]:
        """Yield traces as they end; `failed`: only those in which something failed."""
        return self._observer.follow(failed)

    async def why(self, wanted: str) -> Sequence[Cause]:
        """Return what caused an id (of a trace, span, event or delivery) and what it caused.

        Raises:
            NotFound: Nothing that is kept has that id, or more than one trace has.
        """
        return await self._observer.why(wanted, self._running.store)

    def status(self) -> Status:
        """Return the state of the application, of every plugin and of every tool."""
        return self._observer.status()

    @property
    def addresses(self) -> Sequence[str]:
        """Where it can be reached."""
        return tuple(getattr(self._running.drivers.get("http"), "addresses", ()))

    @property
    def stop_limit_s(self) -> float:
        """Seconds after which a stop is given up: the deadlines of all its steps together."""
        limits, drivers = self._wires.limits, self._running.drivers.values()
        drains = sum(isinstance(driver, Ingress) for driver in drivers)
        drains += self._deliveries is not None
        steps = 1 + len(drivers)  # all plugins at once, then tool by tool
        return drains * limits.drain_timeout + steps * limits.stop_timeout + GRACE_S

    async def stop(self) -> None:
        """Drain and stop: ingress first, tools last, each step within its deadline."""
        self._wires.stopping = True
        await self._running.stop()
        self._observer.keep()


async def boot(config: Config, *, strict: bool = False, state: Path | None = None) -> Application:
    """Start an application on the running event loop.

    Raises:
        BootError: It does not start; `findings` lists everything that is wrong with it.
        StartRefused: Configuration, a port or a migration prevents the start.
    """
    with config.redactor.errors():
        wires = Wires(config, strict=strict, state=state)
        scope_tasks(asyncio.get_running_loop())
        with _no_collection():
            wires.running = await kernel.start(wires)
        forget_descriptions()
        return Application(wires, wires.running)


def _shown(manifest: Manifest, redact: Redactor) -> Manifest:
    """Mask the secrets in what a manifest says of features that failed."""
    lost = [replace(q, finding=redact.finding(q.finding)) for q in manifest.quarantined]
    findings = sorted(map(redact.finding, manifest.findings))
    return replace(manifest, quarantined=lost, findings=findings)


@contextmanager
def _no_collection() -> Generator[None]:
    """Pause the garbage collector: a start makes much that stays, and next to nothing that goes."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def check(root: Path, *, keep: bool = True) -> list[Finding]:
    """List everything that is wrong with an application, importing it but starting nothing.

    Args:
        root: Its folder.
        keep: Whether what was read of its files is kept for the next start.

    Raises:
        StartRefused: There is no application at `root`, or its configuration is wrong.
    """
    with survey(root, keep=keep) as (_, findings):
        return findings


@contextmanager
def survey(root: Path, *, keep: bool = True) -> Generator[tuple[Manifest, list[Finding]]]:
    """Give what an application declares, whose types can be asked until the end of the block, and
    all that is wrong with it; args and errors as for `check`."""
    config = load(root, {})
    with config.redactor.errors(), ExitStack() as undo:
        wires = Wires(config)
        if not keep:
            wires.library = Unkept(config.root)
        sources = reading.read_sources(wires.root, wires.library)
        modules = kernel.import_modules(sources, wires, undo)
        manifest = kernel.declare(modules, wires)
        found = {*kernel.findings(manifest, wires), *wires.configure(manifest).findings}
        with suppress(StartRefused):  # what is configured wrongly is among them
            for database in wires.databases().values():
                found.update(database.findings())
        yield _shown(manifest, config.redactor), sorted(map(config.redactor.finding, found))


def declared(root: Path) -> Manifest:
    """Return what an application declares, importing it but starting nothing.

    Raises:
        StartRefused: There is no application at `root`, or its configuration is wrong.
    """
    with survey(root) as (manifest, _):
        return manifest


class Unkept(Library):
    """The sources of an application that is to be left as it is found."""

    def keep(self) -> None:
        """Write nothing."""


def maintenance(root: Path, undo: ExitStack) -> dict[str, Maintenance]:
    """Return the databases of an application for its operator; nothing of it is started.

    Args:
        root: Its folder.
        undo: Closed when they are not used any more: an application may bring its own drivers.

    Raises:
        StartRefused: There is no application at `root`, or its configuration is wrong.
    """
    wires = Wires(load(root, {}))
    if (wires.root / "tools").is_dir():
        no_features = loader.Sources(wires.root, {}, [], [], {}, {}, [])
        limit = wires.limits.import_timeout
        loaded = loader.import_features(wires.name, no_features, wires.library, limit, undo)
        wires.own_tools(loaded.prefix)
    databases = wires.databases()
    for name in wires.unkept(databases):
        said = "its driver offers no maintenance: no migrations, backup or restore by command"
        raise configuration.refused(wires.config, name, said, "use the tools of that database")
    return databases


def load(root: Path, overrides: Mapping[str, object]) -> Config:
    """Read the configuration of the application in the folder `root`."""
    if not (root / "domains").is_dir():
        what = "has no domains/ folder" if root.is_dir() else "is no folder"
        raise StartRefused(
            f"{root}: it {what}; expected an application: a folder with domains/<domain>/"
            "<feature>.py in it."
        )
    return configuration.load(root, overrides=overrides)

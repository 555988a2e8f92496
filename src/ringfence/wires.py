"""What the kernel's boot asks for, answered from the configuration of one application.

`Wires` is the kernel's `Wiring`: it knows which driver stands for which tool, and what each plugin
is given. Nothing in it starts or stops anything. Made by `app.py` for each look at an application.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from msgspec import Struct

from ringfence import config as configuration
from ringfence import reading
from ringfence.config import Config, KernelLimits
from ringfence.contracts import views as contracts
from ringfence.contracts.deliveries import to_json
from ringfence.errors import Finding, StartRefused
from ringfence.keeping import Keeping
from ringfence.kernel import boot as kernel
from ringfence.kernel.call import Gate
from ringfence.kernel.context import Budget, Context
from ringfence.kernel.fused import fused_named, fused_view
from ringfence.kernel.manifest import Manifest, SettingsNeed, ToolNeed
from ringfence.kernel.ports import (
    Clock,
    DeliveryStore,
    Driver,
    Grant,
    Health,
    TimerStore,
    ToolEnv,
    ToolSpec,
)
from ringfence.kernel.publisher import Publisher
from ringfence.kernel.registry import Registry
from ringfence.kernel.source import Library as SourceLibrary
from ringfence.library import Library
from ringfence.observer import trouble_of
from ringfence.plain import plain_named, plain_view
from ringfence.settings import Settings
from ringfence.threads.pool import Pool
from ringfence.threads.waiting import wait
from ringfence.toolbox import Tools
from ringfence.tools.db.maintenance import Maintained, Maintenance
from ringfence.tools.db.migrations import RULES as MIGRATION_RULES
from ringfence.tools.db.migrations import unclaimed

BUILT_IN = ("clock", "db", "events", "fetch", "files", "http", "log")
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

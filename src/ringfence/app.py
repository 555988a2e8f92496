"""The one place that wires: configuration, drivers and kernel become a running application.

`boot` starts one, `check` only looks. Used by `cli`, `serve.py`, `testing` and whoever embeds an
application; the kernel decides in what order things happen, `wires.py` which.
"""

import asyncio
import gc
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from msgspec.structs import replace

from ringfence import config as configuration
from ringfence import reading
from ringfence.config import Config
from ringfence.contracts import views as contracts
from ringfence.contracts.payload import forget_descriptions
from ringfence.deliveries import Deliveries
from ringfence.errors import Finding, NotFound, Overloaded, StartRefused
from ringfence.kernel import boot as kernel
from ringfence.kernel import loader
from ringfence.kernel.bind import within
from ringfence.kernel.call import Opener, opener
from ringfence.kernel.context import Inbound, Principal
from ringfence.kernel.manifest import Manifest
from ringfence.kernel.owned import scope_tasks
from ringfence.kernel.ports import (
    Driver,
    Health,
    Ingress,
)
from ringfence.kernel.views import View
from ringfence.library import Library
from ringfence.observer import Observer
from ringfence.plain import arguments, refuse_unknown
from ringfence.redaction import Redactor
from ringfence.report import Cause, EndedTraces, Span, Status, Trace
from ringfence.tools.db.maintenance import Maintenance
from ringfence.wires import BUILT_IN as BUILT_IN
from ringfence.wires import Wires

GRACE_S = 5.0  # what the steps of a stop take beside their deadlines


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

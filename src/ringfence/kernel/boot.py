"""READ FIRST: how an application starts and stops, a line a step.

Each step takes what the step before it made, so no step can run too early. What can be contained
is contained: a plugin that fails to load, to be built or to start is quarantined with its reason
and the rest serves. What is ambiguous refuses the start, with every finding. Every step has a
deadline, and whatever it did is undone in reverse order. `app.py` hands in the `Wiring`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Protocol

from msgspec import Struct, field

from ringfence.errors import BootError, Finding, StartRefused, ToolUnavailable
from ringfence.kernel import loader, source
from ringfence.kernel.bind import (
    Seat,
    endpoints,
    lanes,
    put_absent,
    quarantine_refusal,
    seat,
    service_field,
)
from ringfence.kernel.call import Gate
from ringfence.kernel.context import Budget, text_of
from ringfence.kernel.events import STOP_S, Dispatcher
from ringfence.kernel.hooks import LEFT_BEHIND_S, run_hook, within
from ringfence.kernel.lane import mark
from ringfence.kernel.manifest import (
    Manifest,
    PluginFacts,
    Quarantined,
    ServiceNeed,
    SettingsNeed,
    ToolNeed,
)
from ringfence.kernel.middleware import FILLED, Scope, compose
from ringfence.kernel.ports import (
    DeliveryStore,
    Driver,
    Facts,
    Grant,
    Ingress,
    StaticName,
    ToolSpec,
)
from ringfence.kernel.proxy import ToolState, handle
from ringfence.kernel.topics import On

_log = logging.getLogger("ringfence.kernel")


async def start(app: "Wiring") -> "Running":
    """Bring an application up, or raise BootError with everything that is wrong with it."""
    async with AsyncExitStack() as undo:
        sources = app.reader.read_sources(app.root, app.library)  # what its files say, running none
        modules = import_modules(sources, app, undo)  # under the guard
        manifest = declare(modules, app)  # what every plugin needs and offers
        verified = check(manifest, app)  # all findings at once, or none
        equipped = await start_tools(verified, app, undo)  # what is down starts as dead
        built = build_plugins(equipped, app)  # fields filled in, constructors called
        subscribed = await subscribe(built, app, undo)  # what is published is kept from now on
        running = await start_plugins(subscribed, app, undo)  # providers before their consumers
        deliver(running, app, undo)  # events that have been kept come in
        await open_ingress(running, app, undo)  # last of all, work comes in
        running.undo.push_async_callback(undo.pop_all().aclose)
        return running
    raise AssertionError("unreachable: the block above returns or raises")


class Limits(Struct, frozen=True):
    """The deadlines and sizes that a boot keeps to, in seconds and counts."""

    import_timeout: float
    start_timeout: float
    stop_timeout: float
    drain_timeout: float
    plugin_threads: int
    plugin_concurrency: int
    keep: float  # for which events are kept once all of them is delivered


class Reader(Protocol):
    """What is known of an application before it starts, read by whoever wires. A module will do."""

    def read_sources(self, root: Path, library: source.Library) -> loader.Sources:
        """Find the features of every domain, and read their files without running anything."""
        ...

    def read_plugin(
        self,
        module: ModuleType,
        feature: loader.Feature,
        lines: Mapping[str, int],
        request_types: frozenset[type],
    ) -> tuple[PluginFacts | None, list[Finding]]:
        """Read the one plugin that a feature's module declares, and all that is wrong with it."""
        ...

    def verify(self, manifest: Manifest, request_tools: Mapping[type, str]) -> list[Finding]:
        """List what refuses the start: names and contracts that leave the behaviour to luck."""
        ...


class Wiring(Protocol):
    """What `app.py` decides: the configuration, and which driver stands for which tool."""

    name: str
    root: Path
    library: source.Library
    reader: Reader
    strict: bool
    limits: Limits
    gate: Gate
    request_values: Mapping[type, tuple[str, str]]  # parameter type → tool and its operation

    def specs(self) -> Sequence[ToolSpec]:
        """The tools that are known."""
        ...

    def own_tools(self, prefix: str) -> list[Finding]:
        """Learn of the application's own tools, whose modules' names begin so; return what is
        wrong with them."""
        ...

    def configure(self, manifest: Manifest) -> "Configured":
        """Resolve every field that the configuration decides, collecting all that is wrong."""
        ...

    def instances(self, wanted: Sequence[str]) -> Mapping[str, Driver]:
        """Make the drivers of the wanted instances, and of those that always run."""
        ...

    def events(self) -> DeliveryStore | None:
        """Where events are kept, among the drivers made; None where the application has none."""
        ...

    def budget(self, ingress: str) -> Budget: ...


class Configured(Struct, frozen=True):
    """What the configuration decides for the plugins of a manifest, and what is wrong with it."""

    settings: Mapping[type, Struct]
    instances: Mapping[tuple[str, str], str]  # tool and field → instance
    findings: Sequence[Finding]


class Verified(Struct, frozen=True):
    """An application in which nothing is ambiguous."""

    manifest: Manifest
    configured: Configured


class Equipped(Verified, frozen=True):
    """Its tools have been started."""

    drivers: Mapping[str, Driver]
    states: Mapping[str, ToolState]
    store: DeliveryStore | None


class Built(Equipped, frozen=True):
    """Its plugins exist; none has been called."""

    seats: Sequence[Seat]
    lost: dict[str, Quarantined]


class Subscribed(Built, frozen=True):
    """What it subscribes to is known to the store of its events; nothing is delivered."""

    dispatcher: Dispatcher | None


class Running(Subscribed, frozen=True, eq=False):
    """Those of its plugins that could have started."""

    undo: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def stop(self) -> None:
        """Undo every step of the start, the last one first, each within its deadline."""
        await self.undo.aclose()


def import_modules(
    sources: loader.Sources, app: Wiring, undo: ExitStack | AsyncExitStack
) -> loader.Modules:
    """Import every readable feature, each within its deadline."""
    limit = app.limits.import_timeout
    return loader.import_features(app.name, sources, app.library, limit, undo)


def declare(modules: loader.Modules, app: Wiring) -> Manifest:
    """Read what the imported classes declare; one that cannot be read is quarantined."""
    quarantined = list(modules.quarantined)
    findings = [*modules.sources.findings, *(q.finding for q in quarantined)]
    findings += app.own_tools(modules.prefix)
    plugins: list[PluginFacts] = []
    filled = frozenset((*app.request_values, *FILLED))
    for feature in modules.sources.features:
        module = modules.by_feature.get(feature.id)
        if module is None:
            continue
        lines = modules.sources.by_feature[feature.id].lines
        facts, wrong = app.reader.read_plugin(module, feature, lines, filled)
        findings += wrong
        if facts is not None and not wrong:
            plugins.append(facts)
        else:
            quarantined.append(modules.sources.lost(feature, wrong[0]))
    manifest = Manifest(app.name, plugins, quarantined, findings, ())
    return _contain(manifest, modules.sources, app)


def _contain(manifest: Manifest, sources: loader.Sources, app: Wiring) -> Manifest:
    """Let the tools check their part; a finding that concerns one plugin quarantines that one."""
    facts = Facts(manifest.declared, sources.domains, sources.root)
    by_file = {plugin.file: plugin for plugin in manifest.plugins}
    contained = dict.fromkeys(manifest.findings)
    ambiguous: list[Finding] = []
    lost = {q.id: q for q in manifest.quarantined}
    for spec in app.specs():
        for finding in spec.check(facts) if spec.check is not None else ():
            plugin = by_file.get(finding.file)
            if plugin is None or finding.rule not in spec.contained:
                ambiguous.append(finding)
            else:
                contained[finding] = None
                lost.setdefault(plugin.id, sources.lost(plugin, finding))
    serving = [plugin for plugin in manifest.plugins if plugin.id not in lost]
    return Manifest(app.name, serving, list(lost.values()), sorted(contained), ambiguous)


def check(manifest: Manifest, app: Wiring) -> Verified:
    """Refuse what is ambiguous or wrongly configured; under `strict`, whatever is wrong."""
    found = findings(manifest, app)
    configured = app.configure(manifest)
    refusing = [f for f in found if app.strict or f not in manifest.findings]
    every = sorted({*found, *configured.findings})
    if configured.findings:
        raise StartRefused(f"{app.name} does not start: {_count(every)}", findings=every)
    if refusing:
        raise BootError(f"{app.name} does not start: {_count(every)}", findings=every)
    return Verified(manifest, configured)


def findings(manifest: Manifest, app: Wiring) -> list[Finding]:
    """List all that is wrong with an application but for its configuration."""
    request_tools = {kind: tool for kind, (tool, _) in app.request_values.items()}
    ambiguous = app.reader.verify(manifest, request_tools)
    return sorted({*manifest.findings, *manifest.ambiguous, *ambiguous})


def _count(found: Sequence[Finding]) -> str:
    return f"{len(found)} finding{'s' if len(found) > 1 else ''}."


async def start_tools(verified: Verified, app: Wiring, undo: AsyncExitStack) -> Equipped:
    """Start every tool that is needed. One whose backend is down refuses its users, no more."""
    undo.push_async_callback(app.gate.threads.stop)
    drivers = app.instances(sorted(set(verified.configured.instances.values())))
    states = {instance: ToolState(instance) for instance in drivers}
    for instance, driver in drivers.items():
        undo.push_async_callback(_contained, driver.stop, instance, app.limits.stop_timeout)
        error = await within(driver.start, instance, app.limits.start_timeout)
        if isinstance(error, StartRefused):
            raise error
        if error is not None:
            _log.error("tool %s did not start: %s", instance, error)
            said = "it did not start, and cannot be used."
            states[instance].refusal = partial(
                ToolUnavailable, said, subject=instance, retry_after_s=30.0
            )
            states[instance].reason = text_of(error)
    return Equipped(verified.manifest, verified.configured, drivers, states, app.events())


async def _contained(work: Callable[[], Awaitable[object]], subject: str, timeout_s: float) -> None:
    error = await within(work, subject, timeout_s)
    if error is not None:
        _log.error("stopping %s has failed: %s", subject, error)


def build_plugins(equipped: Equipped, app: Wiring) -> Built:
    """Fill in every plugin's fields and construct it, each within its deadline."""
    manifest = equipped.manifest
    for finding in manifest.findings:
        _log.warning("%s", finding)  # not earlier: by now the log is there to take it
    limits = app.limits
    lost = {q.id: q for q in manifest.quarantined}
    seats = [
        seat(facts, app.gate, limits.plugin_concurrency, limits.plugin_threads)
        for facts in manifest.start_order()
    ]
    put_absent(manifest, app.gate)
    made = loader.run_each(
        [partial(_constructed, place, equipped, app) for place in seats], limits.start_timeout
    )
    for place, result in zip(seats, made, strict=True):
        if isinstance(result, place.facts.cls):
            place.instance = result
            _set_handlers(place, app, equipped.store)
        else:
            _quarantine(place, "its constructor", result, limits.start_timeout, lost)
    e = equipped
    return Built(manifest, e.configured, e.drivers, e.states, e.store, seats, lost)


def _constructed(place: Seat, equipped: Equipped, app: Wiring) -> object:
    place.fields = _fields(place, equipped, app)  # a driver may fail to give a handle
    return place.facts.cls(**place.fields)


def _fields(place: Seat, equipped: Equipped, app: Wiring) -> dict[str, object]:
    facts = place.facts
    filled: dict[str, object] = {}
    for need in facts.needs:
        match need:
            case ToolNeed():
                instance = equipped.configured.instances[need.tool, need.field]
                grant = Grant(facts.id, facts.domain, instance)
                target = equipped.drivers[instance].handle(grant)
                state = equipped.states[instance]
                filled[need.field] = handle(need.contract, target, state, app.gate, facts.id)
            case SettingsNeed():
                filled[need.field] = equipped.configured.settings[need.settings]
            case ServiceNeed():
                filled[need.field] = service_field(app.gate, need)
    return filled


def _set_handlers(place: Seat, app: Wiring, store: DeliveryStore | None) -> None:
    for offer in place.facts.offers:
        scopes = {
            value.parameter: _scope(place, value.parameter, *app.request_values[value.type])
            for value in offer.request_values
            if value.type in app.request_values
        }
        run = None if offer.is_async else place.run
        kept = any(isinstance(d.declaration, On) for d in offer.declared)
        marked = None if store is None or not kept else partial(mark, store)
        handler = compose(offer, place.instance, scopes, run, app.gate.enter, marked)
        place.entries[offer.method].handler = handler


def _scope(place: Seat, parameter: str, tool: str, operation: str) -> Scope:
    """Return what yields a request value: of several fields for its tool, the parameter's name
    picks."""
    fields = [n.field for n in place.facts.needs if isinstance(n, ToolNeed) and n.tool == tool]
    chosen = parameter if parameter in fields else fields[0]
    scope: Scope = getattr(place.fields[chosen], operation)
    return scope


def _quarantine(
    place: Seat, step: str, error: object, timeout_s: float, lost: dict[str, Quarantined]
) -> None:
    facts = place.facts
    finding = loader.failure(facts, step, error, timeout_s)
    lost[facts.id] = Quarantined(facts.id, facts.domain, facts.file, finding)
    place.refuse(quarantine_refusal(facts.id))
    _log.error("%s", finding)


async def subscribe(built: Built, app: Wiring, undo: AsyncExitStack) -> Subscribed:
    """Make known to the store of events who subscribes to what."""
    dispatcher = None
    if built.store is not None:
        subscriptions = lanes(built.seats, built.manifest, app.gate, app.budget("events"))
        dispatcher = Dispatcher(app.gate.clock, built.store, [*subscriptions], app.limits.keep)
        limit = app.limits.stop_timeout
        undo.push_async_callback(_contained, dispatcher.close, "closing the events", limit)
        error = await within(dispatcher.open, "opening the events", app.limits.start_timeout)
        if error is not None:
            _log.error("events cannot be published or delivered yet: %s", error)
    b = built
    return Subscribed(
        b.manifest, b.configured, b.drivers, b.states, b.store, b.seats, b.lost, dispatcher
    )


async def start_plugins(built: Subscribed, app: Wiring, undo: AsyncExitStack) -> Running:
    """Run each plugin's `start`, providers first, and let its entries serve."""
    limit = app.limits.start_timeout
    lost = built.lost
    stopping: list[Seat] = []
    undo.push_async_callback(_stop_plugins, stopping, app)
    for place in built.seats:
        if place.instance is None:
            continue
        stopping.append(place)
        error = await run_hook(app.gate, place, "start", limit)
        if error is None:
            place.refuse(None)
        else:
            _quarantine(place, "its start", error, limit, lost)
    if lost and app.strict:
        found = sorted(q.finding for q in lost.values())
        raise BootError(f"{app.name} does not start: {_count(found)}", findings=found)
    b = built
    return Running(
        b.manifest, b.configured, b.drivers, b.states, b.store, b.seats, b.lost, b.dispatcher
    )


async def _stop_plugins(seats: Sequence[Seat], app: Wiring) -> None:
    """Let all stop at the same time, consumers first: one that hangs costs the others nothing."""
    await asyncio.gather(*(_stop_plugin(place, app) for place in reversed(seats)))


async def _stop_plugin(place: Seat, app: Wiring) -> None:
    limit = app.limits.stop_timeout
    error = await run_hook(app.gate, place, "stop", limit)
    if error is not None:
        _, said = loader.failed(error, place.facts.file, limit)
        _log.error("%s: its stop %s", place.facts.id, said)


def deliver(running: Running, app: Wiring, undo: AsyncExitStack) -> None:
    """Let events come in, and stop them before the plugins: what is in hand then goes back."""
    undo.push_async_callback(app.gate.end_background)
    if running.dispatcher is not None:
        limit = app.limits.drain_timeout
        undo.push_async_callback(
            _contained,
            partial(running.dispatcher.stop, limit),
            "ending the deliveries",
            limit + STOP_S,
        )
        running.dispatcher.start(running.lost)


async def open_ingress(running: Running, app: Wiring, undo: AsyncExitStack) -> None:
    """Hand every declared operation to the tool that serves it, and let work in."""
    served = endpoints(running.seats, app.gate, app.budget)
    absent = [
        StaticName(word, name, lost.id, lost.finding.message)
        for lost in running.lost.values()
        for word, name in lost.names
        if word != "service"
    ]
    for instance, driver in running.drivers.items():
        if isinstance(driver, Ingress):
            driver.bind(served.get(instance, []), absent)
            undo.push_async_callback(
                _contained,
                partial(driver.close, app.limits.drain_timeout),
                f"closing {instance}",
                app.limits.drain_timeout + LEFT_BEHIND_S,
            )
            await driver.open()

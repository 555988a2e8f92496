"""READ FIRST: how an application starts and stops, a line a step.

Each step takes what the step before it made, so no step can run too early. What can be contained
is contained: a plugin that fails to load, to be built or to start is quarantined with its reason
and the rest serves. What is ambiguous refuses the start, with every finding. Every step has a
deadline, and whatever it did is undone in reverse order. `app.py` hands in the `Wiring`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field

from ringfence.errors import BootError, Finding, RingfenceError, StartRefused, ToolUnavailable
from ringfence.kernel import guard, loader, source
from ringfence.kernel.bind import (
    Seat,
    endpoints,
    put_absent,
    quarantine_refusal,
    seat,
    service_field,
)
from ringfence.kernel.call import Gate
from ringfence.kernel.context import Budget, text_of
from ringfence.kernel.declarations import Place, read_plugin
from ringfence.kernel.hooks import LEFT_BEHIND_S, has_hook, run_hook, within
from ringfence.kernel.manifest import (
    Manifest,
    PluginFacts,
    Quarantined,
    ServiceNeed,
    SettingsNeed,
    ToolNeed,
)
from ringfence.kernel.middleware import Scope, compose
from ringfence.kernel.payload import forget_descriptions
from ringfence.kernel.ports import Driver, Facts, Grant, Ingress, StaticName, ToolSpec
from ringfence.kernel.proxy import ToolState, handle
from ringfence.kernel.threads import Pool
from ringfence.kernel.verify import start_order, verify

_log = logging.getLogger("ringfence.kernel")


async def start(app: "Wiring") -> "Running":
    """Bring an application up, or raise BootError with everything that is wrong with it."""
    async with AsyncExitStack() as undo:
        discovered = loader.discover(app.root)  # the files of every domain
        library = source.library(app.root)
        sources = loader.read_sources(discovered, library)  # what they say, running none
        modules = import_features(sources, library, app, undo)  # guarded, each within its deadline
        manifest = declare(modules, app)  # what every plugin needs and offers
        verified = check(manifest, app)  # all findings at once, or none
        equipped = await start_tools(verified, app, undo)  # what is down starts as dead
        built = build_plugins(equipped, app)  # fields filled in, constructors called
        started = await start_plugins(built, app, undo)  # providers before their consumers
        running = await open_ingress(started, app, undo)  # last of all, work comes in
        forget_descriptions()
        running.undo = undo.pop_all()
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


class Wiring(Protocol):
    """What `app.py` decides: the configuration, and which driver stands for which tool."""

    name: str
    root: Path
    strict: bool
    limits: Limits
    gate: Gate
    pool: Pool
    request_values: Mapping[type, tuple[str, str]]  # parameter type → tool and its operation

    def specs(self) -> Sequence[ToolSpec]:
        """The tools that are known."""
        ...

    def know(self, contract: type) -> None:
        """Learn of a tool from its contract, as a plugin imports it."""
        ...

    def configure(self, manifest: Manifest) -> "Configured":
        """Resolve every field that the configuration decides, collecting all that is wrong."""
        ...

    def instances(self, wanted: Sequence[str]) -> Mapping[str, Driver]:
        """Make the drivers of the wanted instances, and of those that always run."""
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


class Equipped(Struct, frozen=True):
    """Its tools have been started."""

    verified: Verified
    drivers: Mapping[str, Driver]
    states: Mapping[str, ToolState]


class Built(Struct, frozen=True):
    """Its plugins exist; none has been called."""

    equipped: Equipped
    seats: Sequence[Seat]
    lost: dict[str, Quarantined]


class Started(Struct, frozen=True):
    """Those of its plugins that could have started."""

    built: Built


class Running(Struct, eq=False):
    """Its plugins have started and its ingress is open."""

    manifest: Manifest
    seats: Sequence[Seat]
    lost: Mapping[str, Quarantined]
    drivers: Mapping[str, Driver]
    states: Mapping[str, ToolState]
    undo: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def stop(self) -> None:
        """Undo every step of the start, the last one first, each within its deadline."""
        await self.undo.aclose()


def import_features(
    sources: loader.Sources, library: source.Library, app: Wiring, undo: AsyncExitStack
) -> loader.Modules:
    """Import every feature under the guard, as a new generation of the application."""
    territory = loader.claim(app.name, sources, library)
    undo.callback(guard.remove, territory)
    modules = loader.import_features(sources, territory, app.limits.import_timeout)
    library.keep()
    return modules


def declare(modules: loader.Modules, app: Wiring) -> Manifest:
    """Read what the imported classes declare; one that cannot be read is quarantined."""
    quarantined = list(modules.quarantined)
    findings = [*modules.sources.findings, *(q.finding for q in quarantined)]
    plugins: list[PluginFacts] = []
    for feature in modules.sources.discovered.features:
        module = modules.by_feature.get(feature.id)
        if module is None:
            continue
        for value in vars(module).values():
            if isinstance(value, type) and "__ringfence_tool__" in vars(value):
                app.know(value)
        written = modules.sources.by_feature[feature.id]
        place = Place(feature.id, feature.domain, feature.file, written.lines)
        facts, wrong = read_plugin(module, place, frozenset(app.request_values))
        findings += wrong
        if facts is not None and not wrong:
            plugins.append(facts)
        else:
            lost = Quarantined(feature.id, feature.domain, feature.file, wrong[0], written.names)
            quarantined.append(lost)
    manifest = Manifest(app.name, plugins, quarantined, findings, ())
    return _contain(manifest, modules.sources, app)


def _contain(manifest: Manifest, sources: loader.Sources, app: Wiring) -> Manifest:
    """Let the tools check their part; a finding that concerns one plugin quarantines that one."""
    facts = Facts(manifest.declared, sources.discovered.domains, sources.discovered.root)
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
                names = sources.by_feature[plugin.id].names
                gone = Quarantined(plugin.id, plugin.domain, plugin.file, finding, names)
                lost.setdefault(plugin.id, gone)
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
    ambiguous = verify(manifest, request_tools)
    return sorted({*manifest.findings, *manifest.ambiguous, *ambiguous})


def _count(found: Sequence[Finding]) -> str:
    return f"{len(found)} finding{'s' if len(found) > 1 else ''}."


async def start_tools(verified: Verified, app: Wiring, undo: AsyncExitStack) -> Equipped:
    """Start every tool that is needed. One whose backend is down refuses its users, no more."""
    undo.push_async_callback(app.pool.stop)
    drivers = app.instances(sorted(set(verified.configured.instances.values())))
    states = {instance: ToolState(instance) for instance in drivers}
    for instance, driver in drivers.items():
        undo.push_async_callback(_contained, driver.stop, instance, app.limits.stop_timeout)
        error = await within(driver.start, instance, app.limits.start_timeout)
        if isinstance(error, StartRefused):
            raise error
        if error is not None:
            _log.error("tool %s did not start: %s", instance, error)
            states[instance].refusal = _dead(instance)
            states[instance].reason = text_of(error)
    return Equipped(verified, drivers, states)


def _dead(instance: str) -> Callable[[], RingfenceError]:
    def refuse() -> RingfenceError:
        return ToolUnavailable(
            "it did not start, and cannot be used.", subject=instance, retry_after_s=30.0
        )

    return refuse


async def _contained(work: Callable[[], Awaitable[object]], subject: str, timeout_s: float) -> None:
    error = await within(work, subject, timeout_s)
    if error is not None:
        _log.error("stopping %s has failed: %s", subject, error)


def build_plugins(equipped: Equipped, app: Wiring) -> Built:
    """Fill in every plugin's fields and construct it, each within its deadline."""
    manifest = equipped.verified.manifest
    for finding in manifest.findings:
        _log.warning("%s", finding)  # not earlier: by now the log is there to take it
    limits = app.limits
    lost = {q.id: q for q in manifest.quarantined}
    seats = [
        seat(facts, app.gate, limits.plugin_concurrency, limits.plugin_threads)
        for facts in start_order(manifest)
    ]
    put_absent(manifest, app.gate)
    for place in seats:
        place.fields = _fields(place, equipped, app)
    made = loader.run_each(
        [partial(place.facts.cls, **place.fields) for place in seats], limits.start_timeout
    )
    for place, result in zip(seats, made, strict=True):
        if isinstance(result, place.facts.cls):
            place.instance = result
            _set_handlers(place, equipped, app)
        else:
            _quarantine(place, "its constructor", result, limits.start_timeout, lost)
    return Built(equipped, seats, lost)


def _fields(place: Seat, equipped: Equipped, app: Wiring) -> dict[str, object]:
    verified = equipped.verified
    facts = place.facts
    filled: dict[str, object] = {}
    for need in facts.needs:
        match need:
            case ToolNeed():
                instance = verified.configured.instances[need.tool, need.field]
                grant = Grant(facts.id, facts.domain, instance)
                target = equipped.drivers[instance].handle(grant)
                state = equipped.states[instance]
                filled[need.field] = handle(need.contract, target, state, app.gate, facts.id)
            case SettingsNeed():
                filled[need.field] = verified.configured.settings[need.settings]
            case ServiceNeed():
                filled[need.field] = service_field(app.gate, need)
    return filled


def _set_handlers(place: Seat, equipped: Equipped, app: Wiring) -> None:
    for offer in place.facts.offers:
        scopes: dict[str, Scope] = {}
        for value in offer.request_values:
            if value.type in app.request_values:
                tool, operation = app.request_values[value.type]
                scopes[value.parameter] = _scope(place, value.parameter, tool, operation)
        entry = place.entries[offer.method]
        share = None if offer.is_async else place.share
        entry.handler = compose(offer, place.instance, scopes, app.pool, share)


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
    line, said = loader.failed(error, facts.file, timeout_s)
    finding = Finding(facts.file, line, "RF102", f"{facts.id}: {step} {said}", loader.MEND)
    lost[facts.id] = Quarantined(facts.id, facts.domain, facts.file, finding)
    place.refuse(quarantine_refusal(facts.id))
    _log.error("%s", finding)


async def start_plugins(built: Built, app: Wiring, undo: AsyncExitStack) -> Started:
    """Run each plugin's `start`, providers first, and let its entries serve."""
    limits = app.limits
    stopping: list[Seat] = []
    undo.push_async_callback(_stop_plugins, stopping, app)
    for place in built.seats:
        if place.instance is None:
            continue
        if has_hook(place.instance, "stop"):
            stopping.append(place)
        error = None
        if has_hook(place.instance, "start"):
            error = await run_hook(
                app.gate, app.pool, place.share, place.instance, "start", limits.start_timeout
            )
        if error is None:
            place.refuse(None)
        else:
            _quarantine(place, "its start", error, limits.start_timeout, built.lost)
    if built.lost and app.strict:
        found = sorted(q.finding for q in built.lost.values())
        raise BootError(f"{app.name} does not start: {_count(found)}", findings=found)
    return Started(built)


async def _stop_plugins(seats: Sequence[Seat], app: Wiring) -> None:
    """Let all stop at the same time, consumers first: one that hangs costs the others nothing."""
    await asyncio.gather(*(_stop_plugin(place, app) for place in reversed(seats)))


async def _stop_plugin(place: Seat, app: Wiring) -> None:
    limit = app.limits.stop_timeout
    error = await run_hook(app.gate, app.pool, place.share, place.instance, "stop", limit)
    if error is not None:
        _, said = loader.failed(error, place.facts.file, limit)
        _log.error("%s: its stop %s", place.facts.id, said)


async def open_ingress(started: Started, app: Wiring, undo: AsyncExitStack) -> Running:
    """Hand every declared operation to the tool that serves it, and let work in."""
    built, equipped = started.built, started.built.equipped
    served = endpoints(built.seats, app.gate, app.budget, app.pool)
    absent = [
        StaticName(word, name, lost.id, lost.finding.message)
        for lost in built.lost.values()
        for word, name in lost.names
        if word != "service"
    ]
    undo.push_async_callback(app.gate.end_background)
    for instance, driver in equipped.drivers.items():
        if isinstance(driver, Ingress):
            driver.bind(served.get(instance, []), absent)
            undo.push_async_callback(
                _contained,
                partial(driver.close, app.limits.drain_timeout),
                f"closing {instance}",
                app.limits.drain_timeout + LEFT_BEHIND_S,
            )
            await driver.open()
    return Running(
        equipped.verified.manifest, built.seats, built.lost, equipped.drivers, equipped.states
    )

"""From what plugins declare to what runs: entries, injected fields, endpoints.

Entries exist, and refuse, before any plugin is built, so that the order of building does not
matter to who may hold whom. A name whose plugin is quarantined has an entry that says so.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from msgspec import structs

from ringfence.errors import AppError, PluginQuarantined, RingfenceError
from ringfence.kernel.call import Gate, Opener, close, continued, failure_of, opener, roots
from ringfence.kernel.context import Budget, Context, Inbound
from ringfence.kernel.lane import Lane
from ringfence.kernel.limits import Bulkhead
from ringfence.kernel.live import Connection, Lived
from ringfence.kernel.manifest import Manifest, Offer, PluginFacts, Service, ServiceNeed
from ringfence.kernel.ports import Declared, Signature, Work
from ringfence.kernel.registry import Entry, Refusal
from ringfence.kernel.threads import Run
from ringfence.kernel.topics import On

UNKNOWN = Signature((), None)  # of a name whose plugin did not load


@dataclass(slots=True, eq=False)
class Seat:
    """One plugin's place in the running application."""

    facts: PluginFacts
    bulkhead: Bulkhead
    run: Run  # of what is no coroutine, on its threads
    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])  # by method
    fields: dict[str, object] = field(default_factory=dict[str, object])
    instance: object = None

    def refuse(self, refusal: Refusal | None) -> None:
        for entry in self.entries.values():
            entry.refusal = refusal


class BoundEndpoint:
    """One declared operation, ready to be called by an ingress; its way in is made when first
    asked for."""

    __slots__ = ("_budget", "_entry", "_gate", "_open", "_seat", "declared")

    def __init__(self, gate: Gate, place: Seat, declared: Declared, budget: Budget) -> None:
        self.declared = declared
        self._gate = gate
        self._seat = place
        self._entry = place.entries[declared.method]
        self._budget = budget
        self._open: Opener | None = None

    @property
    def operation(self) -> str:
        return self._entry.operation

    def refused(self, error: Exception, inbound: Inbound | None = None) -> str:
        entry, label = self._entry, self.declared.declaration.label
        origin = continued(self._gate, inbound or Inbound(), None, None, label)
        ctx = roots(self._gate, entry.operation, entry.plugin, self._budget)(origin)
        ctx.failure = failure_of(error)
        close(self._gate, ctx)
        return ctx.trace_id

    @property
    def open(self) -> Opener:
        if self._open is None:
            label = self.declared.declaration.label
            self._open = opener(self._gate, self._entry, self._budget, label)
        return self._open

    @property
    def errors(self) -> tuple[type[AppError], ...]:
        found, left, seen = dict.fromkeys(self.declared.errors), [self._entry.plugin], set[str]()
        while left:
            names = self._gate.grants.get(left.pop(), frozenset()) - seen
            seen |= names
            for entry in filter(None, map(self._gate.registry.find, sorted(names))):
                found |= dict.fromkeys(entry.declared.errors if entry.declared else ())
                left.append(entry.plugin)
        return tuple(found)

    def live(self, around: Lived) -> Opener:
        gate, entry, seat = self._gate, self._entry, self._seat

        def run(ctx: Context, work: Work) -> Work:
            connection = Connection(gate, ctx, self._budget, seat.bulkhead, seat.run)
            return connection.run(around, work)

        depth = Budget(depth=self._budget.depth)
        return opener(gate, entry, depth, self.declared.declaration.label, run)


def quarantine_refusal(plugin: str) -> Refusal:
    """Return what the entries of a quarantined plugin raise. The reason goes to the log alone."""

    def refuse() -> RingfenceError:
        return PluginQuarantined(
            "it failed to load or to start, and is quarantined; the other plugins serve.",
            subject=plugin,
            hint="See `ringfence status`.",
            retry_after_s=30.0,
        )

    return refuse


async def _no_handler(*args: object) -> object:
    raise PluginQuarantined("it has not been built.")


def seat(facts: PluginFacts, gate: Gate, concurrency: int, threads: int) -> Seat:
    """Give a plugin its entries; they refuse until it has started."""
    run = gate.threads.share(facts.id, threads)
    place = Seat(facts, Bulkhead(facts.id, concurrency, concurrency), run)
    for offer in facts.offers:
        entry = Entry(
            operation=operation_of(facts, offer),
            plugin=facts.id,
            declared=offer.declared[0],
            signature=offer.signature,
            handler=_no_handler,
            bulkhead=place.bulkhead,
            budget=_service_budget(offer),
            refusal=quarantine_refusal(facts.id),
        )
        place.entries[offer.method] = entry
        for declared in offer.declared:
            if isinstance(declared.declaration, Service):
                gate.registry.put(declared.declaration.name, entry)
    gate.grants[facts.id] = facts.grants
    return place


def operation_of(facts: PluginFacts, offer: Offer) -> str:
    """Name a method for traces: its service's name, or plugin and method."""
    for declared in offer.declared:
        if isinstance(declared.declaration, Service):
            return declared.declaration.name
    return f"{facts.id}.{offer.method}"


def _service_budget(offer: Offer) -> Budget | None:
    declarations = (d.declaration for d in offer.declared)
    return next((d.budget for d in declarations if isinstance(d, Service)), None)


def put_absent(manifest: Manifest, gate: Gate) -> None:
    """Register the services of plugins that did not load, so that calls to them are told why.

    A name that is needed and that no file declares counts as one of a file of its domain that
    could not be parsed.
    """
    absent = [
        (name, q) for q in manifest.quarantined for word, name in q.names if word == "service"
    ]
    unread = [q for q in manifest.quarantined if not q.parsed]
    needed = (
        sorted({name for plugin in manifest.plugins for name in plugin.grants}) if unread else ()
    )
    absent += [(name, q) for name in needed for q in unread if name.partition(".")[0] == q.domain]
    for name, lost in absent:
        if gate.registry.find(name) is None:
            entry = Entry(
                operation=name,
                plugin=lost.id,
                declared=None,
                signature=UNKNOWN,
                handler=_no_handler,
                bulkhead=Bulkhead(lost.id, 1, 1),
                refusal=quarantine_refusal(lost.id),
            )
            gate.registry.put(name, entry)


def service_field(gate: Gate, need: ServiceNeed) -> Callable[..., Awaitable[object]] | None:
    """Return what a field under `@requires` is given; None where it is optional and nobody
    provides it."""
    entry = gate.registry.find(need.service)
    if entry is None:
        return None
    if entry.declared is None:
        return partial(_refused, entry.refusal or quarantine_refusal(entry.plugin))
    return gate.make_view(gate, entry, gate.contracts.bind(need, entry), need.field)


async def _refused(refusal: Refusal, *args: object, **named: object) -> object:
    raise refusal()


def lanes(seats: Sequence[Seat], manifest: Manifest, gate: Gate, budget: Budget) -> Iterator[Lane]:
    """Yield the subscriptions of the application, those of quarantined plugins paused."""
    events = manifest.events
    for place in seats:
        for offer in place.facts.offers:
            for declared in offer.declared:
                on = declared.declaration
                if isinstance(on, On):
                    entry = place.entries[offer.method]
                    own = within(within(budget, entry.budget), on.budget)
                    bound = BoundEndpoint(gate, place, declared, own)
                    read = gate.contracts.reader(offer.signature, events)
                    name = f"{place.facts.id}.{offer.method}"
                    yield Lane(name, place.facts.id, on, bound, read)
    for lost in manifest.quarantined:
        for method, pattern in lost.listens:
            yield Lane(f"{lost.id}.{method}", lost.id, On(pattern=pattern))


def endpoints(
    seats: Sequence[Seat], gate: Gate, budget_for: Callable[[str], Budget]
) -> Mapping[str, list[BoundEndpoint]]:
    """Return, for each tool, the operations that its ingress serves."""
    found: dict[str, list[BoundEndpoint]] = {}
    budgets: dict[str, Budget] = {}
    for place in seats:
        for offer in place.facts.offers:
            entry = place.entries[offer.method]
            for declared in offer.declared:
                tool = declared.declaration.tool
                if tool:
                    if tool not in budgets:
                        budgets[tool] = budget_for(tool)
                    own = declared.declaration.budget
                    budget = within(within(budgets[tool], entry.budget), own)
                    bound = BoundEndpoint(gate, place, declared, budget)
                    found.setdefault(tool, []).append(bound)
    return found


def within(outer: Budget, inner: Budget | None) -> Budget:
    """Return the tighter of two budgets, limit by limit."""
    if inner is None:
        return outer
    pairs = zip(structs.astuple(outer), structs.astuple(inner), strict=True)
    return Budget(*(min((one for one in pair if one is not None), default=None) for pair in pairs))

"""What the features of an application say of events, read and verified.

`read_events` reads the classes under `@event` that a module has, with their `@upcast`s; what is
wrong with one of them costs its plugin. `handler_faults` judges one method under `@on`. `verify`
compares publishers and subscriptions of the whole application; a finding there refuses the start.
"""

import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import get_args, is_typeddict

from ringfence.contracts.compatibility import misfits
from ringfence.contracts.payload import describe, members
from ringfence.errors import Finding, did_you_mean
from ringfence.kernel.context import Principal
from ringfence.kernel.delivery import Delivery, WhenFull
from ringfence.kernel.lane import WINDOW
from ringfence.kernel.loader import Feature
from ringfence.kernel.manifest import EventFacts, Manifest, Offer, PluginFacts
from ringfence.kernel.ports import Declared, Parameter
from ringfence.kernel.topics import On, event_type

TOPIC = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
PATTERN = re.compile(r"(\*|[a-z][a-z0-9_]*)(\.(\*|[a-z][a-z0-9_]*))*(\.\*\*)?|\*\*")
MOST_RETRIES = 100  # with the longest waits, about eight hours

Upcast = tuple[str, int, Callable[..., object]]  # topic, from version, the step


def read_events(
    module: types.ModuleType, feature: Feature, lines: Mapping[str, int]
) -> tuple[tuple[EventFacts, ...], list[Finding]]:
    """Read the events that a feature's module declares, or takes from its domain's helpers.

    Returns:
        The events, and all that is wrong with how they are declared.
    """
    found: dict[type, EventFacts] = {}
    wrong: list[Finding] = []
    steps = list(_steps(module))
    prefix = module.__name__.removesuffix(feature.module)
    for cls in vars(module).values():
        kind = event_type(cls) if isinstance(cls, type) else None
        if kind is None or cls in found:
            continue
        own = cls.__module__ == module.__name__
        there = str(cls.__module__).removeprefix(prefix).replace(".", "/")
        file, line = (feature.file, lines.get(cls.__name__, 1)) if own else (f"{there}.py", 1)
        upcasts = {version: step for topic, version, step in steps if topic == kind.topic}
        facts = EventFacts(kind, cls, feature.id, feature.domain, file, line, upcasts)
        found[cls] = facts
        wrong += (Finding(file, line, "RF122", said, fix) for said, fix in _unfit(facts))
    events = tuple(found.values())
    wrong += (Finding(feature.file, 1, "RF122", *said) for said in _unfit_steps(steps, events))
    return events, wrong


def _steps(module: types.ModuleType) -> Iterator[Upcast]:
    for function in vars(module).values():
        if isinstance(function, types.FunctionType):
            mark = getattr(function, "__ringfence_upcast__", None)
            if mark is not None:
                yield (*mark, function)


def _unfit(facts: EventFacts) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with one event's class, and how to mend it."""
    kind, name = facts.kind, facts.cls.__name__
    known = None
    try:
        known = None if is_typeddict(facts.cls) else members(facts.cls)
        describe(facts.cls, sent=True)
    except (TypeError, NameError) as error:
        said = f"event {name} has a field of no schema: {error}"
        yield said, "use scalars and collections of them, Structs and dataclasses"
    else:
        if known is None:
            said = f"event {name} has no fields of its own"
            yield said, "derive it from Struct, or use a dataclass"
    renamed = getattr(facts.cls, "__struct_fields__", None)
    keys = list(renamed or (member.key for member in known or ()))
    if kind.key and known is not None and kind.key not in keys:
        said = f"event {name} has no field {kind.key!r} to be its key"
        yield f"{said}{did_you_mean(kind.key, keys)}", "name the field that orders deliveries"
    if kind.version < 1:
        said = f"event {name}: expected a version from 1 on, got {kind.version}"
        yield said, "count versions from 1"
    if kind.when_full not in get_args(WhenFull):
        said = f"event {name}: expected when_full to be one of {', '.join(get_args(WhenFull))}"
        yield f"{said}, got {kind.when_full!r}", "choose one"


def _unfit_steps(
    steps: Sequence[Upcast], events: Sequence[EventFacts]
) -> Iterator[tuple[str, str]]:
    versions = {facts.kind.topic: facts.kind.version for facts in events}
    seen: set[tuple[str, int]] = set()
    for topic, version, step in steps:
        where = f"@upcast on {step.__name__}"
        if topic not in versions:
            hint = did_you_mean(topic, sorted(versions))
            yield f"{where}: no event here has the topic {topic}{hint}", "move it to the event"
        elif not 1 <= version < versions[topic]:
            said = f"{where}: expected a version before {versions[topic]}, got {version}"
            yield said, "raise the version of the event, or correct the step"
        elif (topic, version) in seen:
            yield f"{where}: there is another step from version {version} of {topic}", "remove one"
        seen.add((topic, version))


# ---- one handler


def handler_faults(offer: Offer) -> Iterator[tuple[str, str]]:
    """Yield what keeps a method from being the handler that its `@on` says, and how to mend it."""
    ons = [d.declaration for d in offer.declared if isinstance(d.declaration, On)]
    values = {value.type: value.parameter for value in offer.request_values}
    if Delivery in values and len(ons) < len(offer.declared):
        yield "a delivery comes in by @on alone", "write a method of its own for @on"
    if not ons:
        return
    if len(ons) > 1:
        yield "it has two @on; each keeps its progress by the method", "write a method for each"
    if len(offer.signature.parameters) > 1:
        names = ", ".join(parameter.name for parameter in offer.signature.parameters)
        yield (
            f"a delivery has one payload; expected one parameter for it, got {names}",
            ("take one Struct with the fields that it reads"),
        )
    if not offer.signature.parameters and Delivery not in values:
        yield "it takes no event", "take `placed: OrderPlaced`, or `delivery: Delivery`"
    if Principal in values:
        said = f"{values[Principal]!r} would be who asks, and nobody asks for a delivery"
        yield said, "take `delivery: Delivery`; who published it is `delivery.principal`"
    for on in ons:
        if not PATTERN.fullmatch(on.pattern):
            said = f"{on.pattern!r} is no pattern of topics; expected `orders.placed`, `orders.*`"
            yield f"{said} or `orders.**`", "words of lower case, with dots between them"
        if not 0 <= on.retries <= MOST_RETRIES:
            yield f"expected retries from 0 to {MOST_RETRIES}, got {on.retries}", "choose another"
        if not 1 <= on.concurrency <= WINDOW:
            yield f"expected concurrency from 1 to {WINDOW}, got {on.concurrency}", "choose another"
        scoped = {v.__name__ for v in values} - {"Context", "Delivery", "Principal"}
        if on.broadcast and scoped:
            said = f"a broadcast is not stored, and cannot end with a {sorted(scoped)[0]}"
            yield said, "leave out one of them; open a transaction by hand where it is wanted"


# ---- all of them together


def verify(manifest: Manifest) -> Iterator[Finding]:
    """Yield what leaves the way of an event to luck, or leads nowhere."""
    events = manifest.events
    yield from _topics(events)
    absent = {name for q in manifest.quarantined for word, name in q.names if word == "event"}
    unread = {q.domain for q in manifest.quarantined if not q.parsed}
    known = sorted({*events, *absent})
    for plugin in manifest.plugins:
        for offer in plugin.offers:
            for declared in offer.declared:
                if isinstance(declared.declaration, On):
                    yield from _subscription(plugin, offer, declared, declared.declaration, events)
                    yield from _unmet(declared, declared.declaration, known, unread)


def _topics(events: Mapping[str, Sequence[EventFacts]]) -> Iterator[Finding]:
    """Every topic has one class, in the domain that its name begins with."""
    for topic, owners in events.items():
        owner, _, word = topic.partition(".")
        for facts in owners:
            what = f"{facts.cls.__name__} of {facts.plugin}"
            if not TOPIC.fullmatch(topic):
                said = f"{what}: {topic!r} is no topic; expected {facts.domain}.some_word"
                yield Finding(facts.file, facts.line, "RF123", said)
            elif owner != facts.domain:
                said = f"{what} declares {topic}, which belongs to domain {owner}"
                fix = f"call it {facts.domain}.{word}; whoever reads {topic} declares a plain class"
                yield Finding(facts.file, facts.line, "RF123", said, fix)
        first = owners[0]
        for second in owners[1:]:
            if second.cls is not first.cls:
                said = (
                    f"topic {topic} has two classes: {first.cls.__name__} "
                    f"({first.file}:{first.line}) and {second.cls.__name__}"
                )
                fix = f"keep one, in a helper of domains/{first.domain}/ if both publish it"
                yield Finding(second.file, second.line, "RF124", said, fix)


def _unmet(declared: Declared, on: On, known: Sequence[str], unread: set[str]) -> Iterator[Finding]:
    first = on.pattern.partition(".")[0]
    lost = bool(unread) if first.startswith("*") else first in unread
    if not lost and not any(map(on.fits, known)):
        hint = did_you_mean(on.pattern, known)
        said = f"{declared.plugin} is on {on.pattern}, which nobody here publishes{hint}"
        fix = "correct it, or declare the event's class with @event in the domain that publishes it"
        yield Finding(declared.file, declared.line, "RF125", said, fix)


def _subscription(
    plugin: PluginFacts,
    offer: Offer,
    declared: Declared,
    on: On,
    events: Mapping[str, Sequence[EventFacts]],
) -> Iterator[Finding]:
    for topic in filter(on.fits, events) if offer.signature.parameters else ():
        for misfit in _misfits(offer.signature.parameters[0], events[topic][0]):
            publisher = events[topic][0]
            yield Finding(
                declared.file,
                declared.line,
                "RF126",
                f"{plugin.id}.{offer.method}'s view of {topic} does not fit its publisher's "
                f"({publisher.file}:{publisher.line}): {misfit}",
                "declare what the publisher sends, or change the publisher",
            )


def _misfits(parameter: Parameter, publisher: EventFacts) -> list[str]:
    sent = describe(publisher.cls, sent=True)
    return misfits(sent, describe(parameter.annotation), parameter.name)

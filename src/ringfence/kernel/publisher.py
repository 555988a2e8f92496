"""From an event to its envelope: who publishes what, why, and within which limits.

`Publisher.seal` is all of it; the tools through which features publish call it, inside the context
that publishes. Invariant: what an event may still cause is less than what its cause was allowed.
"""

import itertools
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from random import SystemRandom

from ringfence.errors import NotGranted
from ringfence.kernel.context import Context, current, next_trace
from ringfence.kernel.delivery import Envelope, Journey
from ringfence.kernel.limits import breach, spend_outer
from ringfence.kernel.ports import Clock
from ringfence.kernel.topics import EventType, event_type

# With half of it passed on by each of a chain of single events, HOPS is what ends a chain; events
# that cause several each have spent it far sooner, whatever they do within some seconds.
ALLOWANCE = 1 << 20
HOPS = 16  # deliveries in a row, each caused by the one before
_random = SystemRandom()
_numbers = itertools.count(_random.getrandbits(20))


class Publisher:
    """Makes events envelopes: who publishes what, why, and within which limits."""

    def __init__(
        self, clock: Clock, spans: Iterable[Context], encode: Callable[[object], bytes]
    ) -> None:
        self._clock = clock
        self._spans = spans
        self._encode = encode

    def seal(
        self, event: object, plugin: str, domain: str, delay_s: float | None = None
    ) -> Envelope:
        """Return the envelope of an event, and spend it from the context's budget.

        Args:
            event: An instance of a class under `@event`.
            plugin: Who publishes it.
            domain: Its domain; the topic has to be under it.
            delay_s: Seconds until it is due.

        Raises:
            NotGranted: Its class is no event of that domain, or one that cannot be delayed.
            BudgetExceeded: The context has published as many as it may.
        """
        kind = event_type(type(event))
        if kind is None or kind.topic.partition(".")[0] != domain:
            raise _not_granted(event, kind, plugin, domain)
        if delay_s and not kind.durable:
            raise NotGranted(
                f"published {kind.topic} with a delay; expected none, as it is not stored.",
                subject=plugin,
                hint="Let it be durable, or have a timer publish it.",
            )
        ctx = current.get()
        journey = None
        if ctx is not None:
            ctx.events += 1
            ctx.purse.events -= 1
            if ctx.purse.events < 0:
                raise breach(ctx.purse, ctx, "events", self._spans)
            spend_outer(ctx.purse, ctx, "events", self._spans)
            journey = ctx.origin.journey
        key = getattr(event, kind.key) if kind.key else None
        now = self._clock.now()
        hops, allowance = _onward(journey)
        return Envelope(
            id=event_id(now),
            topic=kind.topic,
            version=kind.version,
            key=None if key is None else str(key),
            payload=self._encode(event),
            published_at=now,
            plugin=plugin,
            trace_id=ctx.trace_id if ctx is not None else f"{next_trace():032x}",
            span_id=ctx.span_id if ctx is not None else "",
            principal=ctx.principal.id if ctx is not None and ctx.principal is not None else None,
            tenant=ctx.tenant if ctx is not None else None,
            hops=hops,
            allowance=allowance,
            due_at=now + timedelta(seconds=delay_s) if delay_s else None,
            durable=kind.durable,
            when_full=kind.when_full,
        )


def event_id(now: datetime) -> str:
    """Return a new id: milliseconds, a count, and random digits, so that later ones sort later.
    Source: the layout of UUID version 7 (RFC 9562)."""
    milliseconds = int(now.timestamp() * 1000)
    return f"{milliseconds:012x}{next(_numbers) & 0xFFFFFF:06x}{_random.getrandbits(56):014x}"


def _onward(journey: Journey | None) -> tuple[tuple[str, ...], int]:
    """Return the hops and the allowance of an event that a delivery publishes. Of what a delivery
    was allowed, the n-th of its events gets 1/(n(n+1)): however many there are, it is never more
    than all, and the first, which is often the only one, gets half."""
    if journey is None:
        return (), ALLOWANCE
    journey.published += 1
    cause, n = journey.taken.envelope, journey.published
    return (*cause.hops, cause.topic), cause.allowance // (n * (n + 1))


def _not_granted(event: object, kind: EventType | None, plugin: str, domain: str) -> NotGranted:
    if kind is None:
        return NotGranted(
            f"published {type(event).__name__}; expected an instance of a class under @event.",
            subject=plugin,
            hint=f'Write @event("{domain}.<word>") above its class.',
        )
    return NotGranted(
        f"published {kind.topic}; expected a topic of its own domain, {domain}.*.",
        subject=plugin,
        hint="Publish an event of your own; let the other domain subscribe to it.",
    )


def exhausted(envelope: Envelope) -> str | None:
    """Say why an event is not delivered any more, if its chain is too long or too wide."""
    chain = " → ".join([*envelope.hops, envelope.topic])
    if len(envelope.hops) >= HOPS:
        return f"it is {HOPS} deliveries from its origin, which are all that are allowed: {chain}"
    if envelope.allowance <= 0:
        return f"the events that its origin may cause are spent: {chain}"
    return None

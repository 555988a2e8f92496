"""A running application, looked at: its state, its plugins and tools, and what has ended in it.

`Observer` makes the values of `report.py` from the kernel's own structures when somebody asks, so
that looking costs and being looked at does not. Invariant: text leaves it masked. Made by `app.py`,
which passes on what it says.
"""

import os
import platform
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol, runtime_checkable

from msgspec.structs import replace

from ringfence.causality import chain
from ringfence.config import Config
from ringfence.errors import NotFound
from ringfence.kernel.bind import Seat
from ringfence.kernel.boot import Running
from ringfence.kernel.call import Gate
from ringfence.kernel.context import Context, Failure
from ringfence.kernel.manifest import Quarantined
from ringfence.kernel.ports import Clock, DeliveryStore, Health
from ringfence.kernel.proxy import ToolState
from ringfence.redaction import Redactor
from ringfence.report import (
    Cause,
    DomainStatus,
    EndedTraces,
    Offered,
    PluginStatus,
    Span,
    Status,
    ToolStatus,
    Trace,
)
from ringfence.toolbox import Tools

LOOK_EVERY_S = 0.25  # while somebody follows; to be woken would cost each call its part


class Observed(Protocol):
    """What is known of an application beside its kernel."""

    name: str
    config: Config
    clock: Clock
    gate: Gate
    redact: Redactor
    tools: Tools

    def health(self) -> Health: ...


@runtime_checkable
class Troubled(Protocol):
    """A driver that knows of itself that it is not well, without being called."""

    def trouble(self) -> str:
        """Return what is wrong, for its operator; nothing where nothing is. At once."""
        ...


class Observer:
    """Looks at one application, while it runs and after."""

    def __init__(self, observed: Observed, running: Running) -> None:
        self._observed = observed
        self._running = running
        self._redact = observed.redact
        self._ready_at = observed.clock.monotonic()
        self._kept: Sequence[Span] | None = None  # once it has stopped

    @property
    def spans(self) -> Sequence[Span]:
        """The contexts that have ended, oldest first, as many as are kept."""
        if self._kept is not None:
            return self._kept
        zero = self._zero()
        return [self._span(ctx, zero) for ctx in list(self._observed.gate.spans)]

    def keep(self) -> None:
        """Keep the spans as they are, and let go of the contexts, which refer to the kernel."""
        self._kept = self.spans
        self._observed.gate.spans.clear()

    def trace(self, wanted: str) -> list[Span]:
        """Return the spans of a trace, by its id, a span's id, or the unambiguous start of one.

        Raises:
            NotFound: No trace that is kept has that id, or more than one begins so.
        """
        spans = self.spans
        traces = {
            s.trace_id
            for s in spans
            if s.trace_id.startswith(wanted) or s.span_id.startswith(wanted)
        }
        if not traces:
            hint = "Only requests that have ended, and of these the newest, are kept."
            raise NotFound("no trace is kept that begins so.", subject=wanted, hint=hint)
        if len(traces) > 1:
            said = f"{len(traces)} traces begin so."
            raise NotFound(said, subject=wanted, hint="Give more of the id.")
        return sorted((s for s in spans if s.trace_id in traces), key=lambda s: s.started_at)

    async def why(self, wanted: str, store: DeliveryStore | None) -> list[Cause]:
        """Return the chain of causes around an id, oldest first; raises NotFound."""
        recorded = [] if store is None else await store.find(wanted)
        spans = self.spans
        traces = {one.envelope.trace_id for one in recorded} | {
            s.trace_id
            for s in spans
            if s.trace_id.startswith(wanted) or s.span_id.startswith(wanted)
        }
        if len(traces) != 1:
            said = f"{len(traces)} traces have it." if traces else "nothing that is kept has it."
            hint = "Give more of the id." if traces else "`ringfence events` and `trace` list ids."
            raise NotFound(said, subject=wanted, hint=hint)
        (trace,) = traces
        recorded = [] if store is None else await store.find(trace)
        return chain([span for span in spans if span.trace_id == trace], recorded)

    def traces(self, limit: int, failed: bool) -> list[Trace]:
        """Return the traces whose roots ended last, oldest first.

        Args:
            limit: How many at most.
            failed: Only those in which something failed.
        """
        kept = list(self._observed.gate.spans)
        found = self._traces(kept, kept, failed)
        return found[-limit:]

    async def follow(self, failed: bool) -> AsyncGenerator[EndedTraces, None]:
        """Yield traces as they end, those of a moment together.

        Guarantees:
            Nothing is queued: the kernel's ring of contexts is what there is, so that a reader who
            is too slow holds up nobody, and is told that it has missed some.
        """
        spans = self._observed.gate.spans
        seen = spans[-1] if spans else None
        while True:
            await self._observed.clock.sleep(LOOK_EVERY_S)
            kept = list(spans)
            new = _after(seen, kept)
            full = seen is not None or len(kept) == spans.maxlen
            missed = full and len(new) == len(kept) > 0
            if kept:
                seen = kept[-1]
            traces = self._traces(new, kept, failed)
            if traces or missed:
                yield EndedTraces(traces, missed)

    def status(self) -> Status:
        """Return the state of the application, of every plugin and of every tool."""
        health = self._observed.health()
        now, zero = self._observed.clock.monotonic(), self._zero()
        kept = list(self._observed.gate.spans)
        return Status(
            app=self._observed.name,
            state=health.state,
            reasons=list(health.reasons),
            pid=os.getpid(),
            version=own_version(),
            uptime_s=now - self._ready_at,
            domains=self._domains(kept),
            tools=[self._tool(name, state) for name, state in self._running.states.items()],
            python=platform.python_version(),
            started_at=zero + timedelta(seconds=self._ready_at),
            counted_since=zero + timedelta(seconds=kept[0].ended_at) if kept else None,
            in_flight=sum(map(_in_flight, self._running.seats)),
        )

    def _domains(self, kept: Sequence[Context]) -> list[DomainStatus]:
        plugins: dict[str, list[PluginStatus]] = {}
        lost = self._running.lost
        calls = Counter(ctx.plugin for ctx in kept)
        failures = Counter(ctx.plugin for ctx in kept if ctx.failure)
        for seat in self._running.seats:
            known = seat.facts.id
            if known not in lost:
                status = PluginStatus(
                    known,
                    "serving",
                    "",
                    _offers(seat),
                    calls[known],
                    failures[known],
                    _in_flight(seat),
                )
                plugins.setdefault(seat.facts.domain, []).append(status)
        for gone in lost.values():
            plugins.setdefault(gone.domain, []).append(self._lost(gone))
        return [
            DomainStatus(name, sorted(found, key=lambda p: p.id))
            for name, found in sorted(plugins.items())
        ]

    def _lost(self, gone: Quarantined) -> PluginStatus:
        where = f"{gone.finding.file}:{gone.finding.line}"  # the fix is told once, at the start
        said = self._redact(gone.finding.message)
        offers = [Offered(kind, name) for kind, name in gone.names]
        return PluginStatus(gone.id, "quarantined", f"{where}: {said}", offers)

    def _tool(self, instance: str, state: ToolState) -> ToolStatus:
        table = self._observed.config.tool(instance)
        driver = table.driver or self._observed.tools.known[table.tool].default_driver
        trouble = trouble_of(self._running.drivers.get(instance))
        word = "dead" if state.refusal else "degraded" if trouble else "healthy"
        reason = self._redact.cut(state.reason or trouble)
        return ToolStatus(instance, table.tool, driver, word, reason)

    def _traces(self, new: Sequence[Context], kept: Sequence[Context], failed: bool) -> list[Trace]:
        """Return what the roots among `new` say of their traces, with what is kept of these."""
        roots = [ctx for ctx in new if ctx.parent is None and not ctx.origin.cause]
        spans = Counter(ctx.trace for ctx in kept)
        failures = Counter(ctx.trace for ctx in kept if ctx.failure)
        zero = self._zero()
        return [
            Trace(
                trace_id=ctx.trace_id,
                started_at=zero + timedelta(seconds=ctx.started_at),
                duration_s=ctx.ended_at - ctx.started_at,
                origin=ctx.origin.label,
                operation=ctx.operation,
                plugin=ctx.plugin,
                spans=spans[ctx.trace],
                failures=failures[ctx.trace],
                failure=self._failure(ctx),
            )
            for ctx in roots
            if not failed or failures[ctx.trace]
        ]

    def _span(self, ctx: Context, zero: datetime) -> Span:
        journey = None if ctx.parent else ctx.origin.journey
        taken = None if journey is None else journey.taken
        return Span(
            trace_id=ctx.trace_id,
            span_id=ctx.span_id,
            parent_span_id=ctx.parent.span_id if ctx.parent else ctx.origin.cause,
            path=ctx.path,
            operation=ctx.operation,
            plugin=ctx.plugin,
            origin="" if ctx.parent else ctx.origin.label,
            started_at=zero + timedelta(seconds=ctx.started_at),
            duration_s=ctx.ended_at - ctx.started_at,
            queries=ctx.queries,
            failure=self._failure(ctx),
            link="" if ctx.parent else ctx.origin.link,
            event="" if taken is None else f"{taken.envelope.topic} {taken.envelope.id}",
            attempt=0 if taken is None else taken.attempts + (not taken.suspect),
        )

    def _failure(self, ctx: Context) -> Failure | None:
        failed = ctx.failure
        return failed and replace(failed, message=self._redact.cut(failed.message))

    def _zero(self) -> datetime:
        """The wall-clock time at which the monotonic clock stood at zero: taken once for all spans
        of an answer, it keeps their order."""
        clock = self._observed.clock
        return clock.now() - timedelta(seconds=clock.monotonic())


def trouble_of(driver: object) -> str:
    """Return what a driver says is wrong with it."""
    return driver.trouble() if isinstance(driver, Troubled) else ""


def own_version() -> str:
    """Return the version of Ringfence that is installed."""
    try:
        return version("ringfence")
    except PackageNotFoundError:
        return "not installed"  # it runs from its sources


def _after(seen: Context | None, kept: Sequence[Context]) -> Sequence[Context]:
    """Return what comes after `seen`; all of it, where that is kept no more."""
    for index in range(len(kept) - 1, -1, -1):
        if kept[index] is seen:
            return kept[index + 1 :]
    return kept


def _in_flight(seat: Seat) -> int:
    return seat.bulkhead.limit - seat.bulkhead.free


def _offers(seat: Seat) -> list[Offered]:
    declared = [d.declaration for offer in seat.facts.offers for d in offer.declared]
    return [Offered(d.kind, d.label.removeprefix(f"{d.kind} ")) for d in declared]

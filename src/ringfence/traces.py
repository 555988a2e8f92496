"""The spans of an application, as they are shown: the contexts that have ended, newest last.

Made from the kernel's ring of contexts when somebody asks; what is kept after a stop holds nothing
of the application. Used by `app.py`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from ringfence.errors import NotFound
from ringfence.kernel.call import Gate
from ringfence.kernel.context import Context
from ringfence.redaction import Redactor
from ringfence.report import Span


class Traces:
    """What one application has done, as far as it is kept."""

    def __init__(self, gate: Gate, redact: Redactor) -> None:
        self._gate = gate
        self._redact = redact
        self._kept: Sequence[Span] | None = None  # once it has stopped

    @property
    def spans(self) -> Sequence[Span]:
        """The contexts that have ended, oldest first, as many as are kept."""
        if self._kept is not None:
            return self._kept
        clock = self._gate.clock
        zero = clock.now() - timedelta(seconds=clock.monotonic())  # once: it keeps their order
        return [self._span(ctx, zero) for ctx in list(self._gate.spans)]

    def find(self, wanted: str) -> list[Span]:
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

    def keep(self) -> None:
        """Let go of the contexts, which refer to the gate, and must not keep it alive."""
        self._kept = self.spans
        self._gate.spans.clear()

    def _span(self, ctx: Context, zero: datetime) -> Span:
        failed, origin = ctx.failure, ctx.origin
        taken = origin.journey.taken if origin.journey and not ctx.parent else None
        return Span(
            trace_id=ctx.trace_id,
            span_id=ctx.span_id,
            parent_span_id=ctx.parent.span_id if ctx.parent else origin.cause,
            path=ctx.path,
            operation=ctx.operation,
            plugin=ctx.plugin,
            origin="" if ctx.parent else origin.label,
            started_at=zero + timedelta(seconds=ctx.started_at),
            duration_s=ctx.ended_at - ctx.started_at,
            queries=ctx.queries,
            failure=failed and replace(failed, message=self._redact.cut(failed.message)),
            link="" if ctx.parent else origin.link,
            event="" if taken is None else f"{taken.envelope.topic} {taken.envelope.id}",
            attempt=0 if taken is None else taken.attempts + (not taken.suspect),
        )

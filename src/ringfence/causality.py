"""What caused what: a trace and the events in it, as one chain of steps.

`chain` puts together the spans that are kept in memory and the deliveries that are stored, so that
it crosses restarts as far as the store does. Values in, values out; called by `app.py`.
"""

from collections.abc import Iterator, Sequence

from ringfence.kernel.delivery import Dead, Done, Pending, Recorded, Retrying, Running, State
from ringfence.report import Cause, Span


def chain(spans: Sequence[Span], recorded: Sequence[Recorded]) -> list[Cause]:
    """Return the steps of a trace, oldest first, each with the step that caused it.

    Args:
        spans: Of the trace, those that are kept.
        recorded: The deliveries of its events; an event without any has no subscription.
    """
    return sorted([*_spans(spans, recorded), *_stored(recorded)], key=lambda step: step.at)


def _spans(spans: Sequence[Span], recorded: Sequence[Recorded]) -> Iterator[Cause]:
    deliveries = {(one.envelope.id, one.subscription): one.id for one in recorded}
    for span in spans:
        _, _, event = span.event.partition(" ")
        # The root of a delivery says which method it ran, as its subscription does.
        delivery = deliveries.get((event, span.operation)) if event else None
        failure = span.failure
        yield Cause(
            kind="span",
            id=span.span_id,
            cause=delivery or span.parent_span_id,
            what=span.origin or span.operation,
            plugin=span.plugin,
            at=span.started_at,
            duration_s=span.duration_s,
            state="failed" if failure else "done",
            attempts=span.attempt,
            error=f"{failure.kind}: {failure.message}" if failure else "",
            where=failure.where if failure else "",
        )


def _stored(recorded: Sequence[Recorded]) -> Iterator[Cause]:
    seen: set[str] = set()
    for one in recorded:
        envelope = one.envelope
        if envelope.id not in seen:
            seen.add(envelope.id)
            yield Cause(
                kind="event",
                id=envelope.id,
                cause=envelope.span_id,
                what=envelope.topic,
                plugin=envelope.plugin,
                at=envelope.published_at,
                state="published",
            )
        if one.subscription:
            word, error = _told(one.state)
            yield Cause(
                kind="delivery",
                id=one.id,
                cause=envelope.id,
                what=one.subscription,
                plugin=one.subscription.rpartition(".")[0],
                at=envelope.published_at,
                state=word,
                attempts=one.attempts,
                error=error,
            )


def _told(state: State) -> tuple[str, str]:
    match state:
        case Pending(behind):
            return ("behind an earlier one of its key" if behind else "waiting"), ""
        case Running():
            return "running", ""
        case Retrying(at, error):
            return f"tried again at {at:%H:%M:%S}", error
        case Done():
            return "done", ""
        case Dead(_, error):
            return "dead", error

"""A trace on a terminal: each span below what caused it, as a bar where and as long as it ran.

`show` prints one. Called by the verb `trace`.
"""

from collections.abc import Iterator, Sequence

from ringfence.cli.terminal import say
from ringfence.errors import BudgetExceeded
from ringfence.report import Span

_BAR = 32
_LABEL = 48


def show(spans: Sequence[Span]) -> None:
    """Print the spans of one trace."""
    start = min(span.started_at for span in spans)
    total_s = max((s.started_at - start).total_seconds() + s.duration_s for s in spans)
    rows = list(_tree(spans))
    width = min(_LABEL, max(len(_label(span, depth)) for span, depth in rows))
    say(("trace ", "dim"), (spans[0].trace_id, "bold"), (f"  {duration(total_s)}", "dim"))
    for span, depth in rows:
        offset_s = (span.started_at - start).total_seconds()
        bar = _bar(offset_s, span.duration_s, total_s)
        label = _label(span, depth)
        label = label if len(label) <= width else label[: width - 1] + "…"
        say(
            label.ljust(width),
            "  ",
            (bar, "bad" if span.failure else "good"),
            f"  {duration(span.duration_s):>8}",
            (f"{_queries(span.queries)}  {span.plugin}", "dim"),
        )
        if span.link:
            say("  " * depth, (f"  ↳ linked to {span.link}, outside", "dim"))
        if span.failure:
            where = f"  ({span.failure.where})" if span.failure.where else ""
            text = f"{span.failure.kind}: {span.failure.message}"
            is_bill = span.failure.kind == BudgetExceeded.__name__
            first, *more = text.split("\n") if is_bill else [text]
            say("  " * depth, ("  ↳ ", "dim"), (first, "bad"), (where, "dim"))
            for line in more:
                say("  " * depth, "    ", (line, "bad"))


def _tree(spans: Sequence[Span]) -> Iterator[tuple[Span, int]]:
    """Yield each span below the one that caused it, in order of time."""
    known = {span.span_id for span in spans}
    below: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda span: span.started_at, reverse=True):
        parent = span.parent_span_id if span.parent_span_id in known else ""
        below.setdefault(parent, []).append(span)
    waiting = [(span, 0) for span in below.get("", [])]
    while waiting:
        span, depth = waiting.pop()
        yield span, depth
        waiting += [(child, depth + 1) for child in below.get(span.span_id, [])]


def _queries(count: int) -> str:
    return f"  {count} {'query' if count == 1 else 'queries'}" if count else ""


def _label(span: Span, depth: int) -> str:
    return "  " * depth + (span.origin or span.operation)


def _bar(offset_s: float, duration_s: float, total_s: float) -> str:
    if total_s <= 0:
        return "█" * _BAR
    first = min(_BAR - 1, int(offset_s / total_s * _BAR))
    length = max(1, min(_BAR - first, round(duration_s / total_s * _BAR)))
    return (" " * first + "█" * length).ljust(_BAR)


def duration(seconds: float) -> str:
    """Return a duration as people read it: `1.2 ms`."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    if seconds >= 0.001:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds * 1_000_000:.0f} µs"

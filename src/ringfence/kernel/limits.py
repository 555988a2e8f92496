"""What bounds a call while it runs: how many at once, and what its tree may spend.

Spending counts integers; the itemised bill is built from spans when a budget breaks. A breach ends
the context that the budget was set on, and that branch alone. Used by `call.py` and `proxy.py`.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ringfence.errors import BudgetExceeded, Overloaded
from ringfence.kernel.context import Budget, Context, Purse
from ringfence.kernel.scope import end

UNLIMITED = 1 << 60  # more than a process can count to; keeps the comparison an integer one


@dataclass(slots=True, eq=False)
class Bulkhead:
    """How many more calls of one plugin may be in progress."""

    plugin: str
    limit: int
    free: int

    def refuse(self) -> Overloaded:
        return Overloaded(
            f"{self.limit} calls are in progress; expected a free place, got none.",
            subject=self.plugin,
            hint="Try again later, or raise plugin_concurrency under [kernel].",
            retry_after_s=1.0,
        )


def purse_for(budget: Budget, outer: Purse | None = None) -> Purse:
    """Return a full purse for `budget`; what the budget leaves open is unlimited in it."""
    return Purse(
        UNLIMITED if budget.calls is None else budget.calls,
        UNLIMITED if budget.queries is None else budget.queries,
        UNLIMITED if budget.events is None else budget.events,
        budget,
        None,
        outer,
    )


def check_call(parent: Context, name: str, spans: Iterable[Context]) -> None:
    """The slow half of spending a call: find which purse is empty, or how deep the chain is."""
    purse = parent.purse
    if parent.depth_left <= 0:
        names = [*_chain(parent), name]
        shown = names if len(names) <= 12 else [*names[:6], "…", *names[-5:]]
        raise BudgetExceeded(
            f"it would be nested {len(names) - 1} calls deep; its budget allows {len(names) - 2}: "
            f"{' → '.join(shown)}.",
            subject=name,
            hint="Look for services that call each other in a circle.",
        )
    if purse.calls < 0:
        raise breach(purse, parent, "calls", spans)
    spend_outer(purse, parent, "calls", spans)


def spend_outer(purse: Purse, ctx: Context, what: str, spans: Iterable[Context]) -> None:
    """Spend one of `what` from every purse around `purse`."""
    outer = purse.outer
    while outer is not None:
        left = getattr(outer, what) - 1
        setattr(outer, what, left)
        if left < 0:
            raise breach(outer, ctx, what, spans)
        outer = outer.outer


def breach(purse: Purse, ctx: Context, what: str, spans: Iterable[Context]) -> BudgetExceeded:
    """End the context that the purse was set on, and return the error with the bill."""
    owner = purse.owner or ctx
    allowed = getattr(purse.budget, what)
    error = BudgetExceeded(
        f"{what}: more than the budget of {allowed} was spent.\n{bill(owner, ctx, what, spans)}\n",
        subject=owner.operation,
        hint=f"Spend less, or raise {what} in the budget that it runs under.",
    )
    end(owner, error)
    return error


def bill(owner: Context, ctx: Context, what: str, spans: Iterable[Context]) -> str:
    """Itemise what the subtree of `owner` spent: operations, how often, how much."""
    items: Counter[str] = Counter()
    open_now: list[Context] = []
    node: Context | None = ctx
    while node is not None:
        open_now.append(node)
        node = None if node is owner else node.parent
    for span in [*(s for s in spans if s.origin is owner.origin), *open_now]:
        if span is owner or _descends(span, owner):
            items[span.operation] += _spent(span, owner, what)
    lines = [f"  {count:>6} {what} by {name}" for name, count in items.most_common() if count]
    return "\n".join(lines) or f"  nothing recorded of {what}"


def _spent(span: Context, owner: Context, what: str) -> int:
    if what == "calls":
        return int(_is_call(span, owner))
    return span.queries if what == "queries" else span.events


def _is_call(span: Context, owner: Context) -> bool:
    """Whether a span below `owner` was called: a transaction's is no deeper than its parent."""
    return (
        span is not owner and span.parent is not None and span.depth_left < span.parent.depth_left
    )


def _descends(span: Context, owner: Context) -> bool:
    node = span.parent
    while node is not None:
        if node is owner:
            return True
        node = node.parent
    return False


def _chain(ctx: Context) -> list[str]:
    names: list[str] = []
    node: Context | None = ctx
    while node is not None:
        names.append(node.operation)
        node = node.parent
    names.reverse()
    return names

"""Events as their authors declare them, and which subscriptions a topic meets.

`event` marks a class, `on` declares a method's standing claim on a pattern of topics; both only
declare. A `Topics` maps patterns to values: `orders.placed` is itself, `orders.*` any one word,
`orders.**` any number of them. Matching costs the length of the topic; a topic that has been asked
for is found by one lookup. Used by `declarations.py`, `verify.py` and `events.py`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Generic, Literal, TypeVar

from msgspec import Struct

from ringfence.kernel.context import Budget
from ringfence.kernel.delivery import WhenFull
from ringfence.kernel.ports import Declaration, declare

F = TypeVar("F", bound=Callable[..., object])
C = TypeVar("C", bound=type)
T = TypeVar("T")

TOPIC = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
PATTERN = re.compile(r"(\*|[a-z][a-z0-9_]*)(\.(\*|[a-z][a-z0-9_]*))*(\.\*\*)?|\*\*")
RETRIES = 5  # with the longest waits, about a minute
CONCURRENCY = 8
# Topics come from declared classes, but an operator may publish anything.
_MOST_CACHED = 10_000


class EventType(Struct, frozen=True):
    """What `@event` says of a class."""

    topic: str
    key: str  # the field whose values are kept in order; empty: no order
    version: int
    durable: bool
    when_full: WhenFull


def event(
    topic: str,
    *,
    key: str = "",
    version: int = 1,
    durable: bool = True,
    when_full: WhenFull = "drop_oldest",
) -> Callable[[C], C]:
    """Mark a class as the event of a topic; its publishers are the features of its domain.

    Args:
        topic: `<domain>.<word>`, under the domain that declares it.
        key: The field whose value orders deliveries: of one key they run in commit order, one at
            a time.
        version: Raise it with a change that an older payload does not fit, and write an `@upcast`.
        durable: False for what may be lost: it is not stored, reaches who subscribes at that
            moment, and is delivered once, or never.
        when_full: What is dropped of an event that is not durable, where a subscription has no
            room for more.
    """

    def mark(cls: C) -> C:
        setattr(cls, "__ringfence_event__", EventType(topic, key, version, durable, when_full))
        return cls

    return mark


def event_type(cls: type) -> EventType | None:
    """Return what `@event` says of this very class; a class derived from an event is none."""
    found = vars(cls).get("__ringfence_event__")
    return found if isinstance(found, EventType) else None


class On(Declaration, frozen=True, kw_only=True):
    """A method's standing claim on the events of a pattern."""

    kind: ClassVar[str] = "subscription"

    pattern: str
    retries: int
    concurrency: int
    broadcast: bool
    from_start: bool

    @property
    def key(self) -> str:
        return self.pattern

    @property
    def label(self) -> str:
        return f"on {self.pattern}"

    def fits(self, topic: str) -> bool:
        """Whether a topic fits the pattern."""
        only: Topics[bool] = Topics()
        only.add(self.pattern, True)
        return bool(only.match(topic))


def on(
    pattern: str,
    *,
    retries: int = RETRIES,
    timeout: float | None = None,
    concurrency: int = CONCURRENCY,
    broadcast: bool = False,
    since: Literal["now", "beginning"] = "now",
    budget: Budget | None = None,
    calls: Sequence[str] = (),
) -> Callable[[F], F]:
    """Run the decorated method for each event whose topic fits the pattern.

    Args:
        pattern: A topic; `*` stands for one of its words, `**` at the end for any number.
        retries: How often a delivery that failed is tried again before it is a dead letter.
        timeout: Seconds for one attempt; without it the wall time of `[budgets.events]` counts.
        concurrency: How many run at a time; of one key never more than one.
        broadcast: Reach every process of the application, from now on, with nothing stored.
        since: Where a subscription begins that is new: with the next event, or with the first one
            that is still kept.
        budget: What one delivery and all that it causes may spend, beside `[budgets.events]`.
        calls: Services that the method reaches through `ctx.call`.

    Guarantees:
        At least once, also after a crash between any two instructions; with a parameter `tx`
        exactly once, as far as its effects are in that transaction. Deliveries of one key run in
        commit order, retries included.
    """
    if timeout is not None:
        wider = budget or Budget()
        budget = Budget(wider.calls, wider.queries, wider.events, wider.depth, timeout)
    return declare(
        On(
            pattern=pattern,
            retries=retries,
            concurrency=concurrency,
            broadcast=broadcast,
            from_start=since == "beginning",
            budget=budget,
            calls=tuple(calls),
        )
    )


class _Node(Generic[T]):
    __slots__ = ("below", "here", "rest")

    def __init__(self) -> None:
        self.below: dict[str, _Node[T]] = {}
        self.here: list[T] = []  # of patterns that end here
        self.rest: list[T] = []  # of those that go on with `**`


class Topics(Generic[T]):
    """Values by pattern of topics, found by topic."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._found: dict[str, tuple[T, ...]] = {}

    def add(self, pattern: str, value: T) -> None:
        """Let `value` be found for every topic that fits."""
        self._listed(pattern).append(value)
        self._found.clear()

    def remove(self, pattern: str, value: T) -> None:
        """Undo one `add`; raises ValueError where there was none."""
        self._listed(pattern).remove(value)
        self._found.clear()

    def match(self, topic: str) -> tuple[T, ...]:
        """Return the values of all patterns that fit, each as often as it was added."""
        try:
            return self._found[topic]
        except KeyError:
            pass
        if len(self._found) >= _MOST_CACHED:
            self._found.clear()
        found = self._found[topic] = tuple(self._matching(topic.split(".")))
        return found

    def _listed(self, pattern: str) -> list[T]:
        *words, last = pattern.split(".")
        node = self._root
        for word in words if last == "**" else (*words, last):
            node = node.below.setdefault(word, _Node())
        return node.rest if last == "**" else node.here

    def _matching(self, words: Sequence[str]) -> Iterator[T]:
        level = [self._root]
        for word in words:
            below: list[_Node[T]] = []
            for node in level:
                yield from node.rest
                below += [node.below[key] for key in (word, "*") if key in node.below]
            level = below
        for node in level:
            yield from node.rest
            yield from node.here

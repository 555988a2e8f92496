"""What is said of an event and of a subscription, and which subscriptions a topic meets.

`EventType` and `On` are what the decorators of `ringfence.author` leave behind. A `Topics` maps
patterns to values: `orders.placed` is itself, `orders.*` any one word, `orders.**` any number of
them. Matching costs the length of the topic; a topic that has been asked for is found by one
lookup. Used by `ringfence.reading`, `publisher.py` and `events.py`.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Generic, TypeVar

from msgspec import Struct

from ringfence.kernel.delivery import WhenFull
from ringfence.kernel.ports import Declaration

T = TypeVar("T")

# Topics come from declared classes, but an operator may publish anything.
_MOST_CACHED = 10_000


class EventType(Struct, frozen=True):
    """What `@event` says of a class."""

    topic: str
    key: str  # the field whose values are kept in order; empty: no order
    version: int
    durable: bool
    when_full: WhenFull


def event_type(cls: type) -> EventType | None:
    """Return what `@event` says of this very class; a class derived from an event is none."""
    found = vars(cls).get("__ringfence_event__")
    return found if isinstance(found, EventType) else None


class On(Declaration, frozen=True, kw_only=True):
    """A method's standing claim on the events of a pattern."""

    kind: ClassVar[str] = "subscription"

    pattern: str
    retries: int = 0
    concurrency: int = 1
    broadcast: bool = False
    from_start: bool = False

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

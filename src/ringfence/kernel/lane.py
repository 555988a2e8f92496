"""One subscription at work: its window, what waits in it, and whether it is paused.

A lane holds at most WINDOW deliveries in hand: promised while a transaction commits, waiting,
running, or ended and not written down yet. Whatever is beyond that stays in the store. Owned by
`events.py`, which alone changes it.
"""

from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from ringfence.kernel.call import Opener
from ringfence.kernel.context import Inbound, current
from ringfence.kernel.delivery import DeliveryStore, Envelope, Taken, WhenFull
from ringfence.kernel.topics import On

WINDOW = 64
Read = Callable[[Envelope], tuple[object, ...]]


class Way(Protocol):
    """The way into a handler."""

    @property
    def open(self) -> Opener: ...

    def refused(self, error: Exception, inbound: Inbound | None = None) -> str:
        """Record what was turned away before it could be opened; return the trace id."""
        ...


class Active(Struct, frozen=True, tag="active"):
    """Deliveries run."""


class Paused(Struct, frozen=True, tag="paused"):
    """None runs, but for a probe: its handler's infrastructure failed, or an operator said so."""

    since: datetime
    cause: str
    by_operator: bool = False


class Lane:
    """A subscription.

    Args:
        name: `inventory.hold_stock.hold`.
        on: How it is declared.
        way: Into its handler; None where its plugin could not be loaded.
        read: From an event to the handler's arguments.
    """

    def __init__(
        self,
        name: str,
        plugin: str,
        on: On,
        way: Way | None = None,
        read: Read | None = None,
    ) -> None:
        self.name = name
        self.plugin = plugin
        self.on = on
        self.way = way
        self.read = read
        self.number = -1  # the store's; until it is known, nothing is stored for it
        self.state: Active | Paused = Active()
        self.held = 0  # places of the window in use
        self.running = 0
        self.behind = False  # the store may have more
        self.fetching = False
        self.strikes = 0  # failures of the infrastructure, one after the other
        self.waiting: deque[Taken] = deque()
        self.passing: deque[Taken] = deque()  # of events that are not stored
        self.delivered = self.failed = self.dead = self.dropped = 0

    @property
    def is_free(self) -> bool:
        """Whether a new event may have a place at once: none waits in the store before it."""
        at_work = isinstance(self.state, Active) and not self.behind and not self.fetching
        return at_work and self.held < WINDOW

    @property
    def wants_more(self) -> bool:
        """Whether it is time to take more from the store."""
        idle = self.behind and not self.fetching and isinstance(self.state, Active)
        return idle and self.held <= WINDOW // 2

    def next(self) -> Taken | None:
        """Return what is to run now, if anything may."""
        # After a failure of the infrastructure, one at a time finds out whether it is over.
        most = 1 if self.strikes else self.on.concurrency
        if self.running >= most or isinstance(self.state, Paused):
            return None
        if self.waiting:
            return self.waiting.popleft()
        return self.passing.popleft() if self.passing else None

    def offer(self, taken: Taken, when_full: WhenFull) -> None:
        """Take an event that is not stored, or drop one where there is no room."""
        if len(self.passing) < WINDOW:
            self.passing.append(taken)
            return
        self.dropped += 1
        if when_full == "drop_oldest":
            self.passing.popleft()
            self.passing.append(taken)


async def mark(store: DeliveryStore) -> None:
    """Write down, in the transaction that a delivery's handler runs in, that it is done; for a
    service that a delivery calls, and for what no delivery has caused, do nothing."""
    ctx = current.get()
    while ctx is not None and ctx.held is not None:
        ctx = ctx.parent
    journey = None if ctx is None or ctx.parent is not None else ctx.origin.journey
    if ctx is not None and journey is not None and journey.taken.seq:
        journey.follower = await store.mark(journey.taken, ctx.trace_id, ctx.span_id)
        journey.marked = True

"""An event on its way: what is stored of it, the states of a delivery, and the store's contract.

Values and protocols only. `events.py` decides what is delivered when; a `DeliveryStore`, which a
driver of a database offers, keeps it, in the transaction that the event belongs to. Invariant: one
delivery for each subscription that an event meets; its state is one of `State`. Tools import these
names from `ports.py`.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal, Protocol, TypeVar

from msgspec import Struct
from msgspec.json import decode

T = TypeVar("T")
WhenFull = Literal["drop_oldest", "drop_newest"]


class Envelope(Struct, frozen=True):
    """An event as it is stored: its payload, and what caused it."""

    id: str  # 32 hexadecimal digits, made by the publisher; those made later sort later
    topic: str
    version: int
    key: str | None  # of one key, deliveries run in commit order
    payload: bytes  # JSON
    published_at: datetime
    plugin: str  # who published it
    trace_id: str
    span_id: str  # of the context that published it
    principal: str | None = None
    tenant: str | None = None
    hops: tuple[str, ...] = ()  # topics of the events that led to it, the oldest first
    allowance: int = 0  # how many events its deliveries may cause, in all
    due_at: datetime | None = None  # of a delayed event: not before
    durable: bool = True  # otherwise it is not stored, and lost in a crash
    when_full: WhenFull = "drop_oldest"  # of one that is not durable


class Delivery(Struct, frozen=True):
    """What a handler may know of the delivery that it runs for: take a parameter of this type.

    Args:
        id: Of the event; the same for each attempt and each subscription.
        topic: What was published; a handler of a wildcard tells events apart by it.
        version: Of the payload's schema.
        key: The value that it is ordered by, if any.
        payload: As it was published, JSON.
        published_at: When, in UTC.
        attempt: 1 for the first.
        publisher: The plugin that published it.
        principal: Who asked for what published it: for the record, with no rights.
    """

    id: str
    topic: str
    version: int
    key: str | None
    payload: bytes
    published_at: datetime
    attempt: int
    publisher: str
    principal: str | None = None

    def read(self, into: type[T]) -> T:
        """Read the payload as a type; raises msgspec.ValidationError where it does not fit."""
        return decode(self.payload, type=into)


# ---- the states of a delivery


class Pending(Struct, frozen=True, tag="pending"):
    """It waits for its turn; `behind` an earlier one of its key, or for a free place."""

    behind: bool = False


class Running(Struct, frozen=True, tag="running"):
    """A process has it in hand. Found so after a crash, it is a suspect."""


class Retrying(Struct, frozen=True, tag="retrying"):
    """It has failed, and is tried again."""

    at: datetime
    error: str


class Done(Struct, frozen=True, tag="done"):
    """Its handler has ended well, and with `tx`, its writes are committed."""

    at: datetime


class Dead(Struct, frozen=True, tag="dead"):
    """A dead letter: nothing is tried any more until somebody replays it."""

    at: datetime
    error: str


State = Pending | Running | Retrying | Done | Dead


class Taken(Struct, frozen=True):
    """A delivery that this process has in hand."""

    envelope: Envelope
    seq: int  # the event's place in the order of commits
    subscription: int  # the store's number of it
    attempts: int = 0  # that have failed, or were cut off by a crash
    suspect: bool = False  # a crash found it running


class Journey(Struct, eq=False):
    """A delivery seen from the context that it runs in; shared by all that it causes."""

    taken: Taken
    subscription: str
    published: int = 0  # events, so far
    marked: bool = False  # its handler's transaction has marked it
    follower: Taken | None = None  # the next of its key, should that transaction end well


class Route(Struct, frozen=True):
    """That an event meets a subscription; `place`, if one is held for it at once."""

    subscription: int
    place: bool


class Kept(Struct, frozen=True):
    """What became of a route when its event was stored.

    Args:
        route: What `Dispatch.route` said.
        taken: The delivery in hand: it got the place, and is the first of its key.
        behind: It waits for an earlier one of its key, whose end brings it up.
    """

    route: Route
    taken: Taken | None = None
    behind: bool = False


class Subscribed(Struct, frozen=True):
    """A subscription as it is declared."""

    name: str  # `inventory.hold_stock.hold`
    pattern: str
    fits: Callable[[str], bool]  # whether a topic fits the pattern
    from_start: bool = False  # when it is new: whether it gets what is kept


class Standing(Struct, frozen=True):
    """A subscription as it is stored."""

    number: int
    name: str
    pattern: str
    paused: str = ""  # why an operator has paused it; empty: it is not paused
    waiting: int = 0  # deliveries that are neither done nor dead
    dead: int = 0
    declared: bool = True  # whether the application still has it
    oldest_at: datetime | None = None  # when the oldest waiting event was published


# ---- what the store asks of the kernel


class Seal(Protocol):
    """How a tool through which features publish makes an event an envelope; it spends the event
    from the current context's budget.

    Raises:
        NotGranted: Its class is no event of the plugin's domain.
        BudgetExceeded: The context has published as many as it may.
    """

    def __call__(
        self, event: object, plugin: str, domain: str, delay_s: float | None = None
    ) -> Envelope: ...


class Dispatch(Protocol):
    """The kernel's part of a publication. None of these may wait."""

    def route(self, envelope: Envelope) -> Sequence[Route]:
        """Say which deliveries an event has; asked while it is written, in commit order. A place
        is held until `committed` or `lost`."""
        ...

    def committed(self, kept: Sequence[Kept]) -> None:
        """The COMMIT has succeeded: all its deliveries, in commit order."""
        ...

    def lost(self, routes: Sequence[Route]) -> None:
        """The COMMIT has failed, or was never reached; their places are free again."""
        ...

    def delayed(self, until: datetime) -> None:
        """An event has been stored that is due then."""
        ...

    def arrived(self) -> None:
        """Another process has stored events, or an operator has replayed some: look again."""
        ...

    def pass_on(self, envelope: Envelope) -> None:
        """Deliver an event to whoever keeps nothing of it. Called for every event that is due,
        stored or not, once the transaction that it was published in has ended well."""
        ...


# ---- what the kernel asks of the store


class Settled(Struct, frozen=True):
    """How a delivery in hand has ended, to be written down."""

    delivery: Taken
    state: State  # Pending: given back, uncharged
    attempts: int
    trace_id: str = ""  # of its last attempt
    span_id: str = ""


class Due(Struct, frozen=True):
    """What has become due.

    Args:
        subscriptions: Those with retries that may be taken now.
        next_at: When the next retry or delayed event is due; None where none is stored.
    """

    subscriptions: Sequence[int]
    next_at: datetime | None


class DeadLetter(Struct, frozen=True):
    """A dead letter, with all that explains it."""

    id: str  # `<event>.<number of the subscription>`
    subscription: str
    envelope: Envelope
    attempts: int
    state: Dead
    trace_id: str
    span_id: str


class Recorded(Struct, frozen=True):
    """A delivery as it stands in the store, for whoever asks what became of an event."""

    id: str
    subscription: str
    envelope: Envelope
    seq: int
    attempts: int
    state: State
    trace_id: str = ""
    span_id: str = ""


class DeliveryStore(Protocol):
    """Where the events of an application, and their deliveries, are kept.

    Guarantees: an event is stored by the COMMIT of the transaction that it was published in, or not
    at all; `seq` grows in the order of commits; of one subscription and key at most one delivery is
    taken, retrying or suspect at a time, and always the first that is neither done nor dead.
    Raises ToolUnavailable where its backend is down; nothing has happened then.
    """

    async def open(
        self, subscriptions: Sequence[Subscribed], dispatch: Dispatch
    ) -> Sequence[Standing]:
        """Make known what the application subscribes to; return all that is stored."""
        ...

    async def lead(self) -> bool:
        """Try to become the one process that delivers; return whether it is this one. Held until
        `close` or the end of the process. Whatever is Running when it becomes so is a suspect."""
        ...

    async def close(self) -> None:
        """Give up the lead. What is in hand has been settled."""
        ...

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Store events in a transaction of their own, and return once they are durable."""
        ...

    async def suspects(self, limit: int) -> Sequence[Taken]:
        """Return deliveries that a crash found running, in commit order; they stay so."""
        ...

    async def begin(self, delivery: Taken) -> None:
        """Write down, durably, that one more attempt of a suspect begins."""
        ...

    async def take(self, subscription: int, limit: int, now: datetime) -> Sequence[Taken]:
        """Take up to `limit` deliveries that may run by `now`, in commit order: Running from here
        on. Fewer than `limit`: no more may run now."""
        ...

    async def settle(self, settled: Sequence[Settled]) -> Sequence[Taken]:
        """Write down how deliveries have ended, in one transaction. One that is not Running any
        more, because its handler's transaction has marked it, is left as it is.

        Returns:
            The next of each key whose delivery is Done or Dead, by this or by its mark, as far as
            there is one: taken in its place.
        """
        ...

    async def mark(self, delivery: Taken, trace_id: str, span_id: str) -> Taken | None:
        """Mark a delivery Done in the transaction that the current context holds: both are
        committed, or none.

        Returns:
            The next of its key, taken in its place, should the transaction end well.

        Raises:
            SerializationFailure: It is not this process's any more; the transaction must not end
                well.
        """
        ...

    async def due(self, now: datetime) -> Due:
        """Let the delayed events that are due take their place in the order of commits, as if they
        were published now, and say what may be taken by `now` and when to ask again."""
        ...

    async def retain(self, before: datetime, limit: int) -> int:
        """Forget up to `limit` events published before then whose deliveries are all done; return
        how many. Cheap enough to be called often with a small limit."""
        ...

    # ---- for whoever operates it

    async def standings(self) -> Sequence[Standing]:
        """Return every subscription that is stored."""
        ...

    async def pause(self, subscription: int, why: str) -> None:
        """Store that a subscription is paused, until `why` is empty."""
        ...

    async def forget(self, subscription: int) -> int:
        """Remove a subscription that is declared no more, with its deliveries; return how many."""
        ...

    async def find(self, wanted: str) -> Sequence[Recorded]:
        """Return the deliveries of the events whose id, trace or span begins so, or of the one
        delivery named; an event without any is one with an empty subscription."""
        ...

    async def events(self, after: int, limit: int, topic: str = "") -> Sequence[Recorded]:
        """Return events, with no deliveries, in commit order, from the first after `after`; a
        negative `after` counts from the end."""
        ...

    async def dead(
        self, subscription: str = "", topic: str = "", wanted: str = "", limit: int = 100
    ) -> Sequence[DeadLetter]:
        """Return dead letters, the newest first."""
        ...

    async def edit(self, wanted: str, payload: bytes) -> None:
        """Replace the payload of one dead letter's event, for that delivery alone."""
        ...

    async def replay(self, ids: Sequence[str]) -> int:
        """Let dead letters run again, out of order, their attempts forgotten; return how many."""
        ...

    async def drop(self, ids: Sequence[str]) -> int:
        """Count dead letters as done; return how many there were."""
        ...

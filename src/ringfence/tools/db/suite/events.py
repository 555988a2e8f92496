"""What the suite of events is run against: processes of one application, and a kernel that routes
by a list and notes what it is told.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from itertools import count

from msgspec import Struct, json

from ringfence.kernel.ports import (
    Dead,
    DeliveryStore,
    Done,
    Envelope,
    Kept,
    Recorded,
    Retrying,
    Route,
    Settled,
    State,
    Subscribed,
    Taken,
)
from ringfence.tools.db.contract import Database

NOON = datetime(2026, 11, 30, 12, 0, 0, 123_456, tzinfo=UTC)
READER = "sales.count.placed"
_ids = count(1)


class Noted(Struct, frozen=True):
    """An event."""

    n: int
    key: str | None = None
    topic: str = "orders.noted"
    durable: bool = True


def seal(event: object, plugin: str, domain: str, delay_s: float | None = None) -> Envelope:
    """Make an event of this suite an envelope; in the place of the kernel's."""
    assert isinstance(event, Noted)
    due_at = NOON + timedelta(seconds=delay_s) if delay_s else None
    return Envelope(
        id=f"e{next(_ids):031x}",
        topic=event.topic,
        version=1,
        key=event.key,
        payload=json.encode({"n": event.n}),
        published_at=NOON,
        plugin=plugin,
        trace_id=f"{event.n:032x}",
        span_id=f"{event.n:016x}",
        principal="user:1",
        tenant="a",
        hops=("orders.before",),
        allowance=7,
        due_at=due_at,
        durable=event.durable,
    )


def envelope(n: int, key: str | None = None, topic: str = "orders.noted") -> Envelope:
    """Return an event that was published by itself."""
    return seal(Noted(n, key, topic), "orders.place_order", "orders")


class Kernel:
    """The kernel's part: a list of subscriptions, each with a number of free places."""

    def __init__(self, places: int = 0) -> None:
        self.free = places
        self.numbers: dict[str, int] = {}
        self.wanted: list[Subscribed] = []
        self.kept: list[Kept] = []
        self.passed: list[Envelope] = []
        self.delays: list[datetime] = []
        self.held = 0  # places that were promised and are not settled
        self.news = asyncio.Event()
        self.asked = asyncio.Event()  # an event is being written

    @property
    def taken(self) -> list[Taken]:
        """What it has been given at once."""
        return [one.taken for one in self.kept if one.taken is not None]

    def route(self, envelope: Envelope) -> Sequence[Route]:
        self.asked.set()
        routes: list[Route] = []
        for one in self.wanted:
            if one.fits(envelope.topic):
                place = self.free > 0
                self.free -= place
                self.held += place
                routes.append(Route(self.numbers[one.name], place))
        return routes

    def committed(self, kept: Sequence[Kept]) -> None:
        self.held -= sum(one.route.place for one in kept)
        self.kept += kept

    def lost(self, routes: Sequence[Route]) -> None:
        self.held -= sum(route.place for route in routes)
        self.free += sum(route.place for route in routes)

    def delayed(self, until: datetime) -> None:
        self.delays.append(until)

    def arrived(self) -> None:
        self.news.set()

    def pass_on(self, envelope: Envelope) -> None:
        self.passed.append(envelope)


class Process(Struct, frozen=True):
    """One process: its store, and the database as the plugin `orders.place_order` has it."""

    store: DeliveryStore
    db: Database

    async def begin(self, kernel: Kernel, *names: str, from_start: bool = False) -> int:
        """Open the store for subscriptions to `orders.*`, and take the lead; return the number of
        the first."""
        kernel.wanted = [
            Subscribed(name, "orders.*", lambda topic: topic.startswith("orders."), from_start)
            for name in names
        ]
        standings = await self.store.open(kernel.wanted, kernel)
        kernel.numbers = {standing.name: standing.number for standing in standings}
        await self.store.lead()
        return kernel.numbers[names[0]] if names else 0

    async def states(self) -> list[tuple[int, State, int]]:
        """Return number of the event, state and attempts of each delivery, in commit order."""
        found = [one for one in await self.all() if one.subscription]
        return [(n_of(one.envelope), one.state, one.attempts) for one in found]

    async def all(self) -> list[Recorded]:
        """Return all that is stored."""
        return [
            one
            for event in await self.store.events(0, 10_000)
            for one in await self.store.find(event.id)
        ]


Start = Callable[[], AbstractAsyncContextManager[Process]]


def n_of(envelope: Envelope) -> int:
    """Return the number in an event."""
    return int(json.decode(envelope.payload)["n"])


def numbers(taken: Sequence[Taken]) -> list[int]:
    """Return the numbers in the events of deliveries."""
    return [n_of(one.envelope) for one in taken]


def done(taken: Taken) -> Settled:
    """Return that a delivery has ended well."""
    return Settled(taken, Done(NOON), taken.attempts, "a" * 32, "b" * 16)


def dead(taken: Taken) -> Settled:
    """Return that a delivery is a dead letter."""
    return Settled(taken, Dead(NOON, "Boom: no"), taken.attempts + 1, "a" * 32, "b" * 16)


def retrying(taken: Taken, at: datetime = NOON) -> Settled:
    """Return that a delivery is to be tried again."""
    return Settled(taken, Retrying(at, "Boom: no"), taken.attempts + 1)

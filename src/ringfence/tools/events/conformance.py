"""The executable contract of `events`: what every driver does, run against each of them.

class TestMyEvents(EventsConformance):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject: ...

The driver's `ToolEnv.seal` and `ToolEnv.events` are those of an `Outside`, which stands for kernel
and store; the handle is for the plugin `orders.place_order`.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from msgspec import Struct

from ringfence.errors import NotGranted, ToolUnavailable, TransactionHeld
from ringfence.kernel.ports import Context, DeliveryStore, Envelope, current
from ringfence.tools.events.contract import Events

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Placed(Struct, frozen=True):
    """An event of the domain `orders`."""

    n: int


class Outside:
    """What a driver meets: it seals instances of `Placed`, and stores what it is given."""

    def __init__(self) -> None:
        self.stored: list[Envelope] = []
        self.down = False
        self.hold: asyncio.Event | None = None  # what storing waits for, if for anything
        self._sealed = 0

    def seal(
        self, event: object, plugin: str, domain: str, delay_s: float | None = None
    ) -> Envelope:
        """Serve `ToolEnv.seal`."""
        if not isinstance(event, Placed):
            raise NotGranted("it is no event.", subject=plugin)
        self._sealed += 1
        return Envelope(
            id=f"{self._sealed:032x}",
            topic=f"{domain}.placed",
            version=1,
            key=None,
            payload=b'{"n":%d}' % event.n,
            published_at=NOON,
            plugin=plugin,
            trace_id=f"{1:032x}",
            span_id=f"{1:016x}",
            due_at=NOON + timedelta(seconds=delay_s) if delay_s else None,
        )

    def events(self) -> DeliveryStore:
        """Serve `ToolEnv.events`."""
        return cast(DeliveryStore, self)  # of which a driver may use `publish` alone

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Serve `DeliveryStore.publish`."""
        if self.hold is not None:
            await self.hold.wait()
        if self.down:
            raise ToolUnavailable("the store is down.", subject="events")
        self.stored += envelopes


class Subject(Struct, frozen=True):
    """A started driver.

    Args:
        events: Its handle for the plugin `orders.place_order`.
        outside: What its environment was made of.
        context: A context that is not inside a transaction yet.
    """

    events: Events
    outside: Outside
    context: Context


class Transaction:
    """A transaction in progress, as a context holds it."""

    holder = "orders.place_order"


class EventsConformance:
    """What a driver of `events` does."""

    @pytest.mark.anyio
    async def test_publish_returns_the_id_once_the_event_is_stored(self, subject: Subject) -> None:
        """Not before."""
        subject.outside.hold = asyncio.Event()
        publishing = asyncio.ensure_future(subject.events.publish(Placed(7)))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not publishing.done()
        subject.outside.hold.set()
        event_id = await publishing
        (stored,) = subject.outside.stored
        assert (stored.id, stored.payload) == (event_id, b'{"n":7}')
        assert (stored.topic, stored.plugin) == ("orders.placed", "orders.place_order")
        assert stored.due_at is None

    @pytest.mark.anyio
    async def test_a_delay_is_part_of_what_is_stored(self, subject: Subject) -> None:
        """The event is due then."""
        await subject.events.publish(Placed(1), delay_s=90)
        assert subject.outside.stored[0].due_at == NOON + timedelta(seconds=90)

    @pytest.mark.anyio
    async def test_events_are_stored_in_the_order_of_publishing(self, subject: Subject) -> None:
        """Whoever awaits one before the next gets this order."""
        ids = [await subject.events.publish(Placed(n)) for n in range(5)]
        assert [stored.id for stored in subject.outside.stored] == ids

    @pytest.mark.anyio
    async def test_what_could_not_be_stored_raises(self, subject: Subject) -> None:
        """It is never accepted and forgotten."""
        subject.outside.down = True
        with pytest.raises(ToolUnavailable):
            await subject.events.publish(Placed(1))
        assert subject.outside.stored == []

    @pytest.mark.anyio
    async def test_what_is_no_event_raises(self, subject: Subject) -> None:
        """As the kernel says; nothing is stored."""
        with pytest.raises(NotGranted):
            await subject.events.publish({"n": 1})
        assert subject.outside.stored == []

    @pytest.mark.anyio
    async def test_it_is_refused_inside_a_transaction(self, subject: Subject) -> None:
        """Which may be rolled back; the error names its holder, and what to use there."""
        subject.context.held = Transaction()
        before = current.set(subject.context)
        try:
            with pytest.raises(TransactionHeld, match=r"orders\.place_order") as refused:
                await subject.events.publish(Placed(1))
        finally:
            current.reset(before)
        assert "tx.publish" in refused.value.hint
        assert subject.outside.stored == []

"""`Outbox`: the kernel's `DeliveryStore`, over the contract of the database.

What is done to the tables is in `writing.py` and `desk.py`; here it is put into transactions, and
the kernel is told how they ended. Made by a driver, which knows how one process is made the only
one that delivers.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar, runtime_checkable

from msgspec import Struct

from ringfence.errors import ToolUnavailable
from ringfence.kernel.ports import (
    Clock,
    DeadLetter,
    DeliveryStore,
    Dispatch,
    Due,
    Envelope,
    Recorded,
    Settled,
    Standing,
    Subscribed,
    Taken,
)
from ringfence.tools.db.contract import SerializationFailure, UnitOfWork
from ringfence.tools.db.outbox import desk, writing
from ringfence.tools.db.outbox.tables import (
    DELIVERY,
    EVENT,
    DeliveryRow,
    microseconds,
    moment,
)

R = TypeVar("R")
_PROMOTED = 100  # delayed events in one transaction

_NEW = (
    "INSERT INTO ringfence_subscriptions (name, pattern, paused, declared) VALUES ($1, $2, '', 1)"
    " RETURNING number"
)
_KNOWN = "UPDATE ringfence_subscriptions SET pattern = $2, declared = 1 WHERE name = $1"
_FROM_START = (
    "INSERT INTO ringfence_deliveries (seq, subscription, key, state, attempts)"
    " SELECT seq, $1, key, 0, 0 FROM ringfence_events WHERE topic = $2"
)
_BEHIND = (
    "UPDATE ringfence_deliveries SET state = 1 WHERE subscription = $1 AND key IS NOT NULL"
    " AND state < 4 AND seq > (SELECT min(d.seq) FROM ringfence_deliveries d"
    " WHERE d.subscription = $1 AND d.key = ringfence_deliveries.key AND d.state < 4)"
)
_SUSPECTS = (
    f"SELECT {EVENT}, {DELIVERY} FROM ringfence_deliveries d"  # noqa: S608
    " JOIN ringfence_events e ON e.seq = d.seq WHERE d.state = 2 AND d.state < 4"
    " ORDER BY d.seq LIMIT $1"
)
_BEGIN = (
    "UPDATE ringfence_deliveries SET attempts = $3"
    " WHERE seq = $1 AND subscription = $2 AND state = 2"
)
_DUE = (
    "SELECT DISTINCT subscription AS number FROM ringfence_deliveries"
    " WHERE state = 3 AND state < 4 AND at_us <= $1"
)
_NEXT = (
    "SELECT min(at) AS number FROM (SELECT min(at_us) AS at FROM ringfence_deliveries"
    " WHERE state = 3 AND state < 4 AND at_us > $1"
    " UNION ALL SELECT min(due_us) FROM ringfence_delayed)"
)
_OLD = (
    "SELECT seq AS number FROM ringfence_events e WHERE published_us < $1"
    " AND seq < (SELECT max(seq) FROM ringfence_events)"
    " AND NOT EXISTS (SELECT 1 FROM ringfence_deliveries d WHERE d.seq = e.seq AND d.state <> 5)"
    " ORDER BY seq LIMIT $2"
)


class _Number(Struct):
    number: int | None


class Lead(Protocol):
    """The right to be the one process that delivers what is in a database."""

    def take(self) -> bool:
        """Try to get it, without waiting; held until `release` or the end of the process."""
        ...

    def release(self) -> None: ...


class Writes(Protocol):
    """What the outbox needs of the database beyond its contract."""

    async def run(self, work: Callable[[UnitOfWork], R]) -> R: ...

    async def publish(self, batch: writing.Batch) -> None:
        """Write a batch in a transaction of its own, and `end` it, in commit order."""
        ...

    async def within(self, work: Callable[[UnitOfWork], R]) -> R:
        """Run a unit of work inside the transaction that the current context holds."""
        ...


@runtime_checkable
class KeepsEvents(Protocol):
    """A driver that offers to be the store of an application's events."""

    def events(self) -> DeliveryStore: ...


class Outbox:
    """The events of one application, in one of its databases."""

    def __init__(self, database: Writes, lead: Lead, clock: Clock) -> None:
        self._database = database
        self._lead = lead
        self._clock = clock
        self._dispatch: Dispatch | None = None

    # ---- for the kernel

    async def open(
        self, subscriptions: Sequence[Subscribed], dispatch: Dispatch
    ) -> Sequence[Standing]:
        def work(unit: UnitOfWork) -> list[Standing]:
            unit.execute("UPDATE ringfence_subscriptions SET declared = 0")
            for one in subscriptions:
                if not unit.execute(_KNOWN, one.name, one.pattern):
                    number = unit.fetch_value(_NEW, one.name, one.pattern, into=int)
                    if one.from_start:
                        _from_start(unit, number, one)
            return desk.standings(unit)

        standings = await self._database.run(work)
        self._dispatch = dispatch
        return standings

    async def lead(self) -> bool:
        return self._lead.take()

    async def close(self) -> None:
        self._dispatch = None
        self._lead.release()

    def batch(self, envelopes: Sequence[Envelope]) -> writing.Batch:
        """Return events to be written in a transaction.

        Raises:
            ToolUnavailable: The subscriptions are not known yet, so that nobody would get them.
        """
        if self._dispatch is None:
            raise ToolUnavailable(
                "events cannot be stored: the application's subscriptions are not known yet.",
                subject="events",
                hint="The database was not there when the application started; try again.",
                retry_after_s=1.0,
            )
        return writing.Batch(envelopes, self._dispatch)

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        await self._database.publish(self.batch(envelopes))

    async def suspects(self, limit: int) -> Sequence[Taken]:
        rows = await self._database.run(
            lambda unit: unit.fetch_all(_SUSPECTS, limit, into=DeliveryRow)
        )
        return [row.taken(suspect=True) for row in rows]

    async def begin(self, delivery: Taken) -> None:
        values = (delivery.seq, delivery.subscription, delivery.attempts + 1)
        await self._database.run(lambda unit: unit.execute(_BEGIN, *values))

    async def take(self, subscription: int, limit: int, now: datetime) -> Sequence[Taken]:
        return await self._database.run(lambda unit: writing.take(unit, subscription, limit, now))

    async def settle(self, settled: Sequence[Settled]) -> Sequence[Taken]:
        return await self._database.run(lambda unit: writing.settle(unit, settled))

    async def mark(self, delivery: Taken, trace_id: str, span_id: str) -> Taken | None:
        now = self._clock.now()
        in_hand, follower = await self._database.within(
            lambda unit: writing.mark(unit, delivery, now, trace_id, span_id)
        )
        if not in_hand:
            raise SerializationFailure(
                "the delivery is not this process's any more; nothing of it is kept.",
                subject=f"{delivery.envelope.topic} {delivery.envelope.id}",
            )
        return follower

    async def due(self, now: datetime) -> Due:
        promoted = _PROMOTED
        while promoted == _PROMOTED and self._dispatch is not None:
            batch = writing.Promotion(now, _PROMOTED, self._dispatch)
            await self._database.publish(batch)
            promoted = len(batch.envelopes)
        us = microseconds(now)

        def work(unit: UnitOfWork) -> Due:
            numbers = [row.number for row in unit.fetch_all(_DUE, us, into=_Number)]
            following = unit.fetch_one(_NEXT, us, into=_Number)
            next_us = following.number if following is not None else None
            at = None if next_us is None else moment(next_us)
            return Due([number for number in numbers if number is not None], at)

        return await self._database.run(work)

    async def retain(self, before: datetime, limit: int) -> int:
        us = microseconds(before)

        def work(unit: UnitOfWork) -> int:
            rows = [(row.number,) for row in unit.fetch_all(_OLD, us, limit, into=_Number)]
            unit.execute_many("DELETE FROM ringfence_deliveries WHERE seq = $1", rows)
            unit.execute_many("DELETE FROM ringfence_events WHERE seq = $1", rows)
            return len(rows)

        return await self._database.run(work)

    # ---- for whoever operates it

    async def standings(self) -> Sequence[Standing]:
        return await self._database.run(desk.standings)

    async def pause(self, subscription: int, why: str) -> None:
        sql = "UPDATE ringfence_subscriptions SET paused = $2 WHERE number = $1"
        await self._database.run(lambda unit: unit.execute(sql, subscription, why))

    async def forget(self, subscription: int) -> int:
        def work(unit: UnitOfWork) -> int:
            unit.execute(
                "DELETE FROM ringfence_subscriptions WHERE number = $1 AND declared = 0",
                subscription,
            )
            return unit.execute(
                "DELETE FROM ringfence_deliveries WHERE subscription = $1 AND NOT EXISTS"
                " (SELECT 1 FROM ringfence_subscriptions WHERE number = $1)",
                subscription,
            )

        return await self._database.run(work)

    async def find(self, wanted: str) -> Sequence[Recorded]:
        return await self._database.run(lambda unit: desk.find(unit, wanted))

    async def events(self, after: int, limit: int, topic: str = "") -> Sequence[Recorded]:
        return await self._database.run(lambda unit: desk.events(unit, after, limit, topic))

    async def dead(
        self, subscription: str = "", topic: str = "", wanted: str = "", limit: int = 100
    ) -> Sequence[DeadLetter]:
        return await self._database.run(
            lambda unit: desk.dead(unit, subscription, topic, wanted, limit)
        )

    async def edit(self, wanted: str, payload: bytes) -> None:
        await self._database.run(lambda unit: desk.edit(unit, wanted, payload))

    async def replay(self, ids: Sequence[str]) -> int:
        count = await self._database.run(lambda unit: desk.replay(unit, ids))
        if self._dispatch is not None:
            self._dispatch.arrived()
        return count

    async def drop(self, ids: Sequence[str]) -> int:
        return await self._database.run(lambda unit: desk.drop(unit, ids))


def _from_start(unit: UnitOfWork, number: int, one: Subscribed) -> None:
    """Give a new subscription all events that are kept."""
    rows = unit.fetch_all("SELECT DISTINCT topic FROM ringfence_events")
    for row in rows:
        if one.fits(str(row["topic"])):
            unit.execute(_FROM_START, number, row["topic"])
    unit.execute(_BEHIND, number)

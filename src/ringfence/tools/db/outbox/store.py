"""`Outbox`: the kernel's `DeliveryStore`, over the contract of the database.

What is done to the tables is in `writing.py` and `desk.py`; here it is put into transactions, and
the kernel is told how they ended. Made by a driver, through `service.Handles`. Invariant: what
holds up other writers is bounded; what looks through many rows reads, and holds up nobody.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from contextvars import Context as Variables
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar, runtime_checkable

from msgspec import Struct

from ringfence.errors import ToolError, ToolUnavailable
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
from ringfence.tools.db.contract import (
    Database,
    SerializationFailure,
    Transaction,
    UnitOfWork,
)
from ringfence.tools.db.engine import Ending
from ringfence.tools.db.outbox import desk, writing
from ringfence.tools.db.outbox.publishing import Publishing
from ringfence.tools.db.outbox.tables import (
    DELIVERY,
    EVENT,
    DeliveryRow,
    microseconds,
    moment,
)
from ringfence.tools.db.work import Execute

R = TypeVar("R")
# What one piece of a transaction may do before others get the event loop: a millisecond or two.
_PROMOTED = 64  # delayed events
_SETTLED = 64  # deliveries
_AGED = 100  # events that are looked at
LOOK_EVERY_S = 1.0  # whether another process has written

_NEW = (
    "INSERT INTO ringfence_subscriptions (name, pattern, paused, declared) VALUES ($1, $2, '', 1)"
    " RETURNING number"
)
_KNOWN = "UPDATE ringfence_subscriptions SET pattern = $2, declared = 1 WHERE name = $1"
_UNDECLARED = "UPDATE ringfence_subscriptions SET declared = 0 WHERE declared = 1"
_PAUSE = "UPDATE ringfence_subscriptions SET paused = $2 WHERE number = $1"
_TOPICS = "SELECT DISTINCT topic FROM ringfence_events"
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
    f"SELECT {EVENT}, {DELIVERY} FROM ringfence_subscriptions s"  # noqa: S608
    " CROSS JOIN ringfence_deliveries d CROSS JOIN ringfence_events e"
    " WHERE d.subscription = s.number AND d.state = 2 AND e.seq = d.seq"
    " ORDER BY d.seq LIMIT $1"
)
_BEGIN = (
    "UPDATE ringfence_deliveries SET attempts = $3"
    " WHERE seq = $1 AND subscription = $2 AND state = 2"
)
_DUE = (
    "SELECT s.number FROM ringfence_subscriptions s WHERE s.declared = 1 AND EXISTS"
    " (SELECT 1 FROM ringfence_deliveries d"
    " WHERE d.subscription = s.number AND d.state = 3 AND d.at_us <= $1)"
)
_NEXT = (
    "SELECT min(at) AS number FROM (SELECT (SELECT min(d.at_us) FROM ringfence_deliveries d"
    " WHERE d.subscription = s.number AND d.state = 3 AND d.at_us > $1) AS at"
    " FROM ringfence_subscriptions s WHERE s.declared = 1"
    " UNION ALL SELECT min(due_us) FROM ringfence_delayed)"
)


class _Number(Struct):
    number: int | None


class Lead(Protocol):
    """The right to be the one process that delivers what is in a database."""

    def take(self) -> bool:
        """Try to get it, without waiting; held until `release` or the end of the process."""
        ...

    def release(self) -> None: ...

    async def version(self) -> int:
        """Return a number that changes when another process has written."""
        ...


class Writes(Protocol):
    """What the outbox needs of the database beyond its contract."""

    async def run(
        self, steps: Iterable[Callable[[UnitOfWork], R]], ending: Ending | None = None
    ) -> list[R]:
        """Run short pieces of work in one transaction, which may last."""
        ...

    async def within(self, work: Callable[[UnitOfWork], R]) -> R:
        """Run a short piece of work inside the transaction that the current context holds."""
        ...

    def expect_alone(self, subject: str) -> None:
        """Raise TransactionHeld where the current context holds a transaction."""
        ...

    def unit(self, execute: Execute) -> UnitOfWork:
        """Return the kernel's unit of work over a way to execute."""
        ...


@runtime_checkable
class KeepsEvents(Protocol):
    """A driver that offers to be the store of an application's events."""

    def events(self) -> DeliveryStore: ...


class Outbox:
    """The events of one application, in one of its databases.

    Args:
        database: As the kernel sees it.
        writes: What its contract has not.
        lead: Who delivers.
        clock: The application's.
    """

    def __init__(self, database: Database, writes: Writes, lead: Lead, clock: Clock) -> None:
        self._database = database
        self._writes = writes
        self._lead = lead
        self._clock = clock
        self._dispatch: Dispatch | None = None
        self._subscribed = False
        self._watching: asyncio.Task[None] | None = None
        self._aged = 0  # up to here, `retain` has looked
        self._publishing = Publishing(self._store)

    # ---- for the kernel

    async def open(
        self, subscriptions: Sequence[Subscribed], dispatch: Dispatch
    ) -> Sequence[Standing]:
        async with self._database.transaction(hold_s=math.inf) as tx:
            await tx.execute(_UNDECLARED)
            for one in subscriptions:
                if not await tx.execute(_KNOWN, one.name, one.pattern):
                    number = await tx.fetch_value(_NEW, one.name, one.pattern, into=int)
                    if one.from_start:
                        await _from_start(tx, number, one)
        standings = await self.standings()
        self._dispatch, self._subscribed = dispatch, bool(subscriptions)
        return standings

    async def lead(self) -> bool:
        leads = self._lead.take()
        if leads and self._subscribed and self._watching is None:
            seen = await self._lead.version()
            loop = asyncio.get_running_loop()
            self._watching = loop.create_task(self._watch(seen), context=Variables())
        return leads

    async def close(self) -> None:
        # What is published from now on, by plugins that stop, is stored for the next start.
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
            self._watching = None
        self._lead.release()

    async def _watch(self, seen: int) -> None:
        """Notice what other processes have stored: SQLite's own way to tell is to be asked."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            with suppress(ToolError):  # asked again
                now = await self._lead.version()
                if now != seen and self._dispatch is not None:
                    seen = now
                    self._dispatch.arrived()

    def expect_open(self) -> None:
        """Raise ToolUnavailable while the subscriptions are not known: nobody would get it."""
        if self._dispatch is None:
            raise ToolUnavailable(
                "events cannot be stored: the application's subscriptions are not known yet.",
                subject="events",
                hint="The database was not there when the application started; try again.",
                retry_after_s=1.0,
            )

    def batch(self, envelopes: list[Envelope]) -> writing.Batch:
        """Return events to be written in a transaction."""
        return writing.Batch(envelopes, self._dispatch, self._writes.unit)

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        self.expect_open()
        self._writes.expect_alone("events.publish")
        await self._publishing.publish(envelopes)

    async def _store(self, envelopes: list[Envelope]) -> None:
        await self._writes.run((), self.batch(envelopes))

    async def suspects(self, limit: int) -> Sequence[Taken]:
        rows = await self._database.fetch_all(_SUSPECTS, limit, into=DeliveryRow)
        return [row.taken(suspect=True) for row in rows]

    async def begin(self, delivery: Taken) -> None:
        values = (delivery.seq, delivery.subscription, delivery.attempts + 1)
        await self._run(lambda unit: unit.execute(_BEGIN, *values))

    async def take(self, subscription: int, limit: int, now: datetime) -> Sequence[Taken]:
        return await self._run(lambda unit: writing.take(unit, subscription, limit, now))

    async def settle(self, settled: Sequence[Settled]) -> Sequence[Taken]:
        pieces = [settled[at : at + _SETTLED] for at in range(0, len(settled), _SETTLED)]
        steps = [partial(_settle, piece) for piece in pieces]
        followers = await self._writes.run(steps)
        return [follower for some in followers for follower in some]

    async def mark(self, delivery: Taken, trace_id: str, span_id: str) -> Taken | None:
        now = self._clock.now()
        in_hand, follower = await self._writes.within(
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
            found: list[Envelope] = []
            promote = partial(_promote, now, found)
            await self._writes.run([promote], self.batch(found))
            promoted = len(found)
        us = microseconds(now)
        numbers = await self._database.fetch_all(_DUE, us, into=_Number)
        following = await self._database.fetch_one(_NEXT, us, into=_Number)
        next_us = following.number if following is not None else None
        at = None if next_us is None else moment(next_us)
        return Due([row.number for row in numbers if row.number is not None], at)

    async def retain(self, before: datetime, limit: int) -> int:
        count = 0
        while count < limit:
            most, after = min(_AGED, limit - count), self._aged
            gone, self._aged = await self._run(partial(_forget_old, after, before, most))
            count += gone
            if not self._aged:
                break
        return count

    async def _run(self, work: Callable[[UnitOfWork], R]) -> R:
        (result,) = await self._writes.run([work])
        return result

    # ---- for whoever operates it

    async def standings(self) -> Sequence[Standing]:
        return await desk.standings(self._database)

    async def pause(self, subscription: int, why: str) -> None:
        await self._database.execute(_PAUSE, subscription, why)

    async def forget(self, subscription: int) -> int:
        async with self._database.transaction(hold_s=math.inf) as tx:
            return await desk.forget(tx, subscription)

    async def find(self, wanted: str) -> Sequence[Recorded]:
        return await desk.find(self._database, wanted)

    async def events(self, after: int, limit: int, topic: str = "") -> Sequence[Recorded]:
        return await desk.events(self._database, after, limit, topic)

    async def dead(
        self, subscription: str = "", topic: str = "", wanted: str = "", limit: int = 100
    ) -> Sequence[DeadLetter]:
        return await desk.dead(self._database, subscription, topic, wanted, limit)

    async def edit(self, wanted: str, payload: bytes) -> None:
        async with self._database.transaction() as tx:
            await desk.edit(tx, wanted, payload)

    async def replay(self, ids: Sequence[str]) -> int:
        async with self._database.transaction(hold_s=math.inf) as tx:
            count = await desk.replay(tx, ids)
        if self._dispatch is not None:
            self._dispatch.arrived()
        return count

    async def drop(self, ids: Sequence[str]) -> int:
        async with self._database.transaction(hold_s=math.inf) as tx:
            return await desk.drop(tx, ids)


def _settle(settled: Sequence[Settled], unit: UnitOfWork) -> list[Taken]:
    return writing.settle(unit, settled)


def _promote(now: datetime, into: list[Envelope], unit: UnitOfWork) -> None:
    writing.promote(unit, now, _PROMOTED, into)


def _forget_old(after: int, before: datetime, limit: int, unit: UnitOfWork) -> tuple[int, int]:
    return writing.forget_old(unit, after, before, limit)


async def _from_start(tx: Transaction, number: int, one: Subscribed) -> None:
    """Give a new subscription all events that are kept."""
    for row in await tx.fetch_all(_TOPICS):
        if one.fits(str(row["topic"])):
            await tx.execute(_FROM_START, number, row["topic"])
    await tx.execute(_BEHIND, number)

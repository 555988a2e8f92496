"""What is done to events and deliveries inside a transaction, as units of work.

Each function takes the unit first. Invariant: of one subscription and key, only the first delivery
that is neither done nor dead is anything but BEHIND; whatever ends it brings up the next one in the
same transaction. Called by `store.py`.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from ringfence.kernel.ports import Dispatch, Envelope, Kept, Route, Settled, Taken
from ringfence.tools.db.contract import UnitOfWork
from ringfence.tools.db.outbox.tables import (
    BEHIND,
    DEAD,
    DELIVERY,
    DONE,
    EVENT,
    PENDING,
    RUNNING,
    DeliveryRow,
    columns,
    event_values,
    microseconds,
    packed,
    unpacked,
)

_PUT_EVENT = (
    "INSERT INTO ringfence_events"
    " (id, topic, version, key, payload, published_us, trace_id, span_id, cause)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING seq"
)
_PUT_DELIVERY = (
    "INSERT INTO ringfence_deliveries (seq, subscription, key, state, attempts)"
    " VALUES ($1, $2, $3, $4, 0)"
)
_KEY_IS_BUSY = (
    "SELECT count(*) FROM (SELECT 1 FROM ringfence_deliveries"
    " WHERE subscription = $1 AND key = $2 AND state < 4 LIMIT 1)"
)
_FIRST_OF_KEY = (
    "SELECT seq, state FROM ringfence_deliveries"
    " WHERE subscription = $1 AND key = $2 AND state < 4 ORDER BY seq LIMIT 1"
)
_DELAY = "INSERT INTO ringfence_delayed (id, due_us, envelope) VALUES ($1, $2, $3)"
_JOINED = f"SELECT {EVENT}, {DELIVERY} FROM ringfence_deliveries d JOIN ringfence_events e ON e.seq = d.seq"  # noqa: E501, S608
ONE = f"{_JOINED} WHERE d.seq = $1 AND d.subscription = $2"
WAITING = (
    f"{_JOINED} WHERE d.subscription = $1 AND d.state = 0 AND d.state < 4 ORDER BY d.seq LIMIT $2"
)
FAILED = (
    f"{_JOINED} WHERE d.subscription = $1 AND d.state = 3 AND d.state < 4 AND d.at_us <= $3"
    " ORDER BY d.seq LIMIT $2"
)
_TAKE = "UPDATE ringfence_deliveries SET state = 2 WHERE seq = $1 AND subscription = $2"
_SETTLE = (
    "UPDATE ringfence_deliveries SET state = $3, at_us = $4, error = $5, attempts = $6,"
    " trace_id = $7, span_id = $8 WHERE seq = $1 AND subscription = $2 AND state = 2"
)
_MARK = (
    "UPDATE ringfence_deliveries SET state = 5, at_us = $3, attempts = $4, trace_id = $5,"
    " span_id = $6 WHERE seq = $1 AND subscription = $2 AND state = 2"
)
_DUE = "SELECT envelope FROM ringfence_delayed WHERE due_us <= $1 ORDER BY due_us, id LIMIT $2"
_UNDELAY = "DELETE FROM ringfence_delayed WHERE id = $1"


class _Place(Struct):
    seq: int
    state: int


class _Delayed(Struct):
    envelope: bytes


class Batch:
    """Events that are stored together, in one transaction; `end` says how that went."""

    def __init__(self, envelopes: Sequence[Envelope], dispatch: Dispatch) -> None:
        self.envelopes = envelopes
        self._dispatch = dispatch
        self._routes: list[Route] = []
        self._kept: list[Kept] = []

    def write(self, unit: UnitOfWork) -> None:
        """Store the events and their deliveries, in order."""
        for envelope in self.envelopes:
            if not envelope.durable:
                continue
            if envelope.due_at is not None:
                due_us = microseconds(envelope.due_at)
                unit.execute(_DELAY, envelope.id, due_us, packed(envelope))
                continue
            seq = unit.fetch_value(_PUT_EVENT, *event_values(envelope), into=int)
            routes = self._dispatch.route(envelope)
            self._routes += routes
            self._kept += [_deliver(unit, envelope, seq, route) for route in routes]

    def end(self, committed: bool) -> None:
        """Tell the kernel: everything is delivered now, or nothing has happened."""
        if not committed:
            self._dispatch.lost(self._routes)
            return
        self._dispatch.committed(self._kept)
        for envelope in self.envelopes:
            if envelope.due_at is None:
                self._dispatch.pass_on(envelope)
            elif envelope.durable:
                self._dispatch.delayed(envelope.due_at)


class Promotion(Batch):
    """The delayed events that are due: published, and delayed no longer, in one transaction."""

    def __init__(self, now: datetime, limit: int, dispatch: Dispatch) -> None:
        super().__init__((), dispatch)
        self._now = now
        self._limit = limit

    def write(self, unit: UnitOfWork) -> None:
        found = unit.fetch_all(_DUE, microseconds(self._now), self._limit, into=_Delayed)
        self.envelopes = [unpacked(row.envelope, self._now) for row in found]
        unit.execute_many(_UNDELAY, [(envelope.id,) for envelope in self.envelopes])
        super().write(unit)


def _deliver(unit: UnitOfWork, envelope: Envelope, seq: int, route: Route) -> Kept:
    number, key = route.subscription, envelope.key
    behind = key is not None and unit.fetch_value(_KEY_IS_BUSY, number, key, into=int) > 0
    take = route.place and not behind
    state = BEHIND if behind else RUNNING if take else PENDING
    unit.execute(_PUT_DELIVERY, seq, number, key, state)
    return Kept(route, Taken(envelope, seq, number) if take else None, behind)


def take(unit: UnitOfWork, subscription: int, limit: int, now: datetime) -> list[Taken]:
    """Take what may run, retries that are due first."""
    rows = unit.fetch_all(FAILED, subscription, limit, microseconds(now), into=DeliveryRow)
    if len(rows) < limit:
        rows += unit.fetch_all(WAITING, subscription, limit - len(rows), into=DeliveryRow)
    unit.execute_many(_TAKE, [(row.seq, row.subscription) for row in rows])
    rows.sort(key=lambda row: row.seq)
    return [row.taken() for row in rows]


def settle(unit: UnitOfWork, settled: Sequence[Settled]) -> list[Taken]:
    """Write down how deliveries ended; return the next of each key, taken."""
    followers: list[Taken] = []
    for one in settled:
        delivery = one.delivery
        state, at_us, error = columns(one.state)
        values = (state, at_us, error, one.attempts, one.trace_id, one.span_id)
        changed = unit.execute(_SETTLE, delivery.seq, delivery.subscription, *values)
        if delivery.envelope.key is not None and (state in (DONE, DEAD) or not changed):
            followers += _follower(unit, delivery, marked=not changed)
    return followers


def mark(
    unit: UnitOfWork, delivery: Taken, now: datetime, trace_id: str, span_id: str
) -> tuple[bool, Taken | None]:
    """Mark a delivery Done; return whether it was in hand, and the next of its key, taken."""
    values = (microseconds(now), delivery.attempts, trace_id, span_id)
    if not unit.execute(_MARK, delivery.seq, delivery.subscription, *values):
        return False, None
    return True, next(_follower(unit, delivery), None)


def _follower(unit: UnitOfWork, ended: Taken, *, marked: bool = False) -> Iterator[Taken]:
    """Yield the next of a key, taken; where the mark has taken it, it is Running already."""
    number, key = ended.subscription, ended.envelope.key
    first = unit.fetch_one(_FIRST_OF_KEY, number, key, into=_Place)
    if first is None or first.seq == ended.seq:
        return
    seq, state = first.seq, first.state
    if state == BEHIND:
        unit.execute(_TAKE, seq, number)
    elif not (marked and state == RUNNING):
        return
    row = unit.fetch_one(ONE, seq, number, into=DeliveryRow)
    if row is not None:
        yield row.taken()

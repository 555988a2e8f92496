"""What is done to events and deliveries inside a transaction, as units of work.

Each function takes the unit first; none of them does more than a few hundred short statements, as
they run on the event loop. Invariant: of the deliveries of one subscription and key that are
neither done nor dead, exactly one is not BEHIND: the first, unless an operator has replayed an
earlier one. Whatever ends it brings up the first in the same transaction. Called by `store.py`.
"""

from collections.abc import Callable, Iterator, Sequence
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
from ringfence.tools.db.work import Execute

# The most rows of one statement: past this, more of them cost as much in a statement of their own.
_ROWS = 8
_LAST = "SELECT coalesce(max(seq), 0) FROM ringfence_events"
_PUT_EVENT = (
    "INSERT INTO ringfence_events"
    " (seq, id, topic, version, key, payload, published_us, trace_id, span_id, cause)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
)
_PUT_DELIVERIES = [
    "INSERT INTO ringfence_deliveries (seq, subscription, key, state, attempts)"  # noqa: S608
    " VALUES "
    + ", ".join(f"(${n + 1}, ${n + 2}, ${n + 3}, ${n + 4}, 0)" for n in range(0, 4 * rows, 4))
    for rows in range(1, _ROWS + 1)
]
KEY_IS_BUSY = (
    "SELECT count(*) FROM (SELECT 1 FROM ringfence_deliveries"
    " WHERE subscription = $1 AND key = $2 AND state < 4 LIMIT 1)"
)
_FIRST_OF_KEY = (
    "SELECT seq, state FROM ringfence_deliveries"
    " WHERE subscription = $1 AND key = $2 AND state < 4 ORDER BY seq LIMIT 1"
)
_DELAY = "INSERT INTO ringfence_delayed (id, due_us, envelope) VALUES ($1, $2, $3)"
_JOINED = (
    f"SELECT {EVENT}, {DELIVERY} FROM ringfence_deliveries d"  # noqa: S608
    " JOIN ringfence_events e ON e.seq = d.seq"
)
_ONE = f"{_JOINED} WHERE d.seq = $1 AND d.subscription = $2"
_WAITING = f"{_JOINED} WHERE d.subscription = $1 AND d.state = 0 ORDER BY d.seq LIMIT $2"
_FAILED = (
    f"{_JOINED} WHERE d.subscription = $1 AND d.state = 3 AND d.at_us <= $3"
    " ORDER BY d.at_us, d.seq LIMIT $2"
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
_FOLLOW = "UPDATE ringfence_deliveries SET follower = $3 WHERE seq = $1 AND subscription = $2"
_FOLLOWED = (
    f"{_JOINED} WHERE d.subscription = $2 AND +d.state = 2 AND d.seq ="  # noqa: S608
    " (SELECT m.follower FROM ringfence_deliveries m"
    " WHERE m.seq = $1 AND m.subscription = $2 AND m.state = 5)"
)
_DUE = "SELECT envelope FROM ringfence_delayed WHERE due_us <= $1 ORDER BY due_us, id LIMIT $2"
_UNDELAY = "DELETE FROM ringfence_delayed WHERE id = $1"
_OLD = (
    "SELECT e.seq, e.published_us < $3 AS old, NOT EXISTS (SELECT 1 FROM ringfence_deliveries d"
    " WHERE d.seq = e.seq AND d.state <> 5) AS finished FROM ringfence_events e"
    " WHERE e.seq > $1 AND e.seq < (SELECT max(seq) FROM ringfence_events)"
    " ORDER BY e.seq LIMIT $2"
)


class _Place(Struct):
    seq: int
    state: int


class _Delayed(Struct):
    envelope: bytes


class _Aged(Struct):
    seq: int
    old: int
    finished: int


class Batch:
    """Events that are stored together, in one transaction. Serves `engine.Ending`.

    Args:
        envelopes: In the order of publishing; more may come until `begin`.
        dispatch: The kernel's part of it.
        unit: Makes a way to execute the kernel's unit of work.
    """

    __slots__ = ("_dispatch", "_kept", "_routed", "_unit", "envelopes")

    def __init__(
        self,
        envelopes: list[Envelope],
        dispatch: Dispatch | None,
        unit: Callable[[Execute], UnitOfWork],
    ) -> None:
        self.envelopes = envelopes
        self._dispatch = dispatch
        self._unit = unit
        self._routed: list[tuple[Envelope, Sequence[Route]]] = []
        self._kept: list[Kept] = []

    def begin(self) -> bool:
        """Ask the kernel for the deliveries of each event that is stored as published."""
        if not self.envelopes or self._dispatch is None:
            return False
        route = self._dispatch.route
        self._routed = [(e, route(e)) for e in self.envelopes if e.durable and e.due_at is None]
        return True

    def write(self, execute: Execute) -> None:
        """Store the events and their deliveries, in order."""
        unit = self._unit(execute)
        waiting = [
            (envelope.id, microseconds(envelope.due_at), packed(envelope))
            for envelope in self.envelopes
            if envelope.durable and envelope.due_at is not None
        ]
        if waiting:
            unit.execute_many(_DELAY, waiting)
        if not self._routed:
            return
        busy: set[tuple[int, str]] = set()  # keys that have had a delivery in this batch
        deliveries: list[object] = []
        first = unit.fetch_value(_LAST, into=int) + 1  # nobody else writes meanwhile
        for seq, (envelope, routes) in enumerate(self._routed, first):
            unit.execute(_PUT_EVENT, seq, *event_values(envelope))
            for route in routes:
                behind = _is_behind(unit, route.subscription, envelope.key, busy)
                take = route.place and not behind
                state = BEHIND if behind else RUNNING if take else PENDING
                deliveries += (seq, route.subscription, envelope.key, state)
                taken = Taken(envelope, seq, route.subscription) if take else None
                self._kept.append(Kept(route, taken, behind))
        for at in range(0, len(deliveries), 4 * _ROWS):
            values = deliveries[at : at + 4 * _ROWS]
            unit.execute(_PUT_DELIVERIES[len(values) // 4 - 1], *values)

    def end(self, committed: bool) -> None:
        """Tell the kernel: everything is delivered now, or nothing has happened."""
        dispatch = self._dispatch
        assert dispatch is not None
        if not committed:
            dispatch.lost([route for _, routes in self._routed for route in routes])
            return
        dispatch.committed(self._kept)
        for envelope in self.envelopes:
            if envelope.due_at is None:
                dispatch.pass_on(envelope)
            elif envelope.durable:
                dispatch.delayed(envelope.due_at)


def _no_unit(execute: Execute) -> UnitOfWork:
    raise NotImplementedError


NONE = Batch([], None, _no_unit)  # of a database that keeps no events


def _is_behind(
    unit: UnitOfWork, subscription: int, key: str | None, busy: set[tuple[int, str]]
) -> bool:
    if key is None:
        return False
    if (subscription, key) in busy:
        return True
    busy.add((subscription, key))
    return unit.fetch_value(KEY_IS_BUSY, subscription, key, into=int) > 0


def promote(unit: UnitOfWork, now: datetime, limit: int, into: list[Envelope]) -> None:
    """Let delayed events that are due be delayed no longer; they are to be published `into`."""
    found = unit.fetch_all(_DUE, microseconds(now), limit, into=_Delayed)
    into += [unpacked(row.envelope, now) for row in found]
    unit.execute_many(_UNDELAY, [(envelope.id,) for envelope in into])


def take(unit: UnitOfWork, subscription: int, limit: int, now: datetime) -> list[Taken]:
    """Take what may run, retries that are due first."""
    rows = unit.fetch_all(_FAILED, subscription, limit, microseconds(now), into=DeliveryRow)
    if len(rows) < limit:
        rows += unit.fetch_all(_WAITING, subscription, limit - len(rows), into=DeliveryRow)
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
        if delivery.envelope.key is None:
            continue
        if not changed:
            followers += _taken_by_mark(unit, delivery)
        elif state in (DONE, DEAD):
            followers += _follower(unit, delivery)
    return followers


def mark(
    unit: UnitOfWork, delivery: Taken, now: datetime, trace_id: str, span_id: str
) -> tuple[bool, Taken | None]:
    """Mark a delivery Done; return whether it was in hand, and the next of its key, taken."""
    place = (delivery.seq, delivery.subscription)
    values = (microseconds(now), delivery.attempts, trace_id, span_id)
    if not unit.execute(_MARK, *place, *values):
        return False, None
    if delivery.envelope.key is None:
        return True, None
    follower = next(_follower(unit, delivery), None)
    if follower is not None:  # whoever settles the delivery nevertheless is to be told of it
        unit.execute(_FOLLOW, *place, follower.seq)
    return True, follower


def _follower(unit: UnitOfWork, ended: Taken) -> Iterator[Taken]:
    """Yield the next of a key, taken."""
    number, key = ended.subscription, ended.envelope.key
    first = unit.fetch_one(_FIRST_OF_KEY, number, key, into=_Place)
    if first is None or first.state != BEHIND:
        return
    unit.execute(_TAKE, first.seq, number)
    row = unit.fetch_one(_ONE, first.seq, number, into=DeliveryRow)
    if row is not None:
        yield row.taken()


def _taken_by_mark(unit: UnitOfWork, ended: Taken) -> Iterator[Taken]:
    """Yield the delivery that the mark of this one has taken; once."""
    place = (ended.seq, ended.subscription)
    row = unit.fetch_one(_FOLLOWED, *place, into=DeliveryRow)
    if row is not None:
        unit.execute(_FOLLOW, *place, None)
        yield row.taken()


def forget_old(unit: UnitOfWork, after: int, before: datetime, limit: int) -> tuple[int, int]:
    """Look at `limit` events after a place in the order of commits, and forget those published
    before then of which nothing is left to do.

    Returns:
        How many, and where to go on; 0 where those that follow are newer.
    """
    rows = unit.fetch_all(_OLD, after, limit, microseconds(before), into=_Aged)
    gone = [(row.seq,) for row in rows if row.old and row.finished]
    unit.execute_many("DELETE FROM ringfence_deliveries WHERE seq = $1", gone)
    unit.execute_many("DELETE FROM ringfence_events WHERE seq = $1", gone)
    ends = len(rows) < limit or not any(row.old for row in rows)
    return len(gone), 0 if ends else rows[-1].seq

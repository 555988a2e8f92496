"""What an operator sees and does: events, dead letters, subscriptions, and what became of an id.

Each function takes the database, or the transaction, first. What is looked for in many rows is
read, which holds up nobody. Called by `store.py`.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from ringfence.errors import Conflict, NotFound
from ringfence.kernel.ports import Dead, DeadLetter, Pending, Recorded, Standing
from ringfence.tools.db.contract import Database, Queries, Transaction
from ringfence.tools.db.outbox.tables import (
    BEHIND,
    DEAD,
    DELIVERY,
    EVENT,
    PENDING,
    RETRYING,
    RUNNING,
    DeliveryRow,
    EventRow,
    moment,
    waiting,
)
from ringfence.tools.db.outbox.writing import KEY_IS_BUSY

_STANDINGS = """
SELECT s.number, s.name, s.pattern, s.paused, s.declared,
    coalesce(l.waiting, 0) AS waiting, coalesce(x.dead, 0) AS dead,
    (SELECT e.published_us FROM ringfence_events e WHERE e.seq = l.oldest) AS oldest_us
FROM ringfence_subscriptions s
LEFT JOIN (SELECT subscription, sum(many) AS waiting, min(first) AS oldest FROM (
    SELECT subscription, count(*) AS many, min(seq) AS first
        FROM ringfence_deliveries WHERE state = 0 GROUP BY subscription
    UNION ALL SELECT subscription, count(*), min(seq)
        FROM ringfence_deliveries WHERE state = 1 GROUP BY subscription
    UNION ALL SELECT subscription, count(*), min(seq)
        FROM ringfence_deliveries WHERE state = 2 GROUP BY subscription
    UNION ALL SELECT subscription, count(*), min(seq)
        FROM ringfence_deliveries WHERE state = 3 GROUP BY subscription
    ) GROUP BY subscription) l ON l.subscription = s.number
LEFT JOIN (SELECT subscription, count(*) AS dead
    FROM ringfence_deliveries WHERE state = 4 GROUP BY subscription) x ON x.subscription = s.number
WHERE s.declared >= 0 ORDER BY s.name
"""
_EVENTS = f"SELECT {EVENT} FROM ringfence_events e WHERE e.seq > $1"  # noqa: S608
_NAMED = (
    f"SELECT {EVENT}, {DELIVERY}, s.name AS reader FROM ringfence_deliveries d"  # noqa: S608
    " JOIN ringfence_events e ON e.seq = d.seq"
    " LEFT JOIN ringfence_subscriptions s ON s.number = d.subscription"
)
_FOUND = """
SELECT seq FROM ringfence_events WHERE id >= $1 AND id < $2
UNION SELECT seq FROM ringfence_events WHERE trace_id >= $1 AND trace_id < $2
UNION SELECT seq FROM ringfence_events WHERE span_id >= $1 AND span_id < $2
UNION SELECT seq FROM ringfence_deliveries WHERE trace_id >= $1 AND trace_id < $2
UNION SELECT seq FROM ringfence_deliveries WHERE span_id >= $1 AND span_id < $2
ORDER BY seq LIMIT $3
"""
_FOUND_DELIVERIES = f"{_NAMED} WHERE d.seq IN ({_FOUND})"
_FOUND_EVENTS = (
    f"SELECT {EVENT} FROM ringfence_events e WHERE e.seq IN ({_FOUND})"  # noqa: S608
    " AND NOT EXISTS (SELECT 1 FROM ringfence_deliveries d WHERE d.seq = e.seq)"
)
_FOUND_DELAYED = (
    "SELECT envelope FROM ringfence_delayed WHERE id >= $1 AND id < $2 ORDER BY id LIMIT $3"
)
_DEAD = (
    f"{_NAMED} WHERE d.state = 4 AND ($1 = '' OR s.name = $1) AND ($2 = '' OR e.topic = $2)"
    " AND e.id >= $3 AND e.id < $4 AND ($5 = -1 OR d.subscription = $5)"
    " ORDER BY d.seq DESC LIMIT $6"
)
_EDIT = "UPDATE ringfence_deliveries SET payload = $3 WHERE seq = $1 AND subscription = $2"
_REPLAY = (
    "UPDATE ringfence_deliveries SET state = $3, attempts = 0, at_us = NULL, error = NULL"
    " WHERE seq = $1 AND subscription = $2"
)
_DROP = "UPDATE ringfence_deliveries SET state = 5 WHERE seq = $1 AND subscription = $2"
_FORGET = (
    "UPDATE ringfence_subscriptions SET declared = -1, name = name || ' (forgotten, ' || number"
    " || ')' WHERE number = $1 AND declared = 0"
)
_FORGET_UNFINISHED = [
    f"DELETE FROM ringfence_deliveries WHERE subscription = $1 AND state = {state}"  # noqa: S608
    for state in (PENDING, BEHIND, RUNNING, RETRYING, DEAD)
]
_MOST_FOUND = 1000
_HEX = frozenset("0123456789abcdef")
_PAST_HEX = "g"  # the next after all that begin with the same digits


class _StandingRow(Struct):
    number: int
    name: str
    pattern: str
    paused: str
    declared: int
    waiting: int
    dead: int
    oldest_us: int | None


class _NamedRow(DeliveryRow):
    reader: str | None

    def recorded(self) -> Recorded:
        return Recorded(
            self.name,
            self.reader or str(self.subscription),
            self.envelope(self.edited),
            self.seq,
            self.attempts,
            self.standing(),
            self.ended_trace_id or "",
            self.ended_span_id or "",
        )


class _DelayedRow(Struct):
    envelope: bytes


async def standings(database: Database) -> list[Standing]:
    """Return every subscription that is stored."""
    return [
        Standing(
            row.number,
            row.name,
            row.pattern,
            row.paused,
            row.waiting,
            row.dead,
            bool(row.declared),
            None if row.oldest_us is None else moment(row.oldest_us),
        )
        for row in await database.fetch_all(_STANDINGS, into=_StandingRow)
    ]


async def events(database: Database, after: int, limit: int, topic: str) -> list[Recorded]:
    """Return events without their deliveries, in commit order."""
    if after < 0:  # from the end, of those of the topic
        sql = f"{_EVENTS} AND ($2 = '' OR e.topic = $2) ORDER BY e.seq DESC LIMIT $3"
        rows = await database.fetch_all(sql, 0, topic, min(-after, limit), into=EventRow)
        return [row.recorded_alone() for row in reversed(rows)]
    if topic:
        sql = f"{_EVENTS} AND e.topic = $2 ORDER BY e.seq LIMIT $3"
        rows = await database.fetch_all(sql, after, topic, limit, into=EventRow)
    else:
        sql = f"{_EVENTS} ORDER BY e.seq LIMIT $2"
        rows = await database.fetch_all(sql, after, limit, into=EventRow)
    return [row.recorded_alone() for row in rows]


async def find(database: Database, wanted: str) -> list[Recorded]:
    """Return the deliveries of the events that an id, or the beginning of one, stands for."""
    if "." in wanted:
        row = await _named(database, wanted)
        return [] if row is None else [row.recorded()]
    if not wanted or not _HEX.issuperset(wanted):
        return []
    params = (wanted, wanted + _PAST_HEX, _MOST_FOUND)
    named = await database.fetch_all(_FOUND_DELIVERIES, *params, into=_NamedRow)
    alone = await database.fetch_all(_FOUND_EVENTS, *params, into=EventRow)
    found = [row.recorded() for row in named] + [row.recorded_alone() for row in alone]
    found.sort(key=lambda one: (one.seq, one.id))
    delayed = await database.fetch_all(_FOUND_DELAYED, *params, into=_DelayedRow)
    return found + [_delayed(row.envelope) for row in delayed]


def _delayed(content: bytes) -> Recorded:
    envelope = waiting(content)
    return Recorded(envelope.id, "", envelope, 0, 0, Pending())


async def dead(
    database: Database, subscription: str, topic: str, wanted: str, limit: int
) -> list[DeadLetter]:
    """Return dead letters, the newest first."""
    event, dot, number = wanted.partition(".")
    if not _HEX.issuperset(event) or (dot and not _is_number(number)):
        return []
    # Of an id that is followed by a number, all is given: only itself is below this.
    before = f"{event}0" if dot else f"{event}{_PAST_HEX}"
    only = int(number) if dot else -1
    rows = await database.fetch_all(
        _DEAD, subscription, topic, event, before, only, limit, into=_NamedRow
    )
    return list(_letters(rows))


def _letters(rows: Sequence[_NamedRow]) -> Iterator[DeadLetter]:
    for row in rows:
        one, state = row.recorded(), row.standing()
        if isinstance(state, Dead):
            yield DeadLetter(
                one.id,
                one.subscription,
                one.envelope,
                one.attempts,
                state,
                one.trace_id,
                one.span_id,
            )


async def edit(tx: Transaction, wanted: str, payload: bytes) -> None:
    """Replace the payload of one dead letter; raises NotFound, or Conflict where it is none."""
    row = await _letter(tx, wanted)
    await tx.execute(_EDIT, row.seq, row.subscription, payload)


async def replay(tx: Transaction, ids: Sequence[str]) -> int:
    """Let dead letters run again: those of one key in the order of their commits."""
    rows = [await _letter(tx, wanted) for wanted in dict.fromkeys(ids)]
    for row in sorted(rows, key=lambda row: row.seq):
        number, key = row.subscription, row.key
        busy = key is not None and await tx.fetch_value(KEY_IS_BUSY, number, key, into=int) > 0
        await tx.execute(_REPLAY, row.seq, number, BEHIND if busy else PENDING)
    return len(rows)


async def drop(tx: Transaction, ids: Sequence[str]) -> int:
    """Count dead letters as done."""
    rows = [await _letter(tx, wanted) for wanted in dict.fromkeys(ids)]
    await tx.execute_many(_DROP, [(row.seq, row.subscription) for row in rows])
    return len(rows)


async def forget(tx: Transaction, subscription: int) -> int:
    """Remove a subscription that is declared no more, with what it has not dealt with."""
    if not await tx.execute(_FORGET, subscription):
        raise Conflict(
            "it is none that the application declares no more; expected such a one.",
            subject=f"subscription {subscription}",
            hint="`ringfence subscriptions` shows which are declared.",
        )
    return sum([await tx.execute(sql, subscription) for sql in _FORGET_UNFINISHED])


async def _letter(tx: Transaction, wanted: str) -> _NamedRow:
    row = await _named(tx, wanted)
    if row is None:
        raise NotFound(
            "no such delivery; expected `<event>.<number>`.",
            subject=wanted,
            hint="`ringfence dead list` names them.",
        )
    if row.state != DEAD:
        raise Conflict("it is no dead letter any more.", subject=wanted)
    return row


async def _named(queries: Queries, wanted: str) -> _NamedRow | None:
    event, _, number = wanted.rpartition(".")
    if not _is_number(number):
        return None
    sql = f"{_NAMED} WHERE e.id = $1 AND d.subscription = $2"
    return await queries.fetch_one(sql, event, int(number), into=_NamedRow)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 18

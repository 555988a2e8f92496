"""What an operator sees and does: events, dead letters, subscriptions, and what became of an id.

Each function takes the unit first. Called by `store.py`.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from ringfence.errors import Conflict, NotFound
from ringfence.kernel.ports import Dead, DeadLetter, Pending, Recorded, Standing
from ringfence.tools.db.contract import UnitOfWork
from ringfence.tools.db.outbox.tables import (
    BEHIND,
    DEAD,
    DELIVERY,
    DONE,
    EVENT,
    PENDING,
    DeliveryRow,
    EventRow,
    moment,
)

_STANDINGS = """
SELECT number, name, pattern, paused, declared,
    (SELECT count(*) FROM ringfence_deliveries d
        WHERE d.subscription = number AND d.state < 4) AS waiting,
    (SELECT count(*) FROM ringfence_deliveries d
        WHERE d.state = 4 AND d.subscription = number) AS dead,
    (SELECT e.published_us FROM ringfence_events e WHERE e.seq = (
        SELECT min(d.seq) FROM ringfence_deliveries d
        WHERE d.subscription = number AND d.state < 4)) AS oldest_us
FROM ringfence_subscriptions ORDER BY name
"""
_EVENTS = f"SELECT {EVENT} FROM ringfence_events e WHERE e.seq > $1"  # noqa: S608
_NAMED = (
    f"SELECT {EVENT}, {DELIVERY}, s.name AS reader FROM ringfence_deliveries d"  # noqa: S608
    " JOIN ringfence_events e ON e.seq = d.seq"
    " LEFT JOIN ringfence_subscriptions s ON s.number = d.subscription"
)
_FOUND = """
SELECT seq FROM ringfence_events
    WHERE id LIKE $1 OR trace_id LIKE $1 OR span_id LIKE $1
UNION SELECT seq FROM ringfence_deliveries WHERE span_id LIKE $1 OR trace_id LIKE $1
ORDER BY seq LIMIT $2
"""
_MOST_FOUND = 1000
_HEX = frozenset("0123456789abcdef")


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


class _Seq(Struct):
    seq: int


def standings(unit: UnitOfWork) -> list[Standing]:
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
        for row in unit.fetch_all(_STANDINGS, into=_StandingRow)
    ]


def events(unit: UnitOfWork, after: int, limit: int, topic: str) -> list[Recorded]:
    """Return events without their deliveries, in commit order."""
    if after < 0:
        count = -after
        newest = "SELECT coalesce(max(seq), 0) AS seq FROM ringfence_events"
        after = max(0, unit.fetch_value(newest, into=int) - count)
    if topic:
        rows = unit.fetch_all(
            f"{_EVENTS} AND e.topic = $2 ORDER BY e.seq LIMIT $3",
            after,
            topic,
            limit,
            into=EventRow,
        )
    else:
        rows = unit.fetch_all(f"{_EVENTS} ORDER BY e.seq LIMIT $2", after, limit, into=EventRow)
    return [Recorded(row.id, "", row.envelope(), row.seq, 0, Pending()) for row in rows]


def find(unit: UnitOfWork, wanted: str) -> list[Recorded]:
    """Return the deliveries of the events that an id, or the beginning of one, stands for."""
    if "." in wanted:
        row = _named(unit, wanted)
        return [] if row is None else [row.recorded()]
    if not wanted or not _HEX.issuperset(wanted):
        return []
    found: list[Recorded] = []
    for each in unit.fetch_all(_FOUND, f"{wanted}%", _MOST_FOUND, into=_Seq):
        rows = unit.fetch_all(
            f"{_NAMED} WHERE d.seq = $1 ORDER BY d.subscription", each.seq, into=_NamedRow
        )
        if rows:
            found += [row.recorded() for row in rows]
        else:
            found += events(unit, each.seq - 1, 1, "")
    return found


def dead(
    unit: UnitOfWork, subscription: str, topic: str, wanted: str, limit: int
) -> list[DeadLetter]:
    """Return dead letters, the newest first."""
    rows = unit.fetch_all(
        f"{_NAMED} WHERE d.state = 4 AND ($1 = '' OR s.name = $1) AND ($2 = '' OR e.topic = $2)"
        " AND ($3 = '' OR e.id || '.' || d.subscription LIKE $3 || '%')"
        " ORDER BY d.seq DESC LIMIT $4",
        subscription,
        topic,
        wanted,
        limit,
        into=_NamedRow,
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


def edit(unit: UnitOfWork, wanted: str, payload: bytes) -> None:
    """Replace the payload of one dead letter; raises NotFound, or Conflict where it is none."""
    row = _letter(unit, wanted)
    unit.execute(
        "UPDATE ringfence_deliveries SET payload = $3 WHERE seq = $1 AND subscription = $2",
        row.seq,
        row.subscription,
        payload,
    )


def replay(unit: UnitOfWork, ids: Sequence[str]) -> int:
    """Let dead letters run again."""
    for wanted in ids:
        row = _letter(unit, wanted)
        busy = row.key is not None and unit.fetch_value(
            "SELECT count(*) FROM ringfence_deliveries"
            " WHERE subscription = $1 AND key = $2 AND state < 4",
            row.subscription,
            row.key,
            into=int,
        )
        unit.execute(
            "UPDATE ringfence_deliveries SET state = $3, attempts = 0, error = NULL"
            " WHERE seq = $1 AND subscription = $2",
            row.seq,
            row.subscription,
            BEHIND if busy else PENDING,
        )
    return len(ids)


def drop(unit: UnitOfWork, ids: Sequence[str]) -> int:
    """Count dead letters as done."""
    for wanted in ids:
        row = _letter(unit, wanted)
        unit.execute(
            "UPDATE ringfence_deliveries SET state = $3 WHERE seq = $1 AND subscription = $2",
            row.seq,
            row.subscription,
            DONE,
        )
    return len(ids)


def _letter(unit: UnitOfWork, wanted: str) -> _NamedRow:
    row = _named(unit, wanted)
    if row is None:
        raise NotFound(
            "no such delivery; expected `<event>.<number>`.",
            subject=wanted,
            hint="`ringfence dead list` names them.",
        )
    if row.state != DEAD:
        raise Conflict("it is no dead letter any more.", subject=wanted)
    return row


def _named(unit: UnitOfWork, wanted: str) -> _NamedRow | None:
    event, _, number = wanted.rpartition(".")
    if not number.isdecimal() or len(number) > 18:
        return None
    return unit.fetch_one(
        f"{_NAMED} WHERE e.id = $1 AND d.subscription = $2", event, int(number), into=_NamedRow
    )

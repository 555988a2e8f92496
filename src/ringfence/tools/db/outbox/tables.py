"""The tables of events and their deliveries, and how a row becomes a value and back.

Moments are microseconds since 1970, which every database counts alike; a delivery's state is a
number, so that an index can be as small as what is in one state: SQLite takes none whose condition
a statement implies but does not repeat. Numbers of subscriptions
are never given twice, as what was delivered outlives them: one that is forgotten keeps its row.
`payload` is set where an operator has edited it, `follower` where the handler's transaction has
taken the next of the key. Used by the modules beside this one.
"""

from datetime import UTC, datetime, timedelta

from msgspec import Struct, json, structs

from ringfence.kernel.ports import (
    Dead,
    Done,
    Envelope,
    Pending,
    Recorded,
    Retrying,
    Running,
    State,
    Taken,
)

PENDING, BEHIND, RUNNING, RETRYING, DEAD, DONE = range(6)  # below DEAD, work is left

TABLES = """
CREATE TABLE IF NOT EXISTS ringfence_subscriptions (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    pattern TEXT NOT NULL,
    paused TEXT NOT NULL,
    declared BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS ringfence_events (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    topic TEXT NOT NULL,
    version BIGINT NOT NULL,
    key TEXT,
    payload BLOB NOT NULL,
    published_us BIGINT NOT NULL,
    trace_id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    cause BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS ringfence_deliveries (
    seq BIGINT NOT NULL,
    subscription BIGINT NOT NULL,
    key TEXT,
    state BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    at_us BIGINT,
    error TEXT,
    trace_id TEXT,
    span_id TEXT,
    payload BLOB,
    follower BIGINT,
    PRIMARY KEY (seq, subscription)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS ringfence_deliveries_pending
    ON ringfence_deliveries (subscription, seq) WHERE state = 0;
CREATE INDEX IF NOT EXISTS ringfence_deliveries_behind
    ON ringfence_deliveries (subscription, seq) WHERE state = 1;
CREATE INDEX IF NOT EXISTS ringfence_deliveries_running
    ON ringfence_deliveries (subscription, seq) WHERE state = 2;
CREATE INDEX IF NOT EXISTS ringfence_deliveries_keys
    ON ringfence_deliveries (subscription, key, seq) WHERE state < 4 AND key IS NOT NULL;
CREATE INDEX IF NOT EXISTS ringfence_deliveries_retrying
    ON ringfence_deliveries (subscription, at_us) WHERE state = 3;
CREATE INDEX IF NOT EXISTS ringfence_deliveries_dead
    ON ringfence_deliveries (seq) WHERE state = 4;
CREATE TABLE IF NOT EXISTS ringfence_delayed (
    id TEXT PRIMARY KEY,
    due_us BIGINT NOT NULL,
    envelope BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS ringfence_delayed_due ON ringfence_delayed (due_us);
"""

EVENT = (
    "e.seq, e.id, e.topic, e.version, e.key, e.payload, e.published_us, e.trace_id, e.span_id,"
    " e.cause"
)
DELIVERY = (
    "d.subscription, d.state, d.attempts, d.at_us, d.error, d.trace_id AS ended_trace_id,"
    " d.span_id AS ended_span_id, d.payload AS edited"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Cause(Struct, frozen=True, omit_defaults=True):
    """Of an event, what is never searched for."""

    plugin: str = ""
    principal: str | None = None
    tenant: str | None = None
    hops: tuple[str, ...] = ()
    allowance: int = 0


class EventRow(Struct):
    """A row of `ringfence_events`."""

    seq: int
    id: str
    topic: str
    version: int
    key: str | None
    payload: bytes
    published_us: int
    trace_id: str
    span_id: str
    cause: bytes

    def envelope(self, edited: bytes | None = None) -> Envelope:
        cause = json.decode(self.cause, type=Cause)
        return Envelope(
            id=self.id,
            topic=self.topic,
            version=self.version,
            key=self.key,
            payload=self.payload if edited is None else edited,
            published_at=moment(self.published_us),
            plugin=cause.plugin,
            trace_id=self.trace_id,
            span_id=self.span_id,
            principal=cause.principal,
            tenant=cause.tenant,
            hops=cause.hops,
            allowance=cause.allowance,
        )

    def recorded_alone(self) -> Recorded:
        """Return it without a delivery."""
        return Recorded(self.id, "", self.envelope(), self.seq, 0, Pending())


class DeliveryRow(EventRow):
    """A row of `ringfence_deliveries`, with its event's."""

    subscription: int
    state: int
    attempts: int
    at_us: int | None
    error: str | None
    ended_trace_id: str | None
    ended_span_id: str | None
    edited: bytes | None

    @property
    def name(self) -> str:
        """How an operator names it."""
        return f"{self.id}.{self.subscription}"

    def taken(self, *, suspect: bool = False) -> Taken:
        envelope = self.envelope(self.edited)
        return Taken(envelope, self.seq, self.subscription, self.attempts, suspect)

    def standing(self) -> State:
        """Return its state, as the kernel names it."""
        at = _EPOCH if self.at_us is None else moment(self.at_us)
        match self.state:
            case 0 | 1:
                return Pending(behind=self.state == BEHIND)
            case 2:
                return Running()
            case 3:
                return Retrying(at, self.error or "")
            case 4:
                return Dead(at, self.error or "")
            case _:
                return Done(at)


def event_values(envelope: Envelope) -> tuple[object, ...]:
    """Return the values of a new row of `ringfence_events`, but for `seq`."""
    cause = Cause(
        envelope.plugin,
        envelope.principal,
        envelope.tenant,
        envelope.hops,
        envelope.allowance,
    )
    return (
        envelope.id,
        envelope.topic,
        envelope.version,
        envelope.key,
        envelope.payload,
        microseconds(envelope.published_at),
        envelope.trace_id,
        envelope.span_id,
        json.encode(cause),
    )


def packed(envelope: Envelope) -> bytes:
    """Return a delayed event as it waits."""
    return json.encode(envelope)


def waiting(content: bytes) -> Envelope:
    """Return a delayed event as it was published."""
    return json.decode(content, type=Envelope)


def unpacked(content: bytes, now: datetime) -> Envelope:
    """Return a delayed event as it is published now."""
    return structs.replace(waiting(content), published_at=now, due_at=None)


def columns(state: State) -> tuple[int, int | None, str | None]:
    """Return a state as `state`, `at_us` and `error`."""
    match state:
        case Pending(behind):
            return (BEHIND if behind else PENDING), None, None
        case Running():
            return RUNNING, None, None
        case Retrying(at, error):
            return RETRYING, microseconds(at), error
        case Dead(at, error):
            return DEAD, microseconds(at), error
        case Done(at):
            return DONE, microseconds(at), None


def microseconds(at: datetime) -> int:
    """Return a moment as it is stored."""
    return (at - _EPOCH) // _MICROSECOND


def moment(us: int) -> datetime:
    """Return a stored moment."""
    return _EPOCH + us * _MICROSECOND

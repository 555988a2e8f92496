"""A `DeliveryStore` in memory: what a database keeps, as plainly as it can be said.

It is a model as much as a double: a delivery is a record with a state, of one key the first one
that is neither done nor dead is the only one that is not behind. `crash` does what a SIGKILL does:
a new store with all that was committed, in which whatever ran still runs. `down` makes it
unavailable; `log` says what it was asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from msgspec.structs import replace

from ringfence.errors import ToolUnavailable
from ringfence.kernel.ports import (
    Dead,
    DeadLetter,
    Dispatch,
    Done,
    Due,
    Envelope,
    Kept,
    Pending,
    Recorded,
    Retrying,
    Route,
    Running,
    Settled,
    Standing,
    State,
    Subscribed,
    Taken,
)


@dataclass
class Row:
    """One delivery as it is stored."""

    seq: int
    subscription: int
    envelope: Envelope
    state: State
    attempts: int = 0

    @property
    def over(self) -> bool:
        return isinstance(self.state, Done | Dead)

    def taken(self, suspect: bool = False) -> Taken:
        return Taken(self.envelope, self.seq, self.subscription, self.attempts, suspect)


@dataclass
class MemoryStore:
    """Everything of one application's events."""

    rows: list[Row] = field(default_factory=list[Row])
    published: list[Envelope] = field(default_factory=list[Envelope])
    delayed: list[Envelope] = field(default_factory=list[Envelope])
    subscriptions: dict[str, Standing] = field(default_factory=dict[str, Standing])
    patterns: dict[str, Subscribed] = field(default_factory=dict[str, Subscribed])
    down: bool = False
    leads: bool = False
    log: list[str] = field(default_factory=list[str])
    dispatch: Dispatch | None = None

    def crash(self) -> "MemoryStore":
        rows = [Row(r.seq, r.subscription, r.envelope, r.state, r.attempts) for r in self.rows]
        return MemoryStore(rows, [*self.published], [*self.delayed], dict(self.subscriptions))

    def _up(self, what: str) -> None:
        if self.down:
            raise ToolUnavailable("the store is down.", subject="events")
        self.log.append(what)

    def _row(self, taken: Taken) -> Row | None:
        return next(
            (r for r in self.rows if (r.seq, r.subscription) == (taken.seq, taken.subscription)),
            None,
        )

    def _of_key(self, subscription: int, key: str | None) -> list[Row]:
        """The unfinished deliveries of a key, in order."""
        if key is None:
            return []
        rows = (r for r in self.rows if r.subscription == subscription and not r.over)
        return sorted((r for r in rows if r.envelope.key == key), key=lambda r: r.seq)

    def _follower(self, row: Row) -> Taken | None:
        for follower in self._of_key(row.subscription, row.envelope.key)[:1]:
            follower.state = Running()
            return follower.taken()
        return None

    async def open(
        self, subscriptions: Sequence[Subscribed], dispatch: Dispatch
    ) -> Sequence[Standing]:
        self._up("open")
        self.dispatch = dispatch
        declared = {one.name for one in subscriptions}
        for name, one in self.subscriptions.items():
            self.subscriptions[name] = replace(one, declared=name in declared)
        for new in subscriptions:
            if new.name not in self.subscriptions:
                number = len(self.subscriptions) + 1
                self.subscriptions[new.name] = Standing(number, new.name, new.pattern)
                for seq, envelope in enumerate(self.published, 1):
                    if new.from_start and new.fits(envelope.topic):
                        self._put(envelope, seq, Route(number, False))
        return await self.standings()

    async def lead(self) -> bool:
        self._up("lead")
        self.leads = True
        return True

    async def close(self) -> None:
        self.dispatch, self.leads = None, False

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        self._up("publish")
        dispatch = self.dispatch
        if dispatch is None:
            raise ToolUnavailable("the subscriptions are not known.", subject="events")
        kept: list[Kept] = []
        for envelope in envelopes:
            if envelope.durable and envelope.due_at is not None:
                self.delayed.append(envelope)
            elif envelope.durable:
                self.published.append(envelope)
                seq = len(self.published)
                kept += [self._put(envelope, seq, route) for route in dispatch.route(envelope)]
        dispatch.committed(kept)
        for envelope in envelopes:
            if envelope.due_at is None:
                dispatch.pass_on(envelope)
            else:
                dispatch.delayed(envelope.due_at)

    def _put(self, envelope: Envelope, seq: int, route: Route) -> Kept:
        behind = bool(self._of_key(route.subscription, envelope.key))
        row = Row(seq, route.subscription, envelope, Pending(behind))
        self.rows.append(row)
        if behind or not route.place:
            return Kept(route, None, behind)
        row.state = Running()
        return Kept(route, row.taken())

    async def suspects(self, limit: int) -> Sequence[Taken]:
        self._up("suspects")
        found = [row.taken(suspect=True) for row in self.rows if row.state == Running()]
        return sorted(found, key=lambda taken: taken.seq)[:limit]

    async def begin(self, delivery: Taken) -> None:
        self._up(f"begin {delivery.envelope.id}")
        row = self._row(delivery)
        assert row is not None
        row.attempts += 1

    async def take(self, subscription: int, limit: int, now: datetime) -> Sequence[Taken]:
        self._up(f"take {limit}")
        found: list[Taken] = []
        for row in sorted(self.rows, key=lambda row: row.seq):
            due = isinstance(row.state, Retrying) and row.state.at <= now
            first = row in (self._of_key(subscription, row.envelope.key) or [row])[:1]
            free = isinstance(row.state, Pending) and first
            if row.subscription == subscription and len(found) < limit and (due or free):
                row.state = Running()
                found.append(row.taken())
        return found

    async def settle(self, settled: Sequence[Settled]) -> Sequence[Taken]:
        self._up("settle")
        followers: list[Taken] = []
        for one in settled:
            row = self._row(one.delivery)
            assert row is not None
            if row.state == Running():
                row.state, row.attempts = one.state, one.attempts
            if row.over and (follower := self._follower(row)) is not None:
                followers.append(follower)
        return followers

    async def mark(self, delivery: Taken, trace_id: str, span_id: str) -> Taken | None:
        self._up("mark")
        row = self._row(delivery)
        assert row is not None
        row.state = Done(row.envelope.published_at)
        return self._follower(row)

    async def due(self, now: datetime) -> Due:
        self._up("due")
        ripe = [e for e in self.delayed if e.due_at is not None and e.due_at <= now]
        self.delayed = [e for e in self.delayed if e not in ripe]
        for envelope in ripe:
            await self.publish([replace(envelope, due_at=None, published_at=now)])
        waits = {r.subscription: r.state.at for r in self.rows if isinstance(r.state, Retrying)}
        later = [at for at in waits.values() if at > now]
        later += [e.due_at for e in self.delayed if e.due_at is not None]
        return Due([n for n, at in waits.items() if at <= now], min(later, default=None))

    async def retain(self, before: datetime, limit: int) -> int:
        self._up("retain")
        return 0

    async def standings(self) -> Sequence[Standing]:
        found: list[Standing] = []
        for one in self.subscriptions.values():
            mine = [r for r in self.rows if r.subscription == one.number]
            waiting = sum(not r.over for r in mine)
            dead = sum(isinstance(r.state, Dead) for r in mine)
            found.append(replace(one, waiting=waiting, dead=dead))
        return found

    async def pause(self, subscription: int, why: str) -> None:
        for name, one in self.subscriptions.items():
            if one.number == subscription:
                self.subscriptions[name] = replace(one, paused=why)

    async def forget(self, subscription: int) -> int:
        gone = [row for row in self.rows if row.subscription == subscription]
        self.rows = [row for row in self.rows if row not in gone]
        return len(gone)

    async def find(self, wanted: str) -> Sequence[Recorded]:
        return []

    async def events(self, after: int, limit: int, topic: str = "") -> Sequence[Recorded]:
        return []

    async def dead(
        self, subscription: str = "", topic: str = "", wanted: str = "", limit: int = 100
    ) -> Sequence[DeadLetter]:
        names = {one.number: one.name for one in self.subscriptions.values()}
        return [
            DeadLetter(
                id=f"{row.envelope.id}.{row.subscription}",
                subscription=names[row.subscription],
                envelope=row.envelope,
                attempts=row.attempts,
                state=row.state,
                trace_id="",
                span_id="",
            )
            for row in self.rows
            if isinstance(row.state, Dead) and row.envelope.topic.startswith(topic)
        ]

    async def edit(self, wanted: str, payload: bytes) -> None:
        for row in self.rows:
            if f"{row.envelope.id}.{row.subscription}" == wanted:
                row.envelope = replace(row.envelope, payload=payload)

    async def replay(self, ids: Sequence[str]) -> int:
        found = [r for r in self.rows if f"{r.envelope.id}.{r.subscription}" in ids]
        for row in found:
            row.state, row.attempts = Pending(), 0
        if self.dispatch is not None:
            self.dispatch.arrived()
        return len(found)

    async def drop(self, ids: Sequence[str]) -> int:
        found = [r for r in self.rows if f"{r.envelope.id}.{r.subscription}" in ids]
        for row in found:
            row.state = Done(row.envelope.published_at)
        return len(found)

"""Whatever is done to deliveries in whatever order, they are where a plain model says.

The model is what the store promises, in lists. After each step the whole store is compared with it,
and held to the laws: of a key, exactly one delivery that is not finished is not behind; what is
running is in somebody's hand, once; nothing is lost.
"""

import asyncio
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ringfence.kernel.ports import (
    Dead,
    Done,
    Pending,
    Recorded,
    Retrying,
    Running,
    Settled,
    State,
    Taken,
)
from ringfence.tools.db import UnitOfWork
from ringfence.tools.db.suite.events import NOON, Kernel, Noted, Process, envelope, n_of, seal
from ringfence.tools.db.suite.subject import SCHEMA

from .support import handle, migrations
from .test_sqlite_events import publishing

NAMES = ("sales.count.placed", "sales.sum.placed")
KEYS = st.lists(st.sampled_from([None, "a", "a", "b"]), min_size=1, max_size=4)
WAYS = st.sampled_from(["store", "transaction", "unit", "rolled back"])
SECONDS = st.integers(0, 5)
HOW = st.sampled_from(["done", "done", "dead", "retrying", "given back"])


@dataclass
class Entry:
    """A delivery in the model."""

    n: int
    key: str | None
    subscription: str
    state: str
    attempts: int = 0
    at: datetime = NOON
    payload: int = 0
    follower: "Entry | None" = None

    @property
    def finished(self) -> bool:
        return self.state in ("done", "dead")


class Deliveries(RuleBasedStateMachine):
    """One application, its process, and what it has in hand."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        migrations(Path(self.folder.name), {"orders": SCHEMA})
        self.entries: list[Entry] = []  # in commit order
        self.published: dict[int, datetime] = {}  # and these the events
        self.waiting: list[tuple[datetime, str, int, str | None]] = []
        self.hand: list[tuple[Taken, Entry]] = []
        self.marked: list[tuple[Taken, Entry]] = []  # and not settled: their handler went on
        self.count = 0
        self.now = NOON
        self.paused: dict[str, str] = dict.fromkeys(NAMES, "")
        self.kernel = Kernel()
        self.runner.run(self._start())

    async def _start(self) -> None:
        self.stack = AsyncExitStack()
        driver = publishing(Path(self.folder.name))
        await driver.start()
        self.stack.push_async_callback(driver.stop)
        self.process = Process(driver.events(), handle(driver))
        self.kernel = Kernel()
        await self.process.begin(self.kernel, *NAMES)

    def teardown(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()

    # ---- the model

    def of_key(self, like: Entry) -> list[Entry]:
        """Return what is left to do of a subscription and key."""
        of = (like.subscription, like.key)
        return [e for e in self.entries if (e.subscription, e.key) == of and not e.finished]

    def add(self, n: int, key: str | None, at: datetime) -> None:
        """An event is stored."""
        self.published[n] = at
        for name in NAMES:
            entry = Entry(n, key, name, "pending", payload=n)
            place = self.free > 0
            self.free -= place
            if key is not None and self.of_key(entry):
                entry.state = "behind"
            elif place:
                entry.state = "running"
                self.expected.append(entry)
            self.entries.append(entry)

    def next_of(self, ended: Entry) -> Entry | None:
        """Bring up the next of a key."""
        left = self.of_key(ended) if ended.key is not None else []
        if not left or left[0].state != "behind":
            return None
        left[0].state = "running"
        return left[0]

    def give(self, taken: list[Taken], expected: list[Entry]) -> None:
        """Take what the store has given in hand: no other, and nothing twice."""
        names = {number: name for name, number in self.kernel.numbers.items()}
        got = [(n_of(t.envelope), names[t.subscription], t.attempts) for t in taken]
        assert got == [(e.payload, e.subscription, e.attempts) for e in expected]
        self.hand += zip(taken, expected, strict=True)

    # ---- publishing

    def before(self, places: int) -> None:
        self.kernel.free = self.free = places
        self.kernel.kept.clear()
        self.expected: list[Entry] = []

    @rule(keys=KEYS, way=WAYS, places=st.integers(0, 6))
    def publish(self, keys: list[str | None], way: str, places: int) -> None:
        """Events are published together, or not at all."""
        self.before(places)
        first, self.count = self.count + 1, self.count + len(keys)
        events = [Noted(first + i, key) for i, key in enumerate(keys)]
        self.runner.run(self._publish(events, way))
        if way != "rolled back":
            for event in events:
                self.add(event.n, event.key, NOON)
        self.give(self.kernel.taken, self.expected)

    async def _publish(self, events: list[Noted], way: str) -> None:
        def work(unit: UnitOfWork) -> None:
            for event in events:
                unit.publish(event)

        if way == "store":
            await self.process.store.publish([envelope(e.n, e.key) for e in events])
        elif way == "unit":
            await self.process.db.run(work)
        else:
            try:
                async with self.process.db.transaction() as tx:
                    for event in events:
                        tx.publish(event)
                    if way == "rolled back":
                        raise ZeroDivisionError
            except ZeroDivisionError:
                pass

    @rule(key=st.sampled_from([None, "a"]), delay_s=st.integers(1, 5))
    def delay(self, key: str | None, delay_s: int) -> None:
        """An event waits for its time."""
        self.count += 1
        sealed = seal(Noted(self.count, key), "orders.place_order", "orders", delay_s)
        self.runner.run(self.process.store.publish([sealed]))
        assert sealed.due_at is not None
        self.waiting.append((sealed.due_at, sealed.id, self.count, key))

    @rule(seconds=SECONDS, places=st.integers(0, 3))
    def due(self, seconds: int, places: int) -> None:
        """Time goes on."""
        self.now += timedelta(seconds=seconds)
        self.before(places)
        found = self.runner.run(self.process.store.due(self.now))
        ripe = sorted(each for each in self.waiting if each[0] <= self.now)
        self.waiting = [each for each in self.waiting if each not in ripe]
        for _, _, n, key in ripe:
            self.add(n, key, self.now)
        self.give(self.kernel.taken, self.expected)
        retries = [e for e in self.entries if e.state == "retrying"]
        due = {self.kernel.numbers[e.subscription] for e in retries if e.at <= self.now}
        assert set(found.subscriptions) == due
        coming = [e.at for e in retries if e.at > self.now] + [each[0] for each in self.waiting]
        assert found.next_at == min(coming, default=None)

    # ---- delivering

    @rule(name=st.sampled_from(NAMES), limit=st.integers(1, 4))
    def take(self, name: str, limit: int) -> None:
        """Retries first, then what waits."""
        number = self.kernel.numbers[name]
        taken = self.runner.run(self.process.store.take(number, limit, self.now))
        mine = [e for e in self.entries if e.subscription == name]
        ripe = [e for e in mine if e.state == "retrying" and e.at <= self.now]
        ripe.sort(key=lambda e: e.at)
        expected = [*ripe, *(e for e in mine if e.state == "pending")][:limit]
        expected.sort(key=self.entries.index)
        for entry in expected:
            entry.state = "running"
        self.give(list(taken), expected)

    def settled(self, taken: Taken, entry: Entry, how: str, s: int) -> tuple[Settled, list[Entry]]:
        """Return what is settled, and whom it brings up."""
        at = self.now + timedelta(seconds=s)
        states: dict[str, State] = {
            "done": Done(at),
            "dead": Dead(at, "Boom"),
            "retrying": Retrying(at, "Boom"),
            "given back": Pending(),
        }
        attempts = taken.attempts + (how in ("dead", "retrying"))
        one = Settled(taken, states[how], attempts, "a" * 32, "b" * 16)
        if entry.state != "running":  # it is marked
            follower, entry.follower = entry.follower, None
            return one, [] if follower is None else [follower]
        entry.state = "pending" if how == "given back" else how
        entry.at, entry.attempts = at, attempts
        brought = self.next_of(entry) if entry.finished else None
        return one, [] if brought is None else [brought]

    @precondition(lambda self: self.hand or self.marked)
    @rule(data=st.data(), how=st.lists(HOW, min_size=1, max_size=3), seconds=SECONDS)
    def settle(self, data: st.DataObject, how: list[str], seconds: int) -> None:
        """Some of what is in hand has ended, marked or not."""
        settled: list[Settled] = []
        expected: list[Entry] = []
        for each in how:
            of = data.draw(
                st.sampled_from([held for held in (self.hand, self.marked) if held] or [[]])
            )
            if of:
                taken, entry = of.pop(data.draw(st.integers(0, len(of) - 1)))
                one, brought = self.settled(taken, entry, each, seconds)
                settled.append(one)
                expected += brought
        self.give(list(self.runner.run(self.process.store.settle(settled))), expected)

    @precondition(lambda self: self.hand)
    @rule(data=st.data(), commits=st.booleans(), goes_on=st.booleans())
    def mark(self, data: st.DataObject, commits: bool, goes_on: bool) -> None:
        """A handler's transaction marks its delivery; then the handler ends, or goes on."""
        at = data.draw(st.integers(0, len(self.hand) - 1))
        taken, entry = self.hand[at]
        follower = self.runner.run(self._mark(taken, commits))
        if not commits:
            return
        del self.hand[at]
        entry.state = "done"
        brought = entry.follower = self.next_of(entry)
        assert (follower is None) == (brought is None)
        if goes_on:
            self.marked.append((taken, entry))
        elif follower is not None and brought is not None:
            self.give([follower], [brought])

    async def _mark(self, taken: Taken, commits: bool) -> Taken | None:
        try:
            async with self.process.db.transaction():
                follower = await self.process.store.mark(taken, "c" * 32, "d" * 16)
                if not commits:
                    raise ZeroDivisionError
                return follower
        except ZeroDivisionError:
            return None

    @rule(begun=st.integers(0, 2))
    def crash(self, begun: int) -> None:
        """The process ends; the next one finds what was running, and begins with some of it."""
        self.hand.clear()
        self.marked.clear()
        self.runner.run(self.stack.aclose())
        self.runner.run(self._start())
        suspects = list(self.runner.run(self.process.store.suspects(1000)))
        assert all(taken.suspect for taken in suspects)
        self.give(suspects, [e for e in self.entries if e.state == "running"])
        for taken, entry in self.hand[:begun]:
            self.runner.run(self.process.store.begin(taken))
            entry.attempts += 1
        again = self.runner.run(self.process.store.suspects(1000))
        self.hand.clear()
        self.give(list(again), [e for e in self.entries if e.state == "running"])

    # ---- operating

    @precondition(lambda self: any(e.state == "dead" for e in self.entries))
    @rule(data=st.data(), what=st.sampled_from(["edit", "replay", "drop"]))
    def repair(self, data: st.DataObject, what: str) -> None:
        """Somebody deals with dead letters."""
        run, store = self.runner.run, self.process.store
        letters = run(store.dead(limit=1000))
        dead = [e for e in self.entries if e.state == "dead"]
        found = {(n_of(d.envelope), d.subscription): d.id for d in letters}
        assert found.keys() == {(e.payload, e.subscription) for e in dead}
        chosen = data.draw(st.lists(st.sampled_from(dead), min_size=1, max_size=3))
        ids = [found[e.payload, e.subscription] for e in chosen]
        once = [e for e in self.entries if any(e is c for c in chosen)]
        if what == "edit":
            self.count += 1
            run(store.edit(ids[0], b'{"n": %d}' % self.count))
            chosen[0].payload = self.count
        elif what == "drop":
            assert run(store.drop(ids)) == len(once)
            for entry in once:
                entry.state = "done"
        else:
            assert run(store.replay(ids)) == len(once)
            for entry in once:
                behind = entry.key is not None and self.of_key(entry)
                entry.state, entry.attempts = "behind" if behind else "pending", 0

    @rule(name=st.sampled_from(NAMES), why=st.sampled_from(["", "repairs"]))
    def pause(self, name: str, why: str) -> None:
        """Somebody pauses a subscription, or lets it go on."""
        self.runner.run(self.process.store.pause(self.kernel.numbers[name], why))
        self.paused[name] = why

    @rule(seconds=SECONDS)
    def retain(self, seconds: int) -> None:
        """What is old and done is forgotten, but for the last event."""
        before = self.now - timedelta(seconds=seconds)
        left = {e.n for e in self.entries if e.state != "done"}
        old = [n for n, at in list(self.published.items())[:-1] if at < before and n not in left]
        assert self.runner.run(self.process.store.retain(before, 1000)) == len(old)
        self.entries = [e for e in self.entries if e.n not in old]
        for n in old:
            del self.published[n]

    # ---- the laws

    @invariant()
    def the_store_is_as_the_model(self) -> None:
        """Each delivery is where it has to be; nothing is lost, nothing is there twice."""
        stored = [one for one in self.runner.run(self.process.store.find("0")) if one.seq]
        assert [shown(one) for one in stored] == [
            (e.payload, e.subscription, e.state, e.attempts)
            for n in self.published
            for e in self.entries
            if e.n == n
        ]

    @invariant()
    def of_a_key_one_is_not_behind(self) -> None:
        """And it is the first, or an operator has replayed an earlier one."""
        left = [e for e in self.entries if e.key is not None and not e.finished]
        at_work = Counter((e.subscription, e.key) for e in left if e.state != "behind")
        assert at_work == Counter({(e.subscription, e.key) for e in left})

    @invariant()
    def what_runs_is_in_one_hand(self) -> None:
        """Or a mark has taken it for whoever settles what it has marked."""
        mine = [id(entry) for _, entry in self.hand]
        mine += [id(entry.follower) for _, entry in self.marked if entry.follower is not None]
        assert Counter(mine) == Counter(id(e) for e in self.entries if e.state == "running")

    @invariant()
    def standings_add_up(self) -> None:
        """For whoever looks at a subscription."""
        for standing in self.runner.run(self.process.store.standings()):
            mine = [e.state for e in self.entries if e.subscription == standing.name]
            assert standing.dead == mine.count("dead")
            assert standing.waiting == len(mine) - mine.count("dead") - mine.count("done")
            assert standing.paused == self.paused[standing.name]


def shown(one: Recorded) -> tuple[int, str, str, int]:
    """Return a delivery as the model writes it."""
    kinds = {Running: "running", Retrying: "retrying", Dead: "dead", Done: "done"}
    if isinstance(one.state, Pending):
        state = "behind" if one.state.behind else "pending"
    else:
        state = kinds[type(one.state)]
    return n_of(one.envelope), one.subscription, state, one.attempts


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, derandomize=True
)

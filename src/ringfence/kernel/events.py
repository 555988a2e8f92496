"""What is delivered when: a delivery IS a call, from the store to a handler.

A `Dispatcher` hands events on to their subscriptions, each with a bounded window of its own, and
writes down how each delivery ended. Invariants: memory does not grow with a backlog; whatever this
process has in hand is Running in the store; a delivery that is not settled is delivered again. Made
by `boot.py` where an application has subscriptions.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextvars import Context as Variables
from datetime import datetime, timedelta
from functools import partial
from random import SystemRandom

from msgspec import structs

from ringfence.errors import (
    Overloaded,
    PluginFailed,
    PluginQuarantined,
    RingfenceError,
    ToolError,
    ToolUnavailable,
)
from ringfence.kernel.context import Inbound, text_of
from ringfence.kernel.delivery import (
    Dead,
    DeliveryStore,
    Done,
    Envelope,
    Journey,
    Kept,
    Pending,
    Retrying,
    Route,
    Settled,
    Subscribed,
    Taken,
)
from ringfence.kernel.lane import WINDOW, Active, Lane, Paused
from ringfence.kernel.ports import Clock, Timer
from ringfence.kernel.publisher import exhausted
from ringfence.kernel.scope import REAP_S
from ringfence.kernel.topics import Topics

_log = logging.getLogger("ringfence.events")
_random = SystemRandom()

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 300.0
AGAIN_S = 1.0  # between two attempts to become the one that delivers, or to reach a store
RETAIN_S = 3600.0  # between two rounds of forgetting
RETAIN_ROWS = 500  # in one go: the writer is others' as well
STOP_S = 4 * REAP_S  # what a stop takes beside the grace: for its leader, what it cancels, writes
STRIKES = 3  # failures of the infrastructure, one after the other, that pause a subscription


class Dispatcher:
    """Hands events on to an application's subscriptions. `Dispatch` for its store.

    Args:
        lanes: The subscriptions.
        keep_s: Seconds for which events are kept after all is delivered.
    """

    def __init__(
        self, clock: Clock, store: DeliveryStore, lanes: Sequence[Lane], keep_s: float
    ) -> None:
        self.lanes = {lane.name: lane for lane in lanes}
        self._clock = clock
        self._store = store
        self._keep = timedelta(seconds=keep_s)
        self._standing: Topics[Lane] = Topics()
        self._passing: Topics[Lane] = Topics()
        for lane in lanes:
            topics = self._passing if lane.on.broadcast else self._standing
            topics.add(lane.on.pattern, lane)
        self._by_number: dict[int, Lane] = {}
        self._open = self._leads = self._closing = False
        self._unwritten: list[tuple[Lane, Settled]] = []
        self._writing = False
        self._leader: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()  # deliveries
        self._tasks: set[asyncio.Task[None]] = set()  # all else
        self._timers: dict[str, tuple[float, Timer]] = {}
        self.witness: Callable[[Envelope], object] | None = None  # of all that is published
        # Retries and delays go by a clock that nobody can set.
        self._zero = clock.now() - timedelta(seconds=clock.monotonic())

    # ---- its life

    async def open(self) -> None:
        """Make the subscriptions known: from now on, what is published is kept for them. Raises
        what its store does; it is tried again then, after `start`."""
        wanted = [
            Subscribed(lane.name, lane.on.pattern, lane.on.fits, lane.on.from_start)
            for lane in self.lanes.values()
            if not lane.on.broadcast
        ]
        for standing in await self._store.open(wanted, self):
            lane = self.lanes.get(standing.name)
            if lane is not None:
                lane.number = standing.number
                self._by_number[standing.number] = lane
                if standing.paused:
                    lane.state = Paused(self._clock.now(), standing.paused, by_operator=True)
        self._open = True

    def start(self, lost: Collection[str]) -> None:
        """Deliver from now on, but to the plugins that are lost."""
        for lane in self.lanes.values():
            if lane.plugin in lost:
                lane.state = Paused(self._clock.now(), f"{lane.plugin} is quarantined")
        self._leader = asyncio.create_task(self._take_the_lead())

    async def stop(self, grace_s: float) -> None:
        """Let what runs end, within `grace_s` seconds; whatever is in hand goes back."""
        self._closing, self._leads = True, False
        for _, timer in self._timers.values():
            timer.cancel()
        if self._leader is not None:
            self._leader.cancel()
            await asyncio.wait({self._leader}, timeout=REAP_S)
        if self._running:
            await asyncio.wait(self._running, timeout=grace_s)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=REAP_S)
        for lane in self.lanes.values():
            for taken in lane.waiting:
                self._unwritten.append((lane, Settled(taken, Pending(), taken.attempts)))
            lane.waiting.clear()
        self._write()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=REAP_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Give up the store: nothing can be published any more."""
        await self._store.close()

    async def settled(self) -> None:
        """Wait until nothing is in hand, and nothing could be taken without time going on."""
        if self._leader is not None:
            await asyncio.wait({self._leader})
        while busy := {*self._running, *self._tasks}:
            await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)

    async def _take_the_lead(self) -> None:
        while not self._leads and not self._closing:
            try:
                if not self._open:
                    await self.open()
                if await self._store.lead():
                    await self._try_suspects()
                    self._leads = not self._closing
            except Exception as error:  # here and below: the store's driver may be anybody's
                _wait("what is published", error)
            if not self._leads:
                await self._clock.sleep(AGAIN_S)
        self.arrived()
        self._set_timer("retain", self._clock.monotonic() + RETAIN_S, self._retain)

    async def _try_suspects(self) -> None:
        """Run what a crash found running, with nothing beside it: if the process ends again, it is
        known which of them did it."""
        while suspects := await self._store.suspects(WINDOW):
            for taken in suspects:
                lane = self._by_number.get(taken.subscription)
                if lane is None or isinstance(lane.state, Paused):
                    settled = Settled(taken, Pending(), taken.attempts)
                elif taken.attempts > lane.on.retries:
                    said = f"the process ended {taken.attempts} times while it ran"
                    settled = Settled(taken, Dead(self._now(), said), taken.attempts)
                    self._tell_dead(lane, taken, said, "")
                else:
                    await self._store.begin(taken)
                    charged = structs.replace(taken, attempts=taken.attempts + 1)
                    given_back = Settled(charged, Pending(), taken.attempts)
                    settled = await self._uncut(lane, charged, given_back)
                # Its followers are found with all others, once this process leads.
                back = [
                    Settled(follower, Pending(), follower.attempts)
                    for follower in await self._store.settle([settled])
                ]
                if back:
                    await self._store.settle(back)

    async def _uncut(self, lane: Lane, taken: Taken, given_back: Settled) -> Settled:
        """Try a suspect; cancelled, it has not killed the process, and is not charged."""
        try:
            return await self._attempt(lane, Journey(taken, lane.name))
        except asyncio.CancelledError:
            lane.held += 1
            self._unwritten.append((lane, given_back))
            raise

    # ---- what its store asks

    def route(self, envelope: Envelope) -> Sequence[Route]:
        routes: list[Route] = []
        for lane in self._standing.match(envelope.topic):
            place = self._leads and lane.is_free
            lane.held += place
            routes.append(Route(lane.number, place))
        return routes

    def committed(self, kept: Sequence[Kept]) -> None:
        touched: dict[Lane, None] = {}
        for one in kept:
            lane = self._by_number[one.route.subscription]
            if one.taken is not None:
                lane.waiting.append(one.taken)
            else:
                lane.held -= one.route.place
                lane.behind = lane.behind or not one.behind
            touched[lane] = None
        for lane in touched:
            self._pump(lane)

    def lost(self, routes: Sequence[Route]) -> None:
        for route in routes:
            self._by_number[route.subscription].held -= route.place

    def delayed(self, until: datetime) -> None:
        self._wake(until)

    def arrived(self) -> None:
        for lane in self.lanes.values():
            lane.behind = not lane.on.broadcast
            self._pump(lane)
        self._go(self._look())

    def pass_on(self, envelope: Envelope) -> None:
        if self.witness is not None:
            self.witness(envelope)
        lanes = self._passing.match(envelope.topic)
        if not envelope.durable:
            lanes += self._standing.match(envelope.topic)
        for lane in lanes:
            lane.offer(Taken(envelope, 0, -1), envelope.when_full)
            self._pump(lane)

    # ---- deliveries

    def _pump(self, lane: Lane) -> None:
        """Start what may run now, and take more from the store when it is time."""
        if self._closing:
            return
        while (taken := lane.next()) is not None:
            self._begin(lane, taken)
        if self._leads and lane.wants_more:
            lane.fetching, lane.behind = True, False
            self._go(self._fetch(lane))

    def _begin(self, lane: Lane, taken: Taken) -> None:
        lane.running += 1
        work = self._deliver(lane, taken)
        # Whoever committed the event is its cause, and no part of its context.
        task = asyncio.get_running_loop().create_task(work, context=Variables())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _deliver(self, lane: Lane, taken: Taken) -> None:
        journey = Journey(taken, lane.name)
        settled = Settled(taken, Pending(), taken.attempts)  # should it be cancelled: given back
        try:
            settled = await self._attempt(lane, journey)
        finally:
            lane.running -= 1
            self._end(lane, journey, settled)

    def _end(self, lane: Lane, journey: Journey, settled: Settled) -> None:
        """Write down how it ended, unless that is done, or nothing is known of it."""
        if not settled.delivery.seq:
            pass
        elif journey.marked and isinstance(settled.state, Done):
            self._replace(lane, journey.follower)
        else:
            self._unwritten.append((lane, settled))
            self._write()
        self._pump(lane)

    def _replace(self, lane: Lane, follower: Taken | None) -> None:
        if follower is None:
            lane.held -= 1
        else:
            lane.waiting.append(follower)

    async def _fetch(self, lane: Lane) -> None:
        wanted = WINDOW - lane.held
        lane.held += wanted
        got: Sequence[Taken] = ()
        try:
            got = await self._store.take(lane.number, wanted, self._now())
            lane.behind = lane.behind or len(got) == wanted
        except Exception as error:
            lane.behind = True
            _wait(lane.name, error)
            await self._clock.sleep(AGAIN_S)
        finally:
            lane.fetching = False
            lane.held -= wanted - len(got)
            lane.waiting.extend(got)
        self._pump(lane)

    # ---- one attempt

    async def _attempt(self, lane: Lane, journey: Journey) -> Settled:
        """Run the handler once; return how it ended. Raises nothing but a cancellation."""
        taken = journey.taken
        envelope = taken.envelope
        if (refusal := exhausted(envelope)) is not None:
            return self._dead(lane, taken, taken.attempts, refusal, "")
        inbound = Inbound(trace=int(envelope.trace_id, 16), cause=envelope.span_id, journey=journey)
        way, read = lane.way, lane.read
        assert way is not None  # or it would be paused
        assert read is not None
        try:
            args = read(envelope)
        except Exception as error:  # no later attempt reads it either; some of it is its author's
            attempts = taken.attempts + (not taken.suspect)
            return self._dead(lane, taken, attempts, _said(error), way.refused(error, inbound))
        try:
            await way.open(args, None, envelope.tenant, inbound)
        except (ToolUnavailable, Overloaded, PluginQuarantined) as error:
            return self._unable(lane, taken, error)
        except RingfenceError as error:
            lane.strikes = 0
            return self._failed(lane, taken, error)
        lane.strikes = 0
        lane.delivered += 1
        return Settled(taken, Done(self._now()), taken.attempts)

    def _failed(self, lane: Lane, taken: Taken, error: RingfenceError) -> Settled:
        lane.failed += 1
        # A suspect's attempt was counted before it began.
        attempts = taken.attempts + (not taken.suspect)
        if attempts > lane.on.retries:
            return self._dead(lane, taken, attempts, _said(error), error.trace_id)
        at = self._now() + timedelta(seconds=backoff_s(attempts))
        return self._retrying(taken, at, attempts, error)

    def _unable(self, lane: Lane, taken: Taken, error: RingfenceError) -> Settled:
        """It could not be tried: nothing is charged, and where this goes on, all wait."""
        lane.strikes += 1
        wait_s = backoff_s(lane.strikes)
        at = self._now() + timedelta(seconds=wait_s)
        if lane.strikes >= STRIKES and isinstance(lane.state, Active):
            lane.state = Paused(self._clock.now(), _said(error))
            if lane.strikes == STRIKES:  # and not each probe that fails
                _log.error("%s is paused: %s", lane.name, error)
        if isinstance(lane.state, Paused):
            self._set_timer(lane.name, self._clock.monotonic() + wait_s, partial(self._probe, lane))
        return self._retrying(taken, at, taken.attempts - taken.suspect, error)

    def _retrying(
        self, taken: Taken, at: datetime, attempts: int, error: RingfenceError
    ) -> Settled:
        if taken.seq:
            self._wake(at)
        return Settled(taken, Retrying(at, _said(error)), attempts, error.trace_id)

    def _dead(self, lane: Lane, taken: Taken, attempts: int, said: str, trace_id: str) -> Settled:
        lane.dead += 1
        self._tell_dead(lane, taken, said, trace_id)
        return Settled(taken, Dead(self._now(), said), attempts, trace_id)

    def _tell_dead(self, lane: Lane, taken: Taken, said: str, trace_id: str) -> None:
        what = f"{lane.name}: {taken.envelope.topic} {taken.envelope.id} is a dead letter"
        _log.error("%s%s: %s", what, f" in trace {trace_id}" if trace_id else "", said)

    def _probe(self, lane: Lane) -> None:
        """Let one delivery through a subscription that is paused."""
        if self._closing or not isinstance(lane.state, Paused) or lane.state.by_operator:
            return
        lane.state = Active()  # one more failure pauses it again
        lane.behind = True
        self._pump(lane)

    def steer(self, lane: Lane, why: str) -> None:
        """Pause a subscription for an operator's reason; without one, let it go on."""
        if lane.way is not None:
            paused = Paused(self._clock.now(), why, by_operator=True)
            lane.state, lane.strikes = paused if why else Active(), 0
            lane.behind = not lane.on.broadcast
            self._pump(lane)

    # ---- what is written down

    def _write(self) -> None:
        if self._unwritten and not self._writing:
            self._writing = True
            self._go(self._keep_writing())

    async def _keep_writing(self) -> None:
        try:
            while self._unwritten:
                batch, self._unwritten = self._unwritten, []
                try:
                    followers = await self._store.settle([settled for _, settled in batch])
                except Exception as error:
                    self._unwritten = batch + self._unwritten
                    _wait("what was delivered", error)
                    await self._clock.sleep(AGAIN_S)
                    continue
                for lane, _ in batch:
                    lane.held -= 1
                for taken in followers:
                    lane = self._by_number[taken.subscription]
                    lane.held += 1
                    lane.waiting.append(taken)
                for lane in {lane for lane, _ in batch}:
                    self._pump(lane)
        finally:
            self._writing = False

    # ---- time

    def _now(self) -> datetime:
        return self._zero + timedelta(seconds=self._clock.monotonic())

    def _wake(self, at: datetime) -> None:
        self._set_timer("due", (at - self._zero).total_seconds(), lambda: self._go(self._look()))

    def _set_timer(self, name: str, when: float, call: Callable[[], object]) -> None:
        """Call something at a time of the monotonic clock, or earlier if that was wanted before."""
        if self._closing:
            return
        known = self._timers.get(name)
        if known is not None:
            if known[0] <= when:
                return
            known[1].cancel()

        def ring() -> None:
            del self._timers[name]
            call()

        self._timers[name] = when, self._clock.call_at(when, ring)

    async def _look(self) -> None:
        """Take what has become due."""
        if not self._leads:
            return
        try:
            due = await self._store.due(self._now())
        except Exception as error:
            _wait("what is due", error)
            self._wake(self._now() + timedelta(seconds=AGAIN_S))
            return
        for number in due.subscriptions:
            if (lane := self._by_number.get(number)) is not None:
                lane.behind = True
                self._pump(lane)
        if due.next_at is not None:
            self._wake(due.next_at)

    def _retain(self) -> None:
        self._go(self._forget())
        self._set_timer("retain", self._clock.monotonic() + RETAIN_S, self._retain)

    async def _forget(self) -> None:
        before = self._clock.now() - self._keep
        try:
            while await self._store.retain(before, RETAIN_ROWS) == RETAIN_ROWS:
                pass  # each one commits, so that others get their turn in between
        except Exception as error:  # an hour later is as good
            _wait("what is old", error)

    def _go(self, work: Coroutine[object, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, context=Variables())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def backoff_s(attempts: int) -> float:
    """Return how long to wait after so many failures: exponential, with full jitter.
    Source: M. Brooker, "Exponential Backoff and Jitter" (AWS, 2015)."""
    return _random.uniform(0, min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(attempts, 16)))


def _wait(what: str, error: Exception) -> None:
    bug = None if isinstance(error, ToolError) else error
    _log.warning("%s waits for the store of events: %s", what, text_of(error), exc_info=bug)


def _said(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, PluginFailed) else error
    return f"{type(cause).__name__}: {text_of(cause or error)}"

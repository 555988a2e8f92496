"""The timetable: runs what is due, the same way on every clock that there is.

One timer of the event loop is set for the whole of it, to the next moment at which something may be
due. An occurrence is claimed in the store before it runs: written down as dealt with, if the state
stored is still the one that was seen here. So exactly one process runs it, and a run that lasts
gives signs of life there, so that no other begins meanwhile. A store that is down delays; what
comes due meanwhile is one run. Drivers of the clock hand their `bind`, `open` and `close` on to it.
"""

import asyncio
import heapq
import itertools
import logging
import math
from collections.abc import Collection, Iterator, Sequence, Set
from contextlib import contextmanager
from contextvars import Context as Variables
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any

from msgspec import structs

from ringfence.errors import Overloaded, PluginQuarantined, RingfenceError
from ringfence.kernel.ports import Clock, Endpoint, Timer, ToolEnv
from ringfence.tools.clock.ledger import Ledger
from ringfence.tools.clock.planned import LEASE_S, Planned

_log = logging.getLogger(__name__)
OPEN_S = 5.0  # that a start waits for the store; the timers begin when it answers
CANCEL_S = 0.4  # for a run that is cancelled to end, within what the kernel adds to a drain
LATE_S = 90.0  # from which on it is told: more than it takes to notice
LONGEST_WAIT_S = 60.0  # between two attempts to reach the store


class Tick:
    """One piece of the timetable's work: a claim, the run that it allows, and the record of it."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.run: asyncio.Task[object] | None = None
        self.sleepers = 0  # that sleep on the application's clock


# The tick that a task works for; a fake clock must know who waits for time itself.
in_hand: ContextVar[Tick | None] = ContextVar("ringfence.tick", default=None)


class Timetable:
    """The timers of one application."""

    def __init__(self, clock: Clock, env: ToolEnv) -> None:
        self._clock = clock
        self._env = env
        self._timers: list[Planned] = []
        self._ticks: set[Tick] = set()
        self._places: list[tuple[float, int, Planned]] = []
        self._tickets = itertools.count(1)
        self._alarm: Timer | None = None
        self._alarm_at = math.inf
        self._running = False
        self.changed = asyncio.Event()  # a tick has ended, or begun to sleep

    @property
    def working(self) -> Collection[Tick]:
        """The ticks in progress, but for those that sleep on the clock."""
        return [tick for tick in self._ticks if not tick.sleepers]

    def bind(self, endpoints: Sequence[Endpoint]) -> None:
        """Take the timers to run."""
        self._timers = [Planned(endpoint, self._clock) for endpoint in endpoints]

    async def open(self) -> None:
        """Find out what is stored of each timer, and begin."""
        if not self._timers:
            return
        assert self._env.timers is not None, "whoever makes a clock says where timers are stored"
        self._ledger = Ledger(self._env.timers())
        self._running = True
        for timer in self._timers:
            self._begin(timer)
        await self._over(frozenset(self._ticks), OPEN_S)

    async def close(self, grace_s: float) -> None:
        """Run nothing more; cancel what still runs after `grace_s`."""
        self._running = False
        self._places.clear()
        if self._alarm is not None:
            self._alarm.cancel()
        if await self._over(self._ticks, grace_s):
            return
        for tick in tuple(self._ticks):
            task = tick.run or tick.task
            if task is not None:
                task.cancel()
        await self._over(self._ticks, CANCEL_S)

    async def _over(self, ticks: Set[Tick], seconds: float) -> bool:
        """Wait for `ticks` in progress; return whether all have ended in time."""
        with _late(self._clock, seconds) as late:
            while tasks := [t.task for t in ticks if t.task and not t.task.done()]:
                if late.done():
                    return False
                await asyncio.wait([late, *tasks], return_when=asyncio.FIRST_COMPLETED)
        return True

    # ---- when

    def _place(self, timer: Planned) -> None:
        """Look at `timer` again when its plan says so."""
        if self._running:
            timer.ticket = next(self._tickets)
            heapq.heappush(self._places, (timer.look_at(), timer.ticket, timer))
            self._arm()

    def _arm(self) -> None:
        at = self._places[0][0] if self._places else math.inf
        if at < self._alarm_at:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm_at = at
            self._alarm = self._clock.call_at(at, self._ring)

    def _ring(self) -> None:
        self._alarm, self._alarm_at = None, math.inf
        now = self._clock.monotonic()
        due: list[Planned] = []
        while self._places and self._places[0][0] <= now:
            _, ticket, timer = heapq.heappop(self._places)
            if ticket == timer.ticket:
                due.append(timer)
        for timer in due:
            if not timer.is_due():
                self._place(timer)
            elif timer.busy:
                self._skip(timer)
                self._place(timer)
            else:
                self._begin(timer)
        self._arm()

    def _skip(self, timer: Planned) -> None:
        _log.warning("%s: an occurrence is skipped, since the one before still runs", timer.label)
        timer.skip()

    # ---- what

    def _begin(self, timer: Planned) -> None:
        tick = Tick()
        variables = Variables()  # whoever moved the clock is no cause of what is due
        variables.run(in_hand.set, tick)
        loop = asyncio.get_running_loop()
        tick.task = loop.create_task(self._tick(timer, tick), name=timer.name, context=variables)
        self._ticks.add(tick)
        tick.task.add_done_callback(lambda _: self._ended(tick))

    def _ended(self, tick: Tick) -> None:
        self._ticks.discard(tick)
        self.changed.set()

    async def _tick(self, timer: Planned, tick: Tick) -> None:
        try:
            claimed = await self._claim(timer)
        except Exception as error:  # whatever ails the store, the timer goes on when it is well
            self._ledger.missing(error)
            timer.failures += 1
            timer.hold(min(2.0 ** (timer.failures - 1), LONGEST_WAIT_S))
            self._place(timer)
            return
        timer.failures = 0
        self._ledger.found()
        if not claimed:
            self._place(timer)
            return
        if timer.late_s >= LATE_S and not timer.refused:
            _log.warning("%s: runs %s late", timer.label, timedelta(seconds=round(timer.late_s)))
        due = timer.just_before
        timer.advance()
        self._place(timer)
        await self._run(timer, tick, due)

    async def _claim(self, timer: Planned) -> bool:
        """Write down that what is due is dealt with; return whether it is this process's to do."""
        if timer.state is None:
            await self._ledger.meet(timer)
            timer.plan()
            return False
        if timer.runs_elsewhere and not await self._left_behind(timer):
            return False
        if await self._ledger.put(timer, timer.taken()):
            return True
        await self._ledger.look(timer)
        timer.plan()
        return False

    async def _left_behind(self, timer: Planned) -> bool:
        """Whether the run in another process has been abandoned; else plan by what it does."""
        await self._ledger.look(timer)
        if not timer.runs_elsewhere:
            timer.plan()
        elif timer.abandoned:
            said = "%s: its run in another process has shown no life for %g s, and counts as ended"
            _log.warning(said, timer.label, LEASE_S)
            return True
        elif timer.once:
            timer.watch()
        else:
            self._skip(timer)
        return False

    async def _run(self, timer: Planned, tick: Tick, due: datetime) -> None:
        timer.busy = True
        run = tick.run = asyncio.ensure_future(timer.endpoint.open(timer.args))
        kept = True
        try:
            while kept and not await self._done(run, timer.beat_s):
                kept = await self._beat(timer)
            await asyncio.wait({run})
        finally:
            timer.busy = False
        tick.run = None
        error = None if run.cancelled() else run.exception()
        self._tell(timer, error)
        refused = isinstance(error, Overloaded | PluginQuarantined)
        undone = timer.once and (refused or run.cancelled())
        if kept:
            await self._record(timer, due if undone else None)
        if refused:
            timer.try_again(LONGEST_WAIT_S)
            self._place(timer)

    async def _done(self, run: "asyncio.Task[object]", seconds: float) -> bool:
        with _late(self._clock, seconds) as late:
            either: list[asyncio.Future[Any]] = [run, late]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return run.done()

    async def _beat(self, timer: Planned) -> bool:
        """Show that the run goes on; return whether it is still this process's."""
        assert timer.state is not None
        try:
            kept = await self._ledger.put(timer, structs.replace(timer.state, running=True))
        except Exception as error:  # the run goes on without the store, and tries again
            self._ledger.missing(error)
            return True
        if not kept:
            _log.error("%s: another process has taken over what still runs here", timer.label)
            await self._ledger.look(timer)
        return kept

    async def _record(self, timer: Planned, undone: datetime | None) -> None:
        """Write down that the run has ended, if it was written down that there is one."""
        if undone is None and not timer.running:
            return
        try:
            await self._ledger.put(timer, timer.ended(undone))
        except Exception as error:  # whoever finds it so takes the run for abandoned
            self._ledger.missing(error)

    def _tell(self, timer: Planned, error: BaseException | None) -> None:
        """Log what the kernel does not: an error that is no bug reaches nobody else here. What is
        quarantined has been told of when it was."""
        quiet = isinstance(error, PluginQuarantined)
        if isinstance(error, RingfenceError) and error.status != 500 and not quiet:
            _log.warning("%s: failed in trace %s: %s", timer.label, error.trace_id, error)


@contextmanager
def _late(clock: Clock, seconds: float) -> Iterator["asyncio.Future[None]"]:
    """Give the block a future that is done once `seconds` have passed."""
    late: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end() -> None:
        if not late.done():
            late.set_result(None)

    timer = clock.call_at(clock.monotonic() + seconds, end)
    try:
        yield late
    finally:
        timer.cancel()
        late.cancel()

"""A clock that stands still until a test moves it.

`advance` moves it and runs the timers that are due, each at its own moment and in order; `elapse`
does the same and lets what was woken run in between, what `@every` and `@cron` run to its end.
Nothing here waits for real time, but for a tick that waits for something else than this clock.
"""

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from msgspec import Struct

from ringfence.kernel.ports import Endpoint, Grant, StaticName, Timer, ToolEnv
from ringfence.tools.clock.service import Tick, Timetable, in_hand

# Turns of the event loop that a chain of wake-ups gets to play out.
_TURNS = 50
# Real seconds that a tick gets for what is no matter of this clock, such as a commit on a thread.
# One that takes longer waits for the test: from then on time passes without it.
_PATIENCE_S = 5.0


class Config(Struct, frozen=True):
    """Where a fake clock starts.

    Args:
        start: Its wall-clock time when it is made.
    """

    start: datetime = datetime(2030, 1, 1, tzinfo=UTC)


class _Timer:
    """One callback that waits for its moment."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Driver:
    """Time as a test tells it. For use on one event loop, by its thread."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        start = config.start
        self._wall = start if start.tzinfo else start.replace(tzinfo=UTC)
        self._monotonic = 1000.0  # not zero: nothing may take it for "never"
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _Timer]] = []
        self._timetable = Timetable(self, env)
        self._stuck: set[Tick] = set()

    async def start(self) -> None:
        """Do nothing: it stands still from the beginning."""

    async def stop(self) -> None:
        """Forget all timers."""
        self._timers.clear()

    def handle(self, grant: Grant) -> "Driver":
        """Return this driver: the time is the same for all."""
        return self

    def bind(self, endpoints: Sequence[Endpoint], absent: Sequence[StaticName]) -> None:
        """Take the timers to run."""
        self._timetable.bind(endpoints)

    async def open(self) -> None:
        """Run from now on what is due."""
        await self._timetable.open()

    async def close(self, grace_s: float) -> None:
        """Run nothing more; let what runs end, or cancel it after `grace_s`, which pass for it."""
        closing = asyncio.ensure_future(self._timetable.close(grace_s))
        await self.settle()
        while not closing.done() and self._run_next(math.inf):
            await self.settle()
        await closing

    @property
    def waiting(self) -> int:
        """How many timers and sleepers wait for their moment."""
        return sum(1 for _, _, timer in self._timers if timer.callback)

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""
        return self._wall.astimezone(UTC)

    def monotonic(self) -> float:
        """Return the seconds that this clock has been moved by, from 1000 on."""
        return self._monotonic

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` once the clock has been moved to `when`; soon, if it is there already."""
        if when <= self._monotonic:
            return asyncio.get_running_loop().call_soon(callback)
        timer = _Timer(callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    async def sleep(self, seconds: float) -> None:
        """Suspend until the clock has been moved by `seconds`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        timer = self.call_at(self._monotonic + seconds, wake)
        tick = in_hand.get()
        if tick is not None:
            tick.sleepers += 1
            self._timetable.changed.set()
        try:
            await woken
        finally:
            timer.cancel()
            if tick is not None:
                tick.sleepers -= 1

    def advance(self, seconds: float) -> None:
        """Move the clock, and run the timers that are due, in order, before it returns.

        Tasks that they wake run when the event loop next does: see `settle` and `elapse`.
        """
        end = self._end(seconds)
        while self._run_next(end):
            pass
        self._move(end)

    async def elapse(self, seconds: float) -> None:
        """Move the clock as time does: what each moment wakes runs before the next one comes."""
        end = self._end(seconds)
        await self.settle()
        while self._run_next(end):
            await self.settle()
        self._move(end)
        await self.settle()

    async def settle(self) -> None:
        """Let the tasks that were woken run, and those that they wake in turn.

        It waits for the ticks of `@every` and `@cron` that do not sleep. Of other tasks it cannot
        see the threads; whoever waits for one awaits its result.
        """
        await self._turns()
        while working := {*self._timetable.working} - self._stuck:
            self._timetable.changed.clear()
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._timetable.changed.wait()
            except TimeoutError:
                self._stuck |= working
            await self._turns()

    async def _turns(self) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back, and nothing else: as an operator would."""
        self._wall += timedelta(seconds=seconds)

    def _end(self, seconds: float) -> float:
        if not seconds >= 0:
            raise ValueError(f"a clock moves forward; expected seconds from 0 on, got {seconds}")
        return self._monotonic + seconds

    def _run_next(self, end: float) -> bool:
        """Move to the next timer up to `end`, if there is one, and run it."""
        while self._timers and self._timers[0][0] <= end:
            when, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                self._move(when)
                callback, timer.callback = timer.callback, None
                callback()
                return True
        return False

    def _move(self, to: float) -> None:
        if to > self._monotonic:
            self._wall += timedelta(seconds=to - self._monotonic)
            self._monotonic = to

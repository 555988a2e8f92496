"""The executable contract of the clock: what every driver does, run against each of them.

    @pytest.mark.anyio
    class TestMyClock(ClockConformance, TimetableConformance):
        @pytest.fixture
        def subject(self) -> Subject: ...

        @pytest.fixture
        def timing(self) -> TimingSubject: ...

What each fixture gives is said by its class.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol, cast

from msgspec import Struct, structs

from ringfence.errors import NotFound
from ringfence.kernel.ports import (
    Clock,
    Declaration,
    Declared,
    Endpoint,
    Ingress,
    Signature,
    TimerState,
    TimerStore,
)
from ringfence.tools.clock.contract import Every


class Subject(Struct, frozen=True):
    """A clock, and how to let its time pass: `elapse(seconds)`."""

    clock: Clock
    elapse: Callable[[float], Awaitable[None]]


class ClockConformance:
    """Derive it with a `subject` fixture; every wait is a few milliseconds of that clock."""

    async def test_now_is_aware_and_in_utc(self, subject: Subject) -> None:
        """No time without its zone leaves a clock."""
        assert subject.clock.now().utcoffset() == timedelta(0)

    async def test_time_goes_forward(self, subject: Subject) -> None:
        """What has elapsed is seen on both clocks."""
        wall, monotonic = subject.clock.now(), subject.clock.monotonic()
        await subject.elapse(0.01)
        assert subject.clock.monotonic() - monotonic >= 0.0099
        assert subject.clock.now() > wall

    async def test_monotonic_never_goes_back(self, subject: Subject) -> None:
        """However often it is asked, and across waiting."""
        seen = [subject.clock.monotonic() for _ in range(1000)]
        await subject.elapse(0.001)
        seen.append(subject.clock.monotonic())
        assert seen == sorted(seen)

    async def test_a_timer_may_set_another(self, subject: Subject) -> None:
        """Which runs after it, not inside it, also where its moment has come already."""
        ran: list[str] = []
        base = subject.clock.monotonic()

        def first() -> None:
            subject.clock.call_at(base, lambda: ran.append("second"))
            ran.append("first")

        subject.clock.call_at(base + 0.002, first)
        await subject.elapse(0.01)
        await subject.elapse(0.01)  # a clock that is late may have run the first one only now
        assert ran == ["first", "second"]

    async def test_a_timer_runs_at_its_moment_and_never_before(self, subject: Subject) -> None:
        """A callback sees a time that has reached the one it asked for."""
        seen: list[float] = []
        wanted = [subject.clock.monotonic() + step / 1000 for step in (1, 2.4, 3.6, 5, 7.5, 9)]
        for when in wanted:
            subject.clock.call_at(when, lambda: seen.append(subject.clock.monotonic()))
        await subject.elapse(0.03)
        assert len(seen) == len(wanted)
        assert all(at >= when for at, when in zip(seen, wanted, strict=True))

    async def test_timers_run_in_the_order_of_their_moments(self, subject: Subject) -> None:
        """It does not matter in which order they were set."""
        ran: list[str] = []
        base = subject.clock.monotonic()
        subject.clock.call_at(base + 0.020, lambda: ran.append("late"))
        subject.clock.call_at(base + 0.005, lambda: ran.append("early"))
        await subject.elapse(0.04)
        assert ran == ["early", "late"]

    async def test_a_timer_of_the_past_runs_soon_but_not_inside_the_call(
        self, subject: Subject
    ) -> None:
        """Whoever sets a timer gets to hold it first."""
        ran: list[str] = []
        subject.clock.call_at(subject.clock.monotonic() - 1, lambda: ran.append("it"))
        assert ran == []
        await subject.elapse(0.01)
        assert ran == ["it"]

    async def test_a_cancelled_timer_does_not_run(self, subject: Subject) -> None:
        """Cancelling is final, may be done twice, and after it ran as well."""
        ran: list[str] = []
        base = subject.clock.monotonic()
        cancelled = subject.clock.call_at(base + 0.002, lambda: ran.append("cancelled"))
        soon = subject.clock.call_at(base, lambda: ran.append("soon"))
        kept = subject.clock.call_at(base + 0.004, lambda: ran.append("kept"))
        cancelled.cancel()
        cancelled.cancel()
        soon.cancel()
        await subject.elapse(0.02)
        kept.cancel()
        assert ran == ["kept"]

    async def test_a_sleeper_wakes_after_its_time(self, subject: Subject) -> None:
        """`sleep` returns once that much time has passed on `monotonic`."""
        started = subject.clock.monotonic()
        sleeper = asyncio.ensure_future(subject.clock.sleep(0.005))
        await subject.elapse(0.02)
        await sleeper
        assert subject.clock.monotonic() - started >= 0.005

    async def test_sleepers_wake_in_the_order_of_their_times(self, subject: Subject) -> None:
        """Whoever went to sleep first."""
        woken: list[str] = []

        async def sleep(seconds: float, name: str) -> None:
            await subject.clock.sleep(seconds)
            woken.append(name)

        both = asyncio.gather(sleep(0.015, "late"), sleep(0.002, "early"))
        await subject.elapse(0.04)
        await both
        assert woken == ["early", "late"]

    async def test_sleeping_for_nothing_lets_others_run(self, subject: Subject) -> None:
        """Zero and less are a turn of the loop, and need no time to pass."""
        ran: list[str] = []
        asyncio.get_running_loop().call_soon(ran.append, "other")
        await subject.clock.sleep(0)
        await subject.clock.sleep(-1)
        assert ran == ["other"]

    async def test_a_cancelled_sleeper_is_gone(self, subject: Subject) -> None:
        """Cancellation reaches whoever sleeps, at once."""
        sleeper = asyncio.ensure_future(subject.clock.sleep(3600))
        await subject.elapse(0.001)
        sleeper.cancel()
        await asyncio.wait([sleeper])
        assert sleeper.cancelled()


# ---- what is due


class Timers:
    """A store of timers that forgets them with the process; for tests of clocks alone."""

    def __init__(self) -> None:
        self.states: dict[str, TimerState] = {}

    async def load(self, name: str) -> TimerState | None:
        """Return what was stored last."""
        return self.states.get(name)

    async def put(self, state: TimerState) -> bool:
        """Store it, unless somebody else has meanwhile."""
        stored = self.states.get(state.name)
        if stored is not None and stored.version != state.version:
            return False
        self.states[state.name] = structs.replace(state, version=state.version + 1)
        return True


class Timed:
    """A method under `@every` or `@cron`, as a clock is given it: each run is noted in `runs`."""

    def __init__(
        self, declaration: Declaration, run: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        self.declared = Declared(
            declaration, "jobs.job", "jobs", "run", Signature((), None), "job.py", 1
        )
        self.operation = "jobs.job.run"
        self.runs: list[datetime] = []
        self.clock: TimingClock | None = None
        self._run = run

    async def open(self, args: tuple[object, ...]) -> object:
        """Run it, as the kernel would."""
        assert self.clock is not None
        self.runs.append(self.clock.now())
        return None if self._run is None else await self._run()

    def on(self, clock: "TimingClock") -> "Timed":
        """Let `clock` serve it."""
        self.clock = clock
        clock.bind([cast(Endpoint, self)], [])
        return self


class TimingClock(Clock, Ingress, Protocol):
    """A driver of the clock."""


class TimingSubject(Struct, frozen=True):
    """How to make clocks over a store, as many processes would; `elapse` moves all of them."""

    make: Callable[[TimerStore], TimingClock]
    elapse: Callable[[float], Awaitable[None]]


class TimetableConformance:
    """Derive it with a `timing` fixture; every wait is a few seconds of that clock."""

    async def test_what_is_due_runs_each_time_and_not_before(self, timing: TimingSubject) -> None:
        """The first run comes one interval after the first start."""
        clock = timing.make(Timers())
        job = Timed(Every(1)).on(clock)
        started = clock.now()
        await clock.open()
        await timing.elapse(0.5)
        assert job.runs == []
        await timing.elapse(2)
        await clock.close(1)
        assert [round((at - started).total_seconds()) for at in job.runs] == [1, 2]

    async def test_nothing_runs_before_it_is_opened_or_after_it_is_closed(
        self, timing: TimingSubject
    ) -> None:
        """Work comes in while an application serves, and no longer."""
        clock = timing.make(Timers())
        job = Timed(Every(1)).on(clock)
        await timing.elapse(1.2)
        await clock.open()
        await clock.close(1)
        await timing.elapse(1.2)
        assert job.runs == []

    async def test_of_two_processes_one_runs_what_is_due(self, timing: TimingSubject) -> None:
        """What is written down in the store decides."""
        store = Timers()
        clocks = [timing.make(store), timing.make(store)]
        jobs = [Timed(Every(1)).on(clock) for clock in clocks]
        for clock in clocks:
            await clock.open()
        await timing.elapse(2.5)
        for clock in clocks:
            await clock.close(1)
        assert sum(len(job.runs) for job in jobs) == 2

    async def test_what_fails_runs_again(self, timing: TimingSubject) -> None:
        """An error ends the run, and no more."""

        async def fail() -> None:
            raise NotFound("there is nothing to do.")

        clock = timing.make(Timers())
        job = Timed(Every(1), fail).on(clock)
        await clock.open()
        await timing.elapse(2.5)
        await clock.close(1)
        assert len(job.runs) == 2

    async def test_closing_lets_a_run_end_and_cancels_one_that_does_not(
        self, timing: TimingSubject
    ) -> None:
        """Within the grace what runs may go on; after it, it is cancelled."""
        ended: list[str] = []

        async def run() -> None:
            try:
                await clock.sleep(3600 if ended else 0.05)
                ended.append("by itself")
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        clock = timing.make(Timers())
        Timed(Every(1), run).on(clock)
        await clock.open()
        await timing.elapse(1.2)
        assert ended == ["by itself"]
        await timing.elapse(1)
        closing = asyncio.ensure_future(clock.close(0.1))
        await timing.elapse(0.3)
        await closing
        assert ended == ["by itself", "cancelled"]

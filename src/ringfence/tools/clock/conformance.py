"""The executable contract of the clock: what every driver does, run against each of them.

@pytest.mark.anyio
class TestMyClock(ClockConformance):
    @pytest.fixture
    def subject(self) -> Subject: ...
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from msgspec import Struct

from ringfence.kernel.ports import Clock


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

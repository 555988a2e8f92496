"""Both drivers of the clock keep its contract, and the fake one does as it is told."""

import asyncio
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from ringfence.kernel.ports import Clock as KernelClock
from ringfence.kernel.ports import Driver, Grant, Health, TimerStore, ToolEnv
from ringfence.tools.clock import SPEC, Clock, Cron, Every
from ringfence.tools.clock.conformance import (
    ClockConformance,
    Subject,
    Timed,
    Timers,
    TimetableConformance,
    TimingClock,
    TimingSubject,
)
from ringfence.tools.clock.drivers import fake, system

pytestmark = pytest.mark.anyio


def env(clock: KernelClock, store: TimerStore = NotImplemented) -> ToolEnv:
    health = Health("ready")
    return ToolEnv("shop", "clock", Path(), Path(), clock, {}, lambda: health, timers=lambda: store)


@pytest.fixture
def machine() -> system.Driver:
    return system.Driver(system.Config(), env(NotImplemented))


@pytest.fixture
def clock() -> fake.Driver:
    return fake.Driver(fake.Config(), env(NotImplemented))


class TestSystem(ClockConformance, TimetableConformance):
    """The machine's clock."""

    @pytest.fixture
    def subject(self, machine: system.Driver) -> Subject:
        # Real time is this driver's subject, so here alone a few milliseconds of it pass.
        return Subject(machine, lambda seconds: asyncio.sleep(seconds + 0.005))

    @pytest.fixture
    def timing(self) -> TimingSubject:
        def make(store: TimerStore) -> TimingClock:
            return system.Driver(system.Config(), env(NotImplemented, store))

        return TimingSubject(make, asyncio.sleep)


class TestFake(ClockConformance, TimetableConformance):
    """The clock that a test moves."""

    @pytest.fixture
    def subject(self, clock: fake.Driver) -> Subject:
        return Subject(clock, clock.elapse)

    @pytest.fixture
    def timing(self) -> TimingSubject:
        made: list[fake.Driver] = []

        def make(store: TimerStore) -> TimingClock:
            made.append(fake.Driver(fake.Config(), env(NotImplemented, store)))
            return made[-1]

        async def elapse(seconds: float) -> None:
            for _ in range(round(seconds * 10)):
                for clock in made:
                    await clock.elapse(0.1)

        return TimingSubject(make, elapse)


async def test_both_are_drivers_of_the_tool(machine: system.Driver, clock: fake.Driver) -> None:
    """Each is made, started, asked for a handle, and stopped like any driver."""
    drivers: list[Driver] = [machine, clock]
    grant = Grant("orders.place_order", "orders", "clock")
    for driver in drivers:
        await driver.start()
        assert isinstance(driver.handle(grant), type(driver))
        await driver.stop()
    handle: Clock = machine.handle(grant)
    assert handle.now().tzinfo is UTC
    assert (SPEC.name, SPEC.contract, SPEC.default_driver) == ("clock", Clock, "system")


def test_the_machines_monotonic_is_the_c_function(machine: system.Driver) -> None:
    """The kernel asks for it in every call: nothing stands in between."""
    assert machine.monotonic is time.monotonic


async def test_timers_of_one_moment_run_in_the_order_they_were_set(clock: fake.Driver) -> None:
    """A test that relies on the order does not flicker."""
    ran: list[int] = []
    for number in range(20):
        clock.call_at(clock.monotonic() + 1, partial(ran.append, number))
    clock.advance(1)
    assert ran == list(range(20))


async def test_a_timer_sees_its_own_moment(clock: fake.Driver) -> None:
    """However far the clock is moved, each callback runs at the time that it asked for."""
    start = clock.monotonic()
    seen: list[float] = []
    for delay in (30, 10, 20):
        clock.call_at(start + delay, lambda: seen.append(clock.monotonic() - start))
    clock.advance(100)
    assert seen == [10, 20, 30]
    assert clock.monotonic() == start + 100
    assert clock.now() == datetime(2030, 1, 1, 0, 1, 40, tzinfo=UTC)


async def test_a_timer_set_by_a_timer_runs_in_the_same_move(clock: fake.Driver) -> None:
    """Ten ticks of one second are in ten seconds."""
    ticks: list[float] = []

    def tick() -> None:
        ticks.append(clock.monotonic())
        clock.call_at(clock.monotonic() + 1, tick)

    clock.call_at(clock.monotonic() + 1, tick)
    clock.advance(10)
    assert len(ticks) == 10
    assert clock.waiting == 1


async def test_elapsing_lets_sleepers_sleep_again(clock: fake.Driver) -> None:
    """Two tasks that sleep by turns are seen in the order of real time."""
    seen: list[tuple[str, float]] = []
    start = clock.monotonic()

    async def wake(name: str, period: float) -> None:
        for _ in range(3):
            await clock.sleep(period)
            seen.append((name, clock.monotonic() - start))

    tasks = [asyncio.ensure_future(wake("a", 2)), asyncio.ensure_future(wake("b", 3))]
    await clock.elapse(9)
    assert all(task.done() for task in tasks)
    assert seen == [("a", 2), ("b", 3), ("a", 4), ("b", 6), ("a", 6), ("b", 9)]


async def test_a_cancelled_sleeper_leaves_no_timer(clock: fake.Driver) -> None:
    """A clock does not fill up with those who gave up waiting."""
    sleeper = asyncio.ensure_future(clock.sleep(5))
    await clock.settle()
    assert clock.waiting == 1
    sleeper.cancel()
    await clock.settle()
    assert clock.waiting == 0


async def test_a_jump_of_the_wall_clock_moves_no_timer(clock: fake.Driver) -> None:
    """An hour forward wakes nobody, an hour back delays nobody."""
    ran: list[float] = []
    clock.call_at(clock.monotonic() + 10, lambda: ran.append(clock.monotonic()))
    monotonic = clock.monotonic()
    clock.jump(3600)
    clock.advance(9)
    assert ran == []
    clock.jump(-7200)
    clock.advance(1)
    assert ran == [monotonic + 10]
    assert clock.now() == datetime(2029, 12, 31, 23, 0, 10, tzinfo=UTC)


def test_time_does_not_go_back(clock: fake.Driver) -> None:
    """`monotonic` means it; the wall clock has `jump`."""
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1)


def test_the_start_may_be_configured() -> None:
    """A time without a zone is taken as UTC."""
    config = fake.Config(datetime(2000, 2, 29, 12, 0))  # noqa: DTZ001
    assert fake.Driver(config, env(NotImplemented)).now() == datetime(2000, 2, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "declaration, begun",
    [
        (Every("20s"), [20, 160, 300, 440, 580]),
        (Cron("* * * * *"), [60, 240, 420, 600]),
        (Cron("* * * * *", missed="once"), [60, 240, 420, 600]),
    ],
)
async def test_a_run_that_lasts_is_left_to_its_process(
    declaration: Every | Cron, begun: list[int]
) -> None:
    """It shows that it lives, and the other one waits, and goes on when it has ended."""
    store, running, seen = Timers(), [0], [0]
    clocks = [fake.Driver(fake.Config(), env(NotImplemented, store)) for _ in range(2)]

    async def run(clock: fake.Driver) -> None:
        running[0] += 1
        seen.append(running[0])
        await clock.sleep(130)
        running[0] -= 1

    jobs = [Timed(declaration, partial(run, clock)).on(clock) for clock in clocks]
    for clock in clocks:
        await clock.open()
    for _ in range(600):
        for clock in clocks:
            await clock.elapse(1)
    assert max(seen) == 1
    start = fake.Config().start
    runs = sorted(at for job in jobs for at in job.runs)
    assert [round((at - start).total_seconds()) for at in runs] == begun
    for clock in clocks:
        await clock.close(1)

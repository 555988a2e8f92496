"""One timer of an application: when it is due, and what is known of its state in the store.

`Planned` computes and waits for nothing. Moments of the plan are those of the monotonic clock; what
goes by the wall clock is compared with it anew at each look, so that setting it is noticed within
LOOK_S. Used by `service.py` alone.
"""

import logging
from datetime import UTC, datetime, timedelta
from random import SystemRandom

from msgspec import structs

from ringfence.kernel.ports import Clock, Endpoint, TimerState
from ringfence.tools.clock.contract import Cron, Every
from ringfence.tools.clock.schedule import Pace, Schedule, name_of, schedule, where

_log = logging.getLogger(__name__)
LOOK_S = 60.0
BEAT_S = 10.0  # between two signs of life of a run that takes long
# A run of another process that gives no sign of life for so long has ended with its process. It is
# counted by whoever watches, on a monotonic clock: no two clocks have to agree.
LEASE_S = 30.0
# A wall clock that goes back by more was set; less is what keeps clocks in step.
_SET_BACK = timedelta(seconds=1)
_LEAST = timedelta(microseconds=1)
_EVER = datetime.min.replace(tzinfo=UTC)
_random = SystemRandom()


class Planned:
    """A timer; `state` is None until the store has been asked."""

    def __init__(self, endpoint: Endpoint, clock: Clock) -> None:
        declaration = endpoint.declared.declaration
        assert isinstance(declaration, Every | Cron)
        read = schedule(declaration)
        assert not isinstance(read, list), "what is wrong with a timer quarantines its plugin"
        self.endpoint = endpoint
        self.args = tuple(p.default for p in endpoint.declared.signature.parameters)
        self.schedule: Schedule = read
        self.name = name_of(endpoint.declared)
        self.label = where(endpoint.declared)
        self.state: TimerState | None = None
        self.ours = False  # the state stored was written here
        self.busy = False  # a run is in progress here
        self.refused = False  # what is due has been tried before
        self.failures = 0  # of the store, one after the other
        self.ticket = 0  # of its one place in the timetable that counts
        self._clock = clock
        self._seen_at = 0.0  # when this version of the state was first seen
        self._held_until: float | None = None  # to be looked at then, whether it is due or not
        self._due_at = 0.0  # of a Pace
        self._due = self._looked = clock.now()  # of a Calendar
        self._late_s = 0.0
        self._passed = _EVER  # up to here occurrences were skipped during a run
        # What was due before that is not made up for.
        self._since = _EVER if self.once else self._due

    @property
    def once(self) -> bool:
        """Whether a run that was cut off, or missed, is to run again."""
        return not isinstance(self.schedule, Pace) and self.schedule.once

    @property
    def beat_s(self) -> float:
        """Seconds after which a run makes itself known to other processes."""
        if isinstance(self.schedule, Pace):
            return min(BEAT_S, self.schedule.interval_s / 2)
        return BEAT_S

    @property
    def runs_elsewhere(self) -> bool:
        return self.running and not self.ours

    @property
    def running(self) -> bool:
        """Whether the state says that a run is in progress, here or elsewhere."""
        return self.state is not None and self.state.running

    @property
    def abandoned(self) -> bool:
        """Whether a run elsewhere has given no sign of life for too long."""
        return self._clock.monotonic() - self._seen_at >= LEASE_S

    def fresh(self, version: int) -> TimerState:
        """Return the state of a timer that is new, or declared in another way than before."""
        return TimerState(self.name, self.schedule.spec, version, self._clock.now())

    def see(self, state: TimerState, *, ours: bool) -> None:
        """Take note of what is stored."""
        if self.state is None or self.state.version != state.version:
            self.state, self.ours = state, ours
            self._seen_at = self._clock.monotonic()

    def plan(self) -> None:
        """Find out anew when it is due, from what is stored."""
        assert self.state is not None
        now = self._clock.now()
        self._held_until = None
        self._late_s = _random.uniform(0, self.schedule.jitter_s)
        if isinstance(self.schedule, Pace):
            delay_s = self.schedule.delay_s(self.state.last_at, now)
            self._due_at = self._clock.monotonic() + delay_s
        elif self.once and self.runs_elsewhere:  # to be taken over, should it be abandoned
            self._due = self.state.last_at
            self._held_until = self._seen_at + LEASE_S
        else:
            self._due = self.schedule.due(max(self.state.last_at, self._since), now)

    def advance(self) -> None:
        """Leave behind what is due now, and all that has passed."""
        self.refused = False
        self._passed = _EVER
        self._held_until = None
        self._late_s = _random.uniform(0, self.schedule.jitter_s)
        if isinstance(self.schedule, Pace):
            interval_s = self.schedule.interval_s
            late_s = self._clock.monotonic() - self._due_at
            self._due_at += interval_s * (late_s // interval_s + 1)
        else:
            now = self._clock.now()
            self._due = self.schedule.due(max(self._due, now), now)

    def skip(self) -> None:
        """Let what is due now count as dealt with; stored when the run that is in its way ends."""
        passed = self.taken().last_at
        self.advance()
        self._passed = passed

    def hold(self, seconds: float) -> None:
        """Look at it again after `seconds`, with what is due staying so."""
        self._held_until = self._clock.monotonic() + seconds

    def try_again(self, seconds: float) -> None:
        """Let what was refused be due again after `seconds`, unless it may be lost."""
        if self.once:
            self.plan()
        if self.once or isinstance(self.schedule, Pace):
            self.hold(seconds)
            self.refused = True

    def watch(self) -> None:
        """Look at it again when the run elsewhere may count as abandoned."""
        self._held_until = self._seen_at + LEASE_S

    def look_at(self) -> float:
        """Return when it is to be looked at, on the monotonic clock."""
        if self._held_until is not None:
            return self._held_until
        if isinstance(self.schedule, Pace):
            return self._due_at + self._late_s
        left_s = (self._due - self._clock.now()).total_seconds() + self._late_s
        at = self._clock.monotonic() + left_s
        # All look at the same moments, so that many wake the application no more than one does.
        return min(at, (self._clock.monotonic() // LOOK_S + 1) * LOOK_S)

    def is_due(self) -> bool:
        """Whether something is to be done now that it is looked at."""
        if self._held_until is not None or isinstance(self.schedule, Pace):
            return True
        now, before = self._clock.now(), self._looked
        self._looked = now
        if now < before - _SET_BACK:
            _log.warning("%s: the wall clock has been set back by %s", self.label, before - now)
            self._since = min(self._since, now)
            self.plan()
        return now >= self._due + timedelta(seconds=self._late_s)

    def taken(self) -> TimerState:
        """Return the state in which what is due now, and all that has passed, is dealt with."""
        assert self.state is not None
        now = self._clock.now()
        if isinstance(self.schedule, Pace):
            late_s = self._clock.monotonic() - self._due_at
            last_at = now - timedelta(seconds=late_s % self.schedule.interval_s)
        else:
            last_at = self._due if self.schedule.due(self._due, now) > now else now
        return structs.replace(self.state, last_at=last_at, running=self.once)

    def ended(self, undone: datetime | None) -> TimerState:
        """Return the state after a run; `undone` is what `just_before` was of one that was none."""
        assert self.state is not None
        last_at = max(self.state.last_at, self._passed) if undone is None else undone
        return structs.replace(self.state, last_at=last_at, running=False)

    @property
    def late_s(self) -> float:
        """Seconds that have passed since it was due."""
        if isinstance(self.schedule, Pace):
            return self._clock.monotonic() - self._due_at - self._late_s
        return (self._clock.now() - self._due).total_seconds() - self._late_s

    @property
    def just_before(self) -> datetime:
        """A moment up to which all has been dealt with but for what is due now."""
        return self._due - _LEAST

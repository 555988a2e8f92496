"""What a plugin may ask of time, and how it says what happens when.

    @cron("0 3 * * *", tz="Europe/Berlin", missed="once")
    async def clean_up(self, tx: Transaction) -> None: ...

A feature that takes its time from here can be tested without waiting for anything. Decorators only
declare: a bad expression is a finding. Kernel and drivers ask a little more of a clock:
`kernel.ports.Clock`.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal, Protocol, TypeVar

from ringfence.kernel.ports import Budget, Declaration, contract, declare

F = TypeVar("F", bound=Callable[..., object])


@contract("clock")
class Clock(Protocol):
    """The time, and waiting.

    Guarantees:
        `monotonic` never goes back, whatever happens to the wall clock; a wait is measured in it
        and so survives a jump of the wall clock. A cancelled `sleep` leaves nothing behind.
    """

    def now(self) -> datetime:
        """Return the wall-clock time: aware, in UTC. It may jump."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some moment; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Suspend for at least `seconds`; zero or less lets other work run once."""
        ...


class Every(Declaration, frozen=True):
    """A method of a plugin runs again and again, at intervals."""

    tool = "clock"
    kind = "every"

    interval: float | str
    jitter: float | str = 0
    name: str = ""

    @property
    def key(self) -> str:
        return str(self.interval)


class Cron(Declaration, frozen=True):
    """A method of a plugin runs by the clock on the wall of a timezone."""

    tool = "clock"
    kind = "cron"

    expression: str
    tz: str = "UTC"
    missed: Literal["skip", "once"] = "skip"
    jitter: float | str = 0
    name: str = ""

    @property
    def key(self) -> str:
        return f"{self.expression} {self.tz}"


def every(
    interval: float | str,
    *,
    jitter: float | str = 0,
    name: str = "",
    calls: Sequence[str] = (),
    budget: Budget | None = None,
) -> Callable[[F], F]:
    """Run the method again and again, for the first time one interval after the first start.

    Args:
        interval: Seconds, or text with a unit: 30, `"30s"`, `"5m"`, `"6h"`; at least a second.
        jitter: Up to so much later, at random, each time anew; less than the interval.
        name: Tells several timers of one method apart; part of what is stored of it.
        calls: Services that the method reaches through `ctx.call`.
        budget: What one run may spend, beside the budget of every tick.

    Guarantees:
        Each occurrence runs at most once, in one process of those that share the database. The
        intervals go on where they were when the application starts again; what fell into its
        downtime is made up for by one run. A wall clock that is set changes nothing.
    """
    return declare(Every(interval, jitter, name, calls=tuple(calls), budget=budget))


def cron(
    expression: str,
    *,
    tz: str = "UTC",
    missed: Literal["skip", "once"] = "skip",
    jitter: float | str = 0,
    name: str = "",
    calls: Sequence[str] = (),
    budget: Budget | None = None,
) -> Callable[[F], F]:
    """Run the method at the moments that a cron expression names.

    Args:
        expression: Minute, hour, day of the month, month, day of the week: `"0 3 * * mon-fri"`;
            or `"@hourly"`, `"@daily"`, `"@weekly"`, `"@monthly"`, `"@yearly"`.
        tz: Whose wall clock counts, `"Europe/Berlin"`; by default UTC.
        missed: What becomes of occurrences while the application is down: `"skip"`, they are
            lost; `"once"`, one run after the start stands for all of them.
        jitter: As for `every`.
        name: As for `every`.
        calls: As for `every`.
        budget: As for `every`.

    Guarantees:
        An occurrence begins in one process of those that share the database. With `"skip"` it runs
        at most once. With `"once"` it runs at least once: one that was cut off by the end of its
        process runs again. Where summer time skips the hour, what names one runs after the gap;
        where an hour comes twice, in the first.
    """
    return declare(Cron(expression, tz, missed, jitter, name, calls=tuple(calls), budget=budget))

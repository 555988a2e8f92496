"""From what a plugin declares to when it is due; and what is wrong with it, before anything starts.

`schedule` reads one declaration, `check` is the tool's part of verification. Pure; called by
`service.py` and the kernel.

    RF401 cron expression that cannot be read, or is never due
    RF402 timezone that is not known
    RF403 interval or jitter that is none
    RF404 two timers of one method under one name
    RF405 parameter that nothing gives a value to
    RF406 argument of another type
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from msgspec import Struct, ValidationError, convert, structs

from ringfence.errors import Finding
from ringfence.kernel.ports import REQUIRED, Declared, Facts, did_you_mean
from ringfence.settings import Seconds
from ringfence.tools.clock.contract import Cron, Every
from ringfence.tools.clock.expression import Expression, Misfit, parse

RULES = frozenset({"RF401", "RF402", "RF403", "RF404", "RF405", "RF406"})
LEAST_S = 1.0  # an application that has nothing to do wakes at most once a second
MOST_S = 366 * 86_400.0  # far beyond what anyone waits for, far below what dates can take
# Clocks of several machines differ by less.
_SKEW = timedelta(minutes=5)
# What a clock was set back by more than this was a correction, not a change of the hour.
# Source: Vixie cron, cron(8).
_CORRECTION = timedelta(hours=3)
_INTERVAL = 'give seconds, or text with a unit: 30, "30s", "5m", "6h"; at most a year'


class Pace(Struct, frozen=True):
    """Due at intervals, counted on the monotonic clock."""

    interval_s: float
    jitter_s: float
    spec: str

    def delay_s(self, last: datetime, now: datetime) -> float:
        """Return the seconds until it is due, where it was last due at `last`: at most one
        interval, whatever has been done to the wall clock since."""
        left = self.interval_s - (now - last).total_seconds()
        return min(max(left, 0.0), self.interval_s)


class Calendar(Struct, frozen=True):
    """Due by the wall clock."""

    expression: Expression
    zone: tzinfo
    once: bool
    jitter_s: float
    spec: str

    def due(self, last: datetime, now: datetime) -> datetime:
        """Return when it is due next, where all up to `last` has been dealt with.

        A `last` that is yet to come was written before the clock was set back. What names hours
        waits until they are past it, so that none runs twice; what goes by real time goes on.
        """
        if last - now > (_SKEW if self.expression.paced else _CORRECTION):
            last = now
        return self.expression.after(last, self.zone)


Schedule = Pace | Calendar


class Wrong(Misfit, frozen=True):
    """A misfit under the rule that it breaks."""

    rule: str


def schedule(declaration: Every | Cron) -> Schedule | list[Wrong]:
    """Read what a decorator says, or list all that is wrong with it."""
    try:
        convert(structs.asdict(declaration), type(declaration))
    except ValidationError as error:
        fix = "give each argument as `every` and `cron` describe it"
        return [Wrong(str(error), fix, "RF406")]
    jitter_s = 0.0 if declaration.jitter == 0 else _seconds(declaration.jitter)
    read: Schedule | list[Wrong]
    if isinstance(declaration, Cron):
        read = _calendar(declaration, jitter_s or 0.0)
    else:
        read = _pace(declaration, jitter_s or 0.0)
    if jitter_s is None:
        wrong = Wrong(f"jitter {declaration.jitter!r} is no span of time", _INTERVAL, "RF403")
        return [*read, wrong] if isinstance(read, list) else [wrong]
    return read


def _pace(declaration: Every, jitter_s: float) -> Pace | list[Wrong]:
    interval_s = _seconds(declaration.interval)
    if interval_s is None:
        return [Wrong(f"{declaration.interval!r} is no span of time", _INTERVAL, "RF403")]
    if interval_s < LEAST_S:
        message = f"{declaration.interval!r} is too short; expected at least {LEAST_S:g} s"
        return [Wrong(message, "do several things in one run", "RF403")]
    if jitter_s >= interval_s:
        message = f"jitter {declaration.jitter!r} is not less than the interval"
        return [Wrong(message, "choose a smaller one", "RF403")]
    return Pace(interval_s, jitter_s, f"every {interval_s}")


def _calendar(declaration: Cron, jitter_s: float) -> Calendar | list[Wrong]:
    expression = parse(declaration.expression)
    zone = _zone(declaration.tz)
    if isinstance(expression, Expression) and isinstance(zone, tzinfo):
        once = declaration.missed == "once"
        spec = f"cron {' '.join(declaration.expression.split())} {declaration.tz}"
        return Calendar(expression, zone, once, jitter_s, spec)
    wrongs: list[Wrong] = []
    if isinstance(expression, Misfit):
        wrongs.append(Wrong(expression.message, expression.fix, "RF401"))
    if isinstance(zone, Wrong):
        wrongs.append(zone)
    return wrongs


def _zone(name: str) -> tzinfo | Wrong:
    if name == "UTC":
        return UTC  # also where no other zone is known
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of zones is OSError
        return _unknown_zone(name)


def _unknown_zone(name: str) -> Wrong:
    known = sorted(available_timezones())
    if not known:
        return Wrong("this machine knows no timezones", "install the package tzdata", "RF402")
    message = f"no timezone is called {name!r}{did_you_mean(name, known)}"
    return Wrong(message, 'name one of the IANA database, as in tz="Europe/Berlin"', "RF402")


def _seconds(span: float | str) -> float | None:
    try:
        seconds = float(Seconds.parse(span))
    except ValueError:
        return None
    return seconds if seconds <= MOST_S else None


def name_of(declared: Declared) -> str:
    """Return the name that a timer is stored under."""
    declaration = declared.declaration
    assert isinstance(declaration, Every | Cron)
    tail = f"#{declaration.name}" if declaration.name else ""
    return f"{declared.plugin}.{declared.method}{tail}"


def check(facts: Facts) -> list[Finding]:
    """Return everything that is wrong with the timers of an application."""
    found: list[Finding] = []
    names: set[str] = set()
    for declared in facts.declared:
        if isinstance(declared.declaration, Every | Cron):
            found += (
                Finding(
                    declared.file, declared.line, w.rule, f"{where(declared)}: {w.message}", w.fix
                )
                for w in _wrongs(declared, names)
            )
    return found


def where(declared: Declared) -> str:
    """Return how messages name a timer: `orders.expire.expire, every 5m`."""
    return f"{declared.plugin}.{declared.method}, {declared.declaration.label}"


def _wrongs(declared: Declared, names: set[str]) -> Iterator[Wrong]:
    declaration = declared.declaration
    assert isinstance(declaration, Every | Cron)
    read = schedule(declaration)
    if isinstance(read, list):
        yield from read
    name = name_of(declared)
    if name in names:
        message = f"the method has another timer under the name {declaration.name!r}"
        yield Wrong(message, 'tell them apart: name="nightly"', "RF404")
    names.add(name)
    for parameter in declared.signature.parameters:
        if parameter.default is REQUIRED:
            message = f"nothing gives {parameter.name!r} a value: a timer has no caller"
            fix = "take it from a tool or from settings; or give it a default"
            yield Wrong(message, fix, "RF405")

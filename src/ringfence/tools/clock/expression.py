"""Cron expressions: what they mean, and when they are next due.

`parse` reads one, `Expression.after` answers. Invariant: of two moments the later one is never due
earlier, so a sequence of `after` visits each occurrence once and in order. Pure; called by
`schedule.py`.

Source: Vixie cron 3.0 as in Debian, crontab(5) and cron(8): names, lists, ranges and steps; both
day fields together mean either of them, unless one begins with `*`. What names hours and minutes
happens once for each of them that the clock on the wall shows: after the gap where summer time
skips it, the first time where it comes twice. Where minute or hour begins with `*`, real time
counts: an hour that is shown twice has its occurrences twice, one that is skipped has none.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from msgspec import Struct

_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
# Offsets of zones change at quarters of an hour alone; hours are looked for in these steps.
_QUARTER = 15
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MACROS: Mapping[str, str] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_TERM = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/([0-9]+))?", re.ASCII)


class Misfit(Struct, frozen=True):
    """Why something cannot be scheduled, and what to write instead."""

    message: str
    fix: str


class _Field(Struct, frozen=True):
    """One of the five fields; `names` stand for the numbers from `least` on."""

    name: str
    least: int
    most: int
    names: Sequence[str] = ()

    @property
    def expected(self) -> str:
        words = f", or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"{self.least} to {self.most}{words}"

    def number(self, text: str) -> int | None:
        if text.lower() in self.names:
            return self.names.index(text.lower()) + self.least
        value = int(text) if text.isdecimal() and len(text) <= 4 else -1
        return value if self.least <= value <= self.most else None


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 7, _WEEKDAYS),
)
_WRITE = (
    'write minute, hour, day of the month, month and day of the week, as in "0 3 * * mon-fri"; '
    f"or one of {', '.join(MACROS)}"
)


class Expression(Struct, frozen=True):
    """When something is due, by the clock on the wall of some zone.

    `both` says whether a day has to fit both day fields; `paced`, whether real time counts.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    both: bool
    paced: bool

    def after(self, moment: datetime, zone: tzinfo) -> datetime:
        """Return the first moment after `moment` at which it is due, in UTC."""
        if self.paced:
            return self._in_real_time(moment.astimezone(UTC), zone)
        day = moment.astimezone(zone).date() - _DAY
        while True:
            day = self._day_from(day)
            for hour in self.hours:
                for minute in self.minutes:
                    due = _shown(datetime.combine(day, time(hour, minute)), zone)
                    if due > moment:
                        return due
            day += _DAY

    def _in_real_time(self, moment: datetime, zone: tzinfo) -> datetime:
        at = moment.replace(second=0, microsecond=0) + _MINUTE
        while True:
            local = at.astimezone(zone)
            today = local.date()
            if not self._fits(today):
                midnight = datetime.combine(self._day_from(today), time())
                at = max(_shown(midnight, zone), at + _MINUTE)
            elif local.hour not in self.hours:
                at += _MINUTE * (_QUARTER - local.minute % _QUARTER)
            elif local.minute not in self.minutes:
                at += _MINUTE
            else:
                return at

    def _day_from(self, day: date) -> date:
        while not self._fits(day):
            if day.month in self.months:
                day += _DAY
            else:
                day = (day.replace(day=1) + 31 * _DAY).replace(day=1)
        return day

    def _fits(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        fits = (day.day in self.days, day.isoweekday() % 7 in self.weekdays)
        return all(fits) if self.both else any(fits)


def parse(text: str) -> Expression | Misfit:
    """Read a cron expression, or say what is wrong with it and where."""
    if text.strip().startswith("@"):
        return _macro(text)
    words = list(re.finditer(r"\S+", text))
    if len(words) != len(_FIELDS):
        return Misfit(f"{text!r} has {len(words)} fields; expected 5", _WRITE)
    read: list[frozenset[int]] = []
    for field, word in zip(_FIELDS, words, strict=True):
        values = _values(field, word[0])
        if isinstance(values, str):
            at = word.start() + 1
            return Misfit(f"{text!r}: {field.name}, from character {at}: {values}", _WRITE)
        read.append(values)
    minutes, hours, days, months, weekdays = read
    stars = [word[0].startswith("*") for word in words]
    both = stars[2] or stars[4]
    if both and min(days) > max(_LONGEST[month - 1] for month in months):
        message = f"{text!r} is never due: none of its months has a day {min(days)}"
        return Misfit(message, "name a day that there is")
    return Expression(
        tuple(sorted(minutes)),
        tuple(sorted(hours)),
        days,
        months,
        frozenset(day % 7 for day in weekdays),
        both,
        paced=stars[0] or stars[1],
    )


def _macro(text: str) -> Expression | Misfit:
    name = text.strip().lower()
    if name in MACROS:
        return parse(MACROS[name])
    if name == "@reboot":
        message = "'@reboot' is no moment of the clock"
        return Misfit(message, "write what happens at the start into the plugin's `start`")
    return Misfit(f"{text!r} is no expression; expected one of {', '.join(MACROS)}", _WRITE)


def _values(field: _Field, word: str) -> frozenset[int] | str:
    """Return the numbers that a field stands for, or what was expected in its place."""
    found: set[int] = set()
    for term in word.split(","):
        numbers = _numbers(field, term)
        if isinstance(numbers, str):
            return f"{numbers}, got {term!r}"
        found.update(numbers)
    return frozenset(found)


def _numbers(field: _Field, term: str) -> range | str:
    match = _TERM.fullmatch(term)
    if match is None:
        return f"expected {field.expected}, a range a-b, *, or one of these with a step as in */5"
    first, last, step = match.groups()
    every = int(step[:4]) if step else 1
    if every == 0:
        return "expected a step above 0"
    if first is None:
        return range(field.least, field.most + 1, every)
    start = field.number(first)
    stop = field.number(last) if last else (field.most if step else start)
    if start is None or stop is None:
        return f"expected {field.expected}"
    if stop == 0 < start and field.names == _WEEKDAYS:
        stop = 7  # Sunday ends a week as well as it begins one
    if stop < start:
        return "expected a range that begins with its smaller end"
    return range(start, stop + 1, every)


def _shown(naive: datetime, zone: tzinfo) -> datetime:
    """Return when clocks in `zone` show that time first, or, where they skip it, go past it."""
    late = naive.replace(tzinfo=zone).astimezone(UTC)
    if late.astimezone(zone).replace(tzinfo=None) == naive:
        return late
    early = naive.replace(tzinfo=zone, fold=1).astimezone(UTC)
    offset = early.astimezone(zone).utcoffset()
    while late - early > _SECOND:  # the change of the offset lies between the two
        middle = early + (late - early) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)

"""Cron expressions mean what crontab(5) says, by every wall clock; what is none is told why."""

from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.tools.clock.expression import MACROS, Expression, Misfit, parse

MINUTE = timedelta(minutes=1)
BERLIN = ZoneInfo("Europe/Berlin")
# What zones do: an hour at night, at midnight, half an hour, the other hemisphere, a day left out.
CHANGES = [
    ("Europe/Berlin", datetime(2026, 3, 29, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 6, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 5, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 14, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 3, 8, 4, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 11, 1, 4, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2026, 4, 23, 21, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 9, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2026, 6, 1, tzinfo=UTC)),
    ("UTC", datetime(2027, 12, 31, 22, tzinfo=UTC)),
]


def read(text: str) -> Expression:
    expression = parse(text)
    assert isinstance(expression, Expression), expression
    return expression


def shown(text: str, start: str, count: int, zone: tzinfo = BERLIN) -> list[str]:
    """Return what the zone's wall clock shows at the next moments, with its distance to UTC."""
    expression, at = read(text), datetime.fromisoformat(start).replace(tzinfo=zone)
    found: list[str] = []
    for _ in range(count):
        at = expression.after(at, zone)
        found.append(at.astimezone(zone).isoformat("T", "minutes")[5:])
    return found


@pytest.mark.parametrize(
    "text, start, expected",
    [
        ("*/15 * * * *", "2026-06-01T10:07", ["06-01T10:15+02:00", "06-01T10:30+02:00"]),
        ("0 3 * * mon-fri", "2026-06-05T10:00", ["06-08T03:00+02:00", "06-09T03:00+02:00"]),
        ("0 3 * JAN,jul 1", "2026-06-05T10:00", ["07-06T03:00+02:00", "07-13T03:00+02:00"]),
        ("10-40/15 8 1 * *", "2026-06-05T10:00", ["07-01T08:10+02:00", "07-01T08:25+02:00"]),
        ("50/5 8 * * *", "2026-06-05T10:00", ["06-06T08:50+02:00", "06-06T08:55+02:00"]),
        ("0 0 29 2 *", "2026-06-05T10:00", ["02-29T00:00+01:00", "02-29T00:00+01:00"]),
        ("0 0 * * 7", "2026-06-05T10:00", ["06-07T00:00+02:00", "06-14T00:00+02:00"]),
        ("0 0 * * sat-sun", "2026-06-05T10:00", ["06-06T00:00+02:00", "06-07T00:00+02:00"]),
        (" @Daily ", "2026-06-05T10:00", ["06-06T00:00+02:00", "06-07T00:00+02:00"]),
    ],
)
def test_an_expression_is_due_when_it_says(text: str, start: str, expected: list[str]) -> None:
    """Lists, ranges, steps, names and macros are those of every cron."""
    assert shown(text, start, 2) == expected


def test_two_day_fields_mean_either_of_them() -> None:
    """The 13th, and every Friday; but with a star in one of them, both must fit."""
    assert shown("0 0 13 * fri", "2026-06-01T00:00", 4) == [
        "06-05T00:00+02:00",
        "06-12T00:00+02:00",
        "06-13T00:00+02:00",
        "06-19T00:00+02:00",
    ]
    assert shown("0 0 */13 * fri", "2026-06-01T00:00", 2) == [
        "08-14T00:00+02:00",
        "11-27T00:00+01:00",
    ]


def test_a_time_that_summer_time_skips_is_due_after_the_gap() -> None:
    """It runs that day as well, once, however many of its times are skipped."""
    assert shown("30 2 * * *", "2026-03-28T03:00", 2) == ["03-29T03:00+02:00", "03-30T02:30+02:00"]
    assert shown("0,30 2,3 * * *", "2026-03-29T01:00", 3) == [
        "03-29T03:00+02:00",
        "03-29T03:30+02:00",
        "03-30T02:00+02:00",
    ]


def test_a_time_that_comes_twice_is_due_once() -> None:
    """The first time counts, also for whoever asks in between or during the second."""
    assert shown("30 2 * * *", "2026-10-25T01:00", 2) == ["10-25T02:30+02:00", "10-26T02:30+01:00"]
    second = datetime(2026, 10, 25, 2, 10, tzinfo=BERLIN, fold=1)
    after = read("30 2 * * *").after(second, BERLIN).astimezone(BERLIN)
    assert after == datetime(2026, 10, 26, 2, 30, tzinfo=BERLIN)


def test_a_star_goes_by_real_time() -> None:
    """Each hour that passes counts: none is skipped, and none left out where two are called 2."""
    assert shown("0 * * * *", "2026-03-29T00:30", 3) == [
        "03-29T01:00+01:00",
        "03-29T03:00+02:00",
        "03-29T04:00+02:00",
    ]
    assert shown("*/30 * * * *", "2026-10-25T01:59", 5) == [
        "10-25T02:00+02:00",
        "10-25T02:30+02:00",
        "10-25T02:00+01:00",
        "10-25T02:30+01:00",
        "10-25T03:00+01:00",
    ]


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "'' has 0 fields; expected 5"),
        ("0 3 * *", "'0 3 * *' has 4 fields; expected 5"),
        ("0 0 3 * * *", "'0 0 3 * * *' has 6 fields; expected 5"),
        ("60 * * * *", "minute, from character 1: expected 0 to 59, got '60'"),
        ("0 24 * * *", "hour, from character 3: expected 0 to 23, got '24'"),
        ("0 3 0 * *", "day of the month, from character 5: expected 1 to 31, got '0'"),
        ("0  3 * 13 *", "month, from character 8: expected 1 to 12, or jan to dec, got '13'"),
        ("0 3 * * 8", "day of the week, from character 9: expected 0 to 7, or sun to sat, got '8'"),
        ("0 3 * mon *", "expected 1 to 12, or jan to dec, got 'mon'"),
        ("5,x * * * *", "expected 0 to 59, got 'x'"),
        ("5, * * * *", "or one of these with a step as in */5, got ''"),
        ("*/0 * * * *", "expected a step above 0, got '*/0'"),
        ("40-10 * * * *", "a range that begins with its smaller end, got '40-10'"),
        ("0 0 L * *", "expected 1 to 31, got 'L'"),
        ("0 0 ? * *", "a range a-b, *, or one of these with a step as in */5, got '?'"),
        ("1.5 * * * *", "got '1.5'"),
        ("٣ * * * *", "got '٣'"),
        ("1" * 5000 + " * * * *", "expected 0 to 59"),
        ("@reboot", "'@reboot' is no moment of the clock"),
        ("@fortnightly", "'@fortnightly' is no expression; expected one of @hourly"),
        ("30 2 31 2 *", "is never due: none of its months has a day 31"),
        ("0 0 31 4,6,9,11 *", "is never due: none of its months has a day 31"),
    ],
)
def test_what_is_no_expression_is_told_with_its_place(text: str, said: str) -> None:
    """The field, the character, what was expected there and what was found."""
    misfit = parse(text)
    assert isinstance(misfit, Misfit)
    assert said in misfit.message
    assert misfit.fix


def test_a_day_that_the_month_lacks_is_no_matter_beside_a_day_of_the_week() -> None:
    """`31 2 mon` is due on the Mondays of February."""
    assert shown("0 0 31 2 mon", "2026-01-01T00:00", 1) == ["02-02T00:00+01:00"]


def test_every_macro_is_an_expression() -> None:
    """Each stands for five fields."""
    assert all(isinstance(parse(name), Expression) for name in MACROS)


# ---- laws


def lists(least: int, most: int) -> st.SearchStrategy[str]:
    """Strategies of one field: a star, numbers, ranges, steps."""
    number = st.integers(least, most)
    span = st.tuples(number, number).map(lambda ab: f"{min(ab)}-{max(ab)}")
    step = st.integers(1, most).map(lambda n: f"*/{n}")
    term = st.one_of(number.map(str), span)
    return st.one_of(st.just("*"), step, st.lists(term, min_size=1, max_size=3).map(",".join))


expressions = st.tuples(
    lists(0, 59), lists(0, 23), st.just("*"), st.just("*"), st.one_of(st.just("*"), lists(0, 7))
).map(" ".join)


def scanned(expression: Expression, zone: tzinfo, start: datetime, minutes: int) -> list[datetime]:
    """Look at every minute, as a cron that wakes each minute would, and at what clocks skipped."""

    def fits(local: datetime) -> bool:
        on = (local.day in expression.days, local.isoweekday() % 7 in expression.weekdays)
        day = all(on) if expression.both else any(on)
        at = local.hour in expression.hours and local.minute in expression.minutes
        return day and at and local.month in expression.months

    found: list[datetime] = []
    before = start.astimezone(zone).replace(tzinfo=None)
    for n in range(1, minutes + 1):
        at = start + n * MINUTE
        local = at.astimezone(zone)
        naive = local.replace(tzinfo=None)
        skipped = [before + k * MINUTE for k in range(1, (naive - before) // MINUTE)]
        if expression.paced:
            due = fits(local)
        else:
            due = (fits(local) and local.fold == 0) or any(map(fits, skipped))
        if due:
            found.append(at)
        before = naive
    return found


# Each example looks at every minute of a day and more.
@settings(max_examples=60, deadline=None)
@given(text=expressions, change=st.sampled_from(CHANGES), lead=st.integers(0, 600))
def test_it_is_due_at_exactly_the_minutes_that_a_scan_finds(
    text: str, change: tuple[str, datetime], lead: int
) -> None:
    """Across every kind of change of a zone: nothing left out, nothing added, in order."""
    name, middle = change
    zone, expression = ZoneInfo(name), read(text)
    start = middle - lead * MINUTE
    expected = scanned(expression, zone, start, 1500)
    at, found = start, list[datetime]()
    while (at := expression.after(at, zone)) <= start + 1500 * MINUTE:
        found.append(at)
    assert found == expected


@given(
    text=st.tuples(lists(0, 59), lists(0, 23), lists(1, 28), lists(1, 12), lists(0, 7)).map(
        " ".join
    ),
    start=st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1)),  # noqa: DTZ001
    name=st.sampled_from([name for name, _ in CHANGES]),
)
def test_the_next_moment_is_later_and_whoever_asks_in_between_gets_it_too(
    text: str, start: datetime, name: str
) -> None:
    """Any expression, any moment: time goes forward, and nothing lies in between."""
    zone, expression = ZoneInfo(name), read(text)
    moments = [start.replace(tzinfo=UTC)]
    for _ in range(3):
        moments.append(expression.after(moments[-1], zone))
    for one, next_ in pairwise(moments):
        assert one < next_
        assert expression.after(one + (next_ - one) / 2, zone) == next_
        assert next_.second == next_.microsecond == 0

"""What is wrong with a timer is found before anything starts, and costs its own plugin alone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ringfence.errors import Finding
from ringfence.tools.clock import Cron, Every
from ringfence.tools.clock.schedule import Calendar, Pace, schedule
from tests.kernel.apps import feature, found, place, running

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def job(decorators: str, method: str = "async def run(self) -> None: ...") -> str:
    lines = "\n".join(f"    {line}" for line in (*decorators.split("\n"), method))
    return feature(
        f"from ringfence.tools.clock import cron, every\n\n\nclass Job(Plugin):\n{lines}"
    )


def findings(root: Path, source: str) -> list[Finding]:
    return found(root, {"domains/jobs/job.py": source})


@pytest.mark.parametrize(
    "decorator, rule, said",
    [
        ('@cron("0 3 * 13 *")', "RF401", "cron 0 3 * 13 * UTC: '0 3 * 13 *': month, from char"),
        ('@cron("30 2 31 2 *")', "RF401", "is never due"),
        ('@cron("0 3 * * *", tz="Europe/Berln")', "RF402", "did you mean 'Europe/Berlin'?"),
        ('@cron("0 3 * * *", tz="Europe")', "RF402", "no timezone is called 'Europe'"),
        ('@cron("0 3 * * *", tz="../etc/passwd")', "RF402", "no timezone is called '../etc/pass"),
        ('@cron("0 3 * * *", tz="")', "RF402", "no timezone is called ''"),
        ('@cron("0 3 * * *", missed="twice")', "RF406", "Invalid enum value 'twice'"),
        ("@cron(5)", "RF406", "Expected `str`, got `int` - at `$.expression`"),
        ('@cron("0 3 * * *", jitter="soon")', "RF403", "jitter 'soon' is no span of time"),
        ('@every("5 minutes")', "RF403", "'5 minutes' is no span of time"),
        ("@every(0)", "RF403", "0 is no span of time"),
        ("@every(-5)", "RF403", "-5 is no span of time"),
        ('@every(float("nan"))', "RF403", "nan is no span of time"),
        ('@every(float("inf"))', "RF403", "inf is no span of time"),
        ("@every(1e300)", "RF403", "1e+300 is no span of time"),
        ('@cron("0 3 * * *", jitter=1e13)', "RF403", "is no span of time"),
        ('@every("500ms")', "RF403", "'500ms' is too short; expected at least 1 s"),
        ('@every("5m", jitter="5m")', "RF403", "jitter '5m' is not less than the interval"),
        ("@every(None)", "RF406", "got `null` - at `$.interval`"),
        ('@every("5m")\n@every("6m")', "RF404", "has another timer under the name ''"),
    ],
)
def test_a_timer_that_cannot_be_is_found(
    tmp_path: Path, decorator: str, rule: str, said: str
) -> None:
    """With its place, what was expected and what to write instead."""
    (finding,) = findings(tmp_path, job(decorator))
    assert finding.rule == rule
    assert said in finding.message
    assert finding.message.startswith("jobs.job.run, ")
    assert finding.fix
    assert (finding.file, finding.line) == place(tmp_path, "domains/jobs/job.py", "def run")


def test_a_parameter_that_nobody_gives_is_found(tmp_path: Path) -> None:
    """A timer has no caller; request values and defaults are given."""
    method = (
        "async def run(self, sku: str, ctx: Context, limit: int = 5) -> None: ...\n    db: Database"
    )
    (finding,) = findings(tmp_path, job("@every(5)", method))
    assert finding.rule == "RF405"
    assert "nothing gives 'sku' a value" in finding.message


def test_two_timers_of_one_method_have_names(tmp_path: Path) -> None:
    """Each is stored by itself."""
    source = job('@every("5m")\n@cron("0 3 * * *", name="nightly")\n@every("1h", name="hourly")')
    assert findings(tmp_path, source) == []


def test_all_that_is_wrong_is_found_at_once(tmp_path: Path) -> None:
    """One finding does not hide the next."""
    source = job(
        '@every(0)\n@cron("x", tz="y", jitter="z")', "async def run(self, sku: str) -> None: ..."
    )
    rules = sorted(finding.rule for finding in findings(tmp_path, source))
    assert rules == ["RF401", "RF402", "RF403", "RF403", "RF404", "RF405", "RF405"]


@pytest.mark.anyio
async def test_a_wrong_timer_quarantines_its_own_plugin(tmp_path: Path) -> None:
    """The neighbour's runs."""
    good = job('@every("5m")', "@service('well.runs')\n    async def run(self) -> int: return 1")
    files = {"domains/jobs/job.py": job('@cron("x")'), "domains/well/job.py": good}
    async with running(tmp_path, files) as app:
        assert [finding.rule for finding in app.findings] == ["RF401"]
        await app.clock.elapse(300)
        assert [span.plugin for span in app.spans] == ["well.job"]


def pace(interval: float | str) -> Pace:
    read = schedule(Every(interval))
    assert isinstance(read, Pace)
    return read


def calendar(expression: str, tz: str = "UTC") -> Calendar:
    read = schedule(Cron(expression, tz))
    assert isinstance(read, Calendar)
    return read


@pytest.mark.parametrize(
    "ago_s, left_s", [(0, 300), (100, 200), (300, 0), (9000, 0), (-60, 300), (-1e8, 300)]
)
def test_an_interval_goes_on_where_it_was(ago_s: float, left_s: float) -> None:
    """By the time that has passed; never later than one interval, whatever the wall clock says."""
    assert pace("5m").delay_s(NOW - timedelta(seconds=ago_s), NOW) == left_s


def test_a_changed_way_to_write_an_interval_is_no_other_interval() -> None:
    """What is stored is what it means."""
    assert pace("5m").spec == pace(300).spec == pace("300s").spec
    assert calendar("0  3 * * *").spec == calendar("0 3 * * *").spec


@pytest.mark.parametrize(
    "expression, last, expected",
    [
        # Dealt with an hour that is yet to come: the wall clock was set back.
        ("30 12 * * *", NOW + timedelta(hours=1), NOW + timedelta(days=1, minutes=30)),
        ("*/5 * * * *", NOW + timedelta(hours=1), NOW + timedelta(minutes=5)),
        # By a little: the clock of the machine that has dealt with it is ahead.
        ("*/5 * * * *", NOW + timedelta(minutes=5), NOW + timedelta(minutes=10)),
        # By more than a change of the hour: it was wrong.
        ("30 12 * * *", NOW + timedelta(days=400), NOW + timedelta(minutes=30)),
    ],
)
def test_a_wall_clock_that_goes_back_repeats_nothing_and_stops_nothing(
    expression: str, last: datetime, expected: datetime
) -> None:
    """What names an hour waits until it is past; what goes by real time goes on."""
    assert calendar(expression).due(last, NOW) == expected

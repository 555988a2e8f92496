"""`ringfence check` and `ringfence explain`, as people and programs use them."""

import json
from pathlib import Path

import pytest

from ringfence.check.catalogue import titles
from ringfence.check.rules import RULES
from ringfence.cli import invoke
from tests.faults.test_escapes import EVIL, obeys
from tests.kernel.apps import write

FEATURE = """\
import time

from ringfence import Plugin, service


class Place(Plugin):
    @service("orders.place")
    async def place(self) -> None:
        time.sleep(1)
"""
IDLE = "from ringfence import Plugin\n\n\nclass Idle(Plugin):\n    pass\n"
FILE = "domains/orders/place.py"


def said(capsys: pytest.CaptureFixture[str], *arguments: object, code: int) -> str:
    """Do a command; return what it prints."""
    assert invoke([str(one) for one in arguments]) == code
    return capsys.readouterr().out


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with an error, and the folder above it to work in."""
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / "my shop", {FILE: FEATURE})


def test_check_tells_what_the_sources_say(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside what the start would find, sorted by place."""
    (app / "domains/orders/abc.py").write_text("raise OSError('no')\n")
    out = said(capsys, "check", app, code=1)
    assert out.splitlines()[0].startswith("domains/orders/abc.py:1: RF102 ")
    assert f"{FILE}:9: RF509 time.sleep blocks the event loop" in out
    assert out.endswith("2 findings\n")


def test_warnings_alone_fail_only_where_that_is_asked_for(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are told all the same."""
    (app / FILE).write_text(IDLE)
    assert "RF517 warning: Idle offers nothing" in said(capsys, "check", app, code=0)
    assert said(capsys, "check", app, "--strict", code=1).endswith("1 finding, a warning\n")


def test_a_file_that_does_not_parse_is_told_of_once(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the start, as ever."""
    (app / FILE).write_text("def (:\n")
    assert said(capsys, "check", app, code=1).endswith("1 finding\n")


def test_sarif_is_for_code_scanners(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Version 2.1.0: rules, results, places from where the command runs, levels, fingerprints."""
    (app / "domains/orders/idle.py").write_text(IDLE)
    log = json.loads(said(capsys, "check", app, "--sarif", code=1))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    first, second = run["results"]
    assert [r["id"] for r in rules] == ["RF509", "RF517"]
    assert (first["level"], second["level"]) == ("warning", "error")
    place = second["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "my%20shop/domains/orders/place.py"
    assert place["region"] == {"startLine": 9}
    assert all(rules[r["ruleIndex"]]["id"] == r["ruleId"] for r in run["results"])
    prints = {r["partialFingerprints"]["ringfence/v1"] for r in run["results"]}
    (app / FILE).write_text("# moved\n\n" + FEATURE)
    again = json.loads(said(capsys, "check", app, "--sarif", code=1))["runs"][0]["results"]
    assert {r["partialFingerprints"]["ringfence/v1"] for r in again} == prints


def test_annotations_are_for_github(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, what would end a property escaped."""
    assert said(capsys, "check", app, "--github", code=1).startswith(
        f"::error file=my shop/{FILE},line=9,title=RF509::time.sleep blocks the event loop: "
        "nothing else runs%0AFix: ask for a Clock"
    )


@pytest.mark.parametrize("form", ["--sarif", "--github", "--json"])
def test_a_terminal_obeys_nothing_of_a_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """Names of files are text from outside."""
    root = write(tmp_path, {f"domains/orders/_{EVIL}.py": "eval('1')\n"})
    out = said(capsys, "check", root, form, code=1)
    assert (obeys(out), "RF516" in out) == ([], True)


def test_a_baseline_holds_the_line(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it knows is left out wherever it moves to; one more of it is a finding."""
    known = app.parent / "known.json"
    assert "no such baseline" not in said(capsys, "check", app, "--baseline", known, code=2)
    command = ("check", app, "--baseline", known)
    assert said(capsys, *command, "--update-baseline", code=0) == "no findings\n"
    (app / FILE).write_text("# moved\n\n" + FEATURE)
    assert said(capsys, *command, code=0) == "no findings\n"
    (app / FILE).write_text(FEATURE + "        time.sleep(2)\n")
    assert said(capsys, *command, code=1).endswith("1 finding\n")
    (app / FILE).write_text(FEATURE.replace("time.sleep(1)", "print(time)"))
    assert invoke([str(one) for one in command]) == 0
    assert "1 of those known are mended" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"findings": [1]}', "\0"])
def test_a_baseline_that_is_none_is_told(
    app: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    """Exit code 2, as of any wrong configuration."""
    known = app.parent / "known.json"
    known.write_text(content)
    assert invoke(["check", str(app), "--baseline", str(known)]) == 2
    assert "it is no baseline" in capsys.readouterr().err


def test_a_baseline_that_cannot_be_written_is_told(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the reason."""
    where = app / "nowhere" / "known.json"
    assert invoke(["check", str(app), "--baseline", str(where), "--update-baseline"]) == 2
    assert "it cannot be written: No such file or directory" in capsys.readouterr().err


def test_a_baseline_knows_nothing_of_what_refuses_the_start(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An application that does not start is not adopted."""
    (app / FILE).write_text("def (:\n")
    known = app.parent / "known.json"
    out = said(capsys, "check", app, "--baseline", known, "--update-baseline", code=1)
    assert "RF102" in out
    assert json.loads(known.read_text()) == {"findings": []}


def test_fix_mends_what_is_certain_and_shows_the_rest(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A waiver that excuses nothing is gone; what blocks still does."""
    waiver = "import time  # ringfence: allow RF501 — it was needed once"
    (app / FILE).write_text(FEATURE.replace("import time", waiver))
    assert "RF591" in said(capsys, "check", app, code=1)
    assert said(capsys, "check", app, "--fix", code=1).endswith("1 finding\n")
    assert (app / FILE).read_text() == FEATURE


@pytest.mark.parametrize(
    "options", [["--json", "--sarif"], ["--github", "--json"], ["--update-baseline"]]
)
def test_options_that_contradict_each_other_are_wrong_usage(app: Path, options: list[str]) -> None:
    """Exit code 2."""
    assert invoke(["check", str(app), *options]) == 2


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_explain_shows_a_rule_with_its_examples(
    capsys: pytest.CaptureFixture[str], rule: object
) -> None:
    """Whatever case it is asked for in."""
    name = getattr(rule, "id")
    out = said(capsys, "explain", name.lower(), code=0)
    assert titles()[name] in out
    assert "Not so:" in out
    assert "But so:" in out
    known = json.loads(said(capsys, "explain", name, "--json", code=0))
    assert (known["id"], bool(known["bad"]), bool(known["good"])) == (name, True, True)


def test_explain_knows_what_the_start_finds(capsys: pytest.CaptureFixture[str]) -> None:
    """Without examples, and what follows from it."""
    assert "two providers" in said(capsys, "explain", "RF106", code=0)
    assert "refuses the start" in said(capsys, "explain", "config-unreadable", code=0)


def test_explain_lists_all_rules(capsys: pytest.CaptureFixture[str]) -> None:
    """A line each."""
    assert len(said(capsys, "explain", code=0).splitlines()) == len(titles())
    listed = json.loads(said(capsys, "explain", "--json", code=0))["rules"]
    assert [one["id"] for one in listed] == list(titles())


def test_explain_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """A rule that is not there is a failed operation."""
    assert invoke(["explain", "RF5O1"]) == 1
    assert "did you mean 'RF5" in capsys.readouterr().err

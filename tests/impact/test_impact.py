"""`ringfence impact`: what a change concerns, and which tests can fail by it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringfence.cli import invoke
from tests.impact.repository import (
    APP,
    CLOCK,
    EVERY,
    GREET,
    HELPER,
    PLACE,
    PRICING,
    STOCK,
    UNSURE,
    asked,
    commit,
    committed,
    git,
    names,
)
from tests.kernel.apps import write


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the one repository of these tests; each leaves it as it was."""
    return committed(tmp_path_factory.mktemp("impact") / "app")


@pytest.fixture
def app(repository: Path) -> Iterator[Path]:
    yield repository
    git(repository, "reset", "-q", "--hard")
    git(repository, "clean", "-qfd")


def changed(app: Path, file: str) -> None:
    """Change a file, so that it says the same."""
    (app / file).write_text((app / file).read_text("utf-8") + "\n# changed\n", "utf-8")


def plugins(said: dict[str, Any], which: str) -> list[str]:
    return [one["plugin"] for one in said[which]]


def test_nothing_is_concerned_where_nothing_is_different(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No feature, no test, and a 0."""
    code, said = asked(app, capsys)
    assert (code, said["tests"], said["features"], said["of"]) == (0, [], [], len(EVERY))


ORDERS = {"test_order", "TestGroup"}
CHANGES = [
    (STOCK, ["stock.level"], ["orders.place"], {"test_level"} | ORDERS),
    (HELPER, ["stock.level"], ["orders.place"], {"test_level"} | ORDERS),
    (PLACE, ["orders.place"], [], ORDERS),
    (PRICING, ["orders.place"], [], {"test_price"} | ORDERS),
    (GREET, ["greetings.greet"], [], {"test_greet", "test_page", "test_clock"}),
    (CLOCK, ["reports.count"], [], {"test_clock"}),
]


@pytest.mark.parametrize("file, features, callers, tests", CHANGES)
def test_a_change_spreads_to_those_who_import_and_those_who_call(
    app: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    features: list[str],
    callers: list[str],
    tests: set[str],
) -> None:
    """Tests are selected by what they import, call, ask over HTTP, or let the clock do; and those
    whose text does not say it."""
    changed(app, file)
    code, said = asked(app, capsys)
    assert (code, plugins(said, "features"), plugins(said, "callers")) == (0, features, callers)
    assert names(said) == tests | UNSURE
    assert said["unsure"] == len(UNSURE)


@pytest.mark.parametrize("file", ["ringfence.toml", "tests/conftest.py", "requirements.txt"])
def test_what_all_tests_depend_on_selects_all_of_them(
    app: Path, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    """Configuration, what is installed, and the fixtures that they share."""
    with (app / file).open("a") as there:
        there.write("# changed\n")
    assert names(asked(app, capsys)[1]) == EVERY


def test_text_for_people_selects_nothing(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A README runs nowhere."""
    (app / "README.md").write_text("# An application\n")
    assert asked(app, capsys)[1]["tests"] == []


def test_a_migration_selects_whatever_starts_the_application(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is applied by each start."""
    write(app, {"domains/stock/migrations/20260101000000_a.sql": "CREATE TABLE a (b INTEGER);\n"})
    said = asked(app, capsys)[1]
    assert said["migrations"] == ["domains/stock/migrations/20260101000000_a.sql"]
    assert EVERY - names(said) == {"test_price", "test_nothing"}


def test_a_feature_that_does_not_load_selects_whatever_starts_the_application(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its contract cannot be read, so that nobody is told that all is well."""
    (app / GREET).write_text("class Greet(\n")
    code, said = asked(app, capsys)
    assert (code, plugins(said, "features")) == (1, ["greetings.greet"])
    assert EVERY - names(said) == {"test_level", "test_price", "test_nothing"}


def test_a_feature_that_is_gone_concerns_those_who_called_it(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tree of the revision counts as well: it says who called."""
    (app / STOCK).unlink()
    code, said = asked(app, capsys)
    assert (code, plugins(said, "callers")) == (1, ["orders.place"])
    assert [(one["name"], one["weight"]) for one in said["contracts"]] == [
        ("stock.level", "breaking")
    ]
    assert {"test_level"} | ORDERS <= names(said)


def test_a_contract_that_breaks_ends_with_1(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Compared with the revision, whether or not there are locks."""
    text = (app / STOCK).read_text("utf-8")
    (app / STOCK).write_text(text.replace("-> int", "-> str"), "utf-8")
    code, said = asked(app, capsys)
    assert (code, said["contracts"][0]["affected"][0]["plugin"]) == (1, "orders.place")


def test_any_revision_can_be_asked_about(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A commit, a branch, and what is not committed yet with it."""
    git(app, "checkout", "-qb", "side")
    changed(app, GREET)
    commit(app, "greet")
    changed(app, CLOCK)
    assert plugins(asked(app, capsys)[1], "features") == ["reports.count"]
    since_main = asked(app, capsys, "main")[1]
    assert plugins(since_main, "features") == ["greetings.greet", "reports.count"]
    git(app, "checkout", "-qf", "main")


def test_tests_alone_are_what_pytest_takes(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line each, and nothing else."""
    changed(app, PRICING)
    capsys.readouterr()
    assert invoke(["impact", "--tests-only", "--app", str(app)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "tests/test_all.py::test_price" in lines
    assert {line.partition("::")[0] for line in lines} == {"tests/test_all.py"}


@pytest.mark.parametrize("rev", ["no-such-thing", "--output=x", "", "HEAD~99"])
def test_a_revision_that_is_none_is_refused(
    app: Path, capsys: pytest.CaptureFixture[str], rev: str
) -> None:
    """What git would take for an option is none either."""
    assert invoke(["impact", "--app", str(app), "--", rev]) == 1
    assert "there is no such revision" in capsys.readouterr().err
    assert not (app / "x").exists()


def test_a_revision_without_the_application_or_with_a_link_out_of_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is unpacked to another place."""
    committed(tmp_path, {"README.md": "nothing yet"})
    write(tmp_path, {GREET: APP[GREET]})
    assert invoke(["impact", "--app", str(tmp_path)]) == 1
    assert "there was no application yet" in capsys.readouterr().err
    (tmp_path / "lib").symlink_to("/etc")
    commit(tmp_path, "an application")
    assert invoke(["impact", "--app", str(tmp_path)]) == 1
    assert "it cannot be unpacked" in capsys.readouterr().err


def test_an_application_that_git_does_not_know_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What git says is passed on."""
    write(tmp_path, {GREET: APP[GREET]})
    assert invoke(["impact", "--app", str(tmp_path)]) == 1
    assert "not a git repository" in capsys.readouterr().err


def test_without_git_it_says_what_is_missing(
    app: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image without git, say."""
    monkeypatch.setenv("PATH", "")
    assert invoke(["impact", "--app", str(app)]) == 1
    assert "git is not installed; expected it on the PATH." in capsys.readouterr().err

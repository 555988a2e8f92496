"""A feature that is written: it fits the application, whatever it is asked to be."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ringfence import scaffold
from ringfence.app import check
from ringfence.scaffold import NotWritten, Unfit, Wanted
from tests.scaffold.zoo import PROVIDERS

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
EVERYTHING = ("zoo.show", "zoo.admit", "zoo.feed", "zoo.list", "zoo.start")
SIMPLE = ("greetings.greet", "zoo.feed", "zoo.start")
# service, route, every, calls, table: each value of one meets each value of any other somewhere.
COMBINATIONS = [
    (False, "", "", (), False),
    (True, "", "5min", SIMPLE, True),
    (False, "", "5min", ("greetings.greet", "zoo.list", "zoo.start"), False),
    (False, "", "5min", (), True),
    (True, "", "", EVERYTHING, True),
    (False, "GET /a", "", (), False),
    (True, "GET /b/{name}", "5min", (), True),
    (False, "GET /c/{animal_id}", "", SIMPLE, False),
    (True, "GET /d", "", ("zoo.show",), True),
    (False, "POST /e", "", (), True),
    (True, "POST /f/{name}", "5min", SIMPLE, False),
    (True, "POST /g", "", EVERYTHING, False),
    (False, "PUT /h/{animal_id}", "5min", EVERYTHING, True),
    (True, "PATCH /i/{id}", "", (), False),
    (True, "DELETE /j/{note_id}", "5min", (), True),
    (False, "DELETE /k", "", ("zoo.list",), True),
]


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """An application with a domain of providers, and an empty one."""
    root = tmp_path / "park"
    scaffold.plan_application(root).write()
    (root / "domains/zoo").mkdir()
    for name, text in PROVIDERS.items():
        (root / name).write_text(text.lstrip(), encoding="utf-8")
    scaffold.plan_domain(root, "care").write()
    return root


@pytest.fixture
def write(app: Path) -> Callable[..., list[str]]:
    def run(name: str, **wanted: object) -> list[str]:
        asked = Wanted(name=name, **wanted)  # type: ignore[arg-type]
        paths = scaffold.plan_feature(app, asked, NOW).write()
        return [path.relative_to(app).as_posix() for path in paths]

    return run


def text_of(app: Path) -> dict[str, str]:
    """Return every file of an application but what reading it leaves."""
    return {
        path.relative_to(app).as_posix(): path.read_text("utf-8")
        for path in app.rglob("*")
        if path.is_file() and ".ringfence" not in path.parts
    }


@pytest.mark.timeout(120)
def test_whatever_is_asked_for_passes_all_that_ci_runs(
    app: Path, write: Callable[..., list[str]]
) -> None:
    """`check`, ruff, mypy strict, and the tests that come with each feature, tool and domain."""
    for n, (service, route, every, calls, table) in enumerate(COMBINATIONS):
        written = write(
            f"care/tend_{n}",
            service=service,
            route=route,
            every=every,
            calls=calls,
            table=f"notes_{n}" if table else "",
        )
        assert len(written) == (3 if table else 2)
    scaffold.plan_tool(app, "vault").write()
    assert check(app) == []
    for command in (
        "ruff check",
        "ruff format --check",
        "mypy",
        "pytest -q -x -n0 -pno:schemathesis",
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command.split()], cwd=app, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "plugin",
        "struct",
        "true",
        "import_orders",
        "start",
        "list",
        "id",
        "database",
        "match",
        "path",
    ],
)
def test_a_name_that_python_or_the_file_has_a_use_for_is_fine(
    app: Path, write: Callable[..., list[str]], name: str
) -> None:
    """Class and method are called something else then; nothing is found in it."""
    write(
        f"care/{name}", service=True, every="5m", calls=("zoo.list", "zoo.start"), table=f"{name}s"
    )
    assert check(app) == []


@pytest.mark.parametrize(
    "asked, said",
    [
        ({"name": "place"}, "'place': it names no domain; expected DOMAIN/NAME"),
        ({"name": "care/class"}, "'class': it cannot be a feature"),
        ({"name": "care/PlaceOrder"}, "Try place_order."),
        ({"name": "care/place-order"}, "Try place_order."),
        ({"name": "care/2nd"}, "expected lower_case_words"),
        ({"name": "care/../../etc"}, "it cannot be a feature"),
        ({"name": "care/\x1b[2J"}, r"'\x1b[2J': it cannot be a feature"),
        ({"name": "care/tests"}, "got a reserved one"),
        ({"name": "care/" + "a" * 41}, "at most 40 characters"),
        ({"name": "cares/tend"}, "there is no such domain; expected one of: care, greetings, zoo"),
        ({"name": "cares/tend"}, "Did you mean care? Or make it: ringfence new domain cares"),
        ({"route": "FETCH /a"}, "expected a method, one of GET, POST, PUT, PATCH, DELETE"),
        ({"route": "POST"}, "and a path"),
        ({"route": "GET a"}, "does not begin with '/'"),
        ({"route": "GET /{class}"}, "{class} cannot be a parameter"),
        ({"route": "GET /a b"}, "cannot stand in a path"),
        ({"every": "soon"}, "'soon' is no span of time"),
        ({"every": "0.1s"}, "too short"),
        ({"table": "order"}, "'order': it cannot be a table's name"),
        ({"table": "a; DROP"}, "it cannot be a table"),
        ({"calls": ("zoo.shwo",)}, "no feature provides it"),
        ({"calls": ("zoo.shwo",)}, "Did you mean zoo.show?"),
        ({"route": "GET /a", "calls": ("zoo.admit",)}, "GET has no body for keeper: Keeper"),
        ({"every": "5m", "calls": ("zoo.admit",)}, "a timer has nothing to give"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_written(
    app: Path, write: Callable[..., list[str]], asked: dict[str, object], said: str
) -> None:
    """With what was expected, and the next step."""
    before = text_of(app)
    with pytest.raises(Unfit) as refused:
        write(**{"name": "care/tend", **asked})
    assert said in str(refused.value)
    assert text_of(app) == before


@pytest.mark.parametrize(
    "asked, said",
    [
        ({"name": "zoo/show"}, "it is there already"),
        ({"name": "care/tend", "route": "GET /greetings/{who}"}, "RF302"),
        ({"name": "care/tend", "route": "GET /health/live"}, "RF308"),
    ],
)
def test_what_is_in_the_way_of_another_is_taken_back(
    app: Path, write: Callable[..., list[str]], asked: dict[str, object], said: str
) -> None:
    """All of it, the folder of its tests too."""
    before, folders = text_of(app), set(app.rglob("*/"))
    with pytest.raises(NotWritten, match="Nothing was written") as refused:
        write(**{"table": "notes", **asked})
    assert said in str(refused.value)
    assert text_of(app) == before
    assert {one for one in set(app.rglob("*/")) - folders if ".ringfence" not in one.parts} == set()


def test_a_table_that_another_domain_has_is_refused(
    app: Path, write: Callable[..., list[str]]
) -> None:
    """A table has one owner; a second migration in one second gets the next one."""
    written = write("care/tend", table="notes")
    assert "domains/care/migrations/20260301123000_notes.sql" in written
    assert "domains/care/migrations/20260301123001_more.sql" in write("care/feed", table="more")
    with pytest.raises(NotWritten, match="RF202"):
        write("zoo/clean", table="notes")


def test_a_table_that_the_domain_has_is_not_made_twice(
    app: Path, write: Callable[..., list[str]]
) -> None:
    """The second migration would keep the application from starting; told is where the first is."""
    write("care/tend", table="notes")
    before = text_of(app)
    with pytest.raises(Unfit, match=r"care has that table .*/20260301123000_notes\.sql:1"):
        write("care/feed", table="notes")
    assert text_of(app) == before


def test_half_a_feature_is_never_left(
    app: Path, write: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk refuses the second file, the first one goes too."""
    before = text_of(app)
    (app / "tests/care").write_text("a file where the folder would be")
    with pytest.raises(NotWritten, match="nothing was left behind"):
        write("care/tend")
    (app / "tests/care").unlink()
    assert text_of(app) == before


def test_a_link_out_of_the_application_is_not_followed(
    app: Path, write: Callable[..., list[str]], tmp_path: Path
) -> None:
    """Nothing is written elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    (app / "tests/care").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotWritten, match="leads out of the application"):
        write("care/tend")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_is_wrong_elsewhere_keeps_nobody_from_writing(
    app: Path, write: Callable[..., list[str]]
) -> None:
    """Only what is new is of concern; a provider in quarantine is told as such."""
    (app / "domains/zoo/show.py").write_text('@service("zoo.show")\nasync def show(')
    (app / "domains/zoo/feed.py").write_text(
        (app / "domains/zoo/feed.py").read_text() + "\n1 / 0\n"
    )
    write("care/tend")
    with pytest.raises(Unfit, match="its provider is quarantined"):
        write("care/feed", calls=("zoo.feed",))

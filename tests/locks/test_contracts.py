"""`ringfence contracts`: what changed since the locks were written, and whom it concerns."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from ringfence.cli import invoke
from tests.kernel.apps import feature, place, write

LEVEL = "domains/stock/level.py"
PLACE = "domains/orders/place.py"
CALL = "domains/orders/ask.py"
LOCK = "domains/stock/contracts/level.service.json"

PROVIDER = """
    class Level(Struct):
        available: int
        note: str | None = None

    class LevelOf(Plugin):
        @service("stock.level")
        async def level(self, sku: Annotated[str, Meta(max_length=9)]) -> Level: ...
"""
CONSUMER = """
    class Level(Struct):
        available: int

    @requires("stock.level")
    class LevelOf(Protocol):
        async def __call__(self, *, sku: str) -> Level: ...

    class Place(Plugin):
        level: LevelOf

        @service("orders.place")
        async def place(self) -> int: ...
"""
BY_NAME = """
    class Ask(Plugin):
        @service("orders.ask", calls=("stock.level",))
        async def ask(self, ctx: Context) -> None: ...
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """Return an application that is locked as it is."""
    files = {LEVEL: feature(PROVIDER), PLACE: feature(CONSUMER), CALL: feature(BY_NAME)}
    write(tmp_path, files)
    assert invoke(["contracts", "update", "--app", str(tmp_path)]) == 0
    return tmp_path


def change(app: Path, old: str, new: str) -> None:
    """Change the provider."""
    text = (app / LEVEL).read_text("utf-8")
    assert old in text
    (app / LEVEL).write_text(text.replace(old, new), "utf-8")


def checked(
    app: Path, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, dict[str, dict[str, object]]]:
    """Return the exit code of `contracts check`, and its changes by name."""
    capsys.readouterr()
    code = invoke(["contracts", "check", "--json", "--app", str(app), *options])
    changes = json.loads(capsys.readouterr().out)["changes"]
    return code, {each["name"]: each for each in changes}


def test_what_is_locked_is_as_agreed_on(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A lock for each service, in its own domain; nothing is changed, and nothing is written."""
    assert checked(app, capsys, "--exact") == (0, {})
    locks = sorted(path.relative_to(app).as_posix() for path in app.rglob("*.json"))
    names = ("orders/contracts/ask", "orders/contracts/place", "stock/contracts/level")
    assert locks == [f"domains/{name}.service.json" for name in names]
    before = (app / LOCK).read_bytes()
    assert invoke(["contracts", "update", "--app", str(app)]) == 0
    assert "0 locks written" in capsys.readouterr().out
    assert (app / LOCK).read_bytes() == before


def test_names_of_classes_and_the_order_of_fields_are_no_part_of_a_contract(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What consumers cannot see may change."""
    before = (app / LOCK).read_bytes()
    change(app, "-> Level:", "-> Renamed:")
    change(app, "class Level(Struct):", "class Renamed(Struct, kw_only=True):")
    fields = "    available: int\n    note: str | None = None\n"
    change(app, fields, "    note: None | str = None\n    available: int\n")
    assert checked(app, capsys, "--exact") == (0, {})
    assert invoke(["contracts", "update", "--app", str(app)]) == 0
    assert (app / LOCK).read_bytes() == before


COMPATIBLE = [
    ("available: int", "shade: str\n    available: int", "result.shade: new, str"),
    ("max_length=9", "max_length=10", "sku: str (max_length 10), was str (max_length 9)"),
    ("self, sku", "self, *, hall: int = 1, sku", "hall: new, int"),
    ("Annotated[str, Meta(max_length=9)]", "str | int", "sku: int or str, was str (max_length 9)"),
]


@pytest.mark.parametrize("old, new, said", COMPATIBLE)
def test_what_asks_for_less_or_answers_more_is_compatible(
    app: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    """It exits with 0, and with 1 for whoever wants every change to be agreed on."""
    change(app, old, new)
    code, changes = checked(app, capsys)
    assert (code, [*changes]) == (0, ["stock.level"])
    assert changes["stock.level"]["weight"] == "compatible"
    assert said in changes["stock.level"]["what"]  # type: ignore[operator]
    assert checked(app, capsys, "--exact")[0] == 1


BREAKING = [
    ("    available: int\n", "    level: int\n", "result.available: it is gone"),
    ("note: str | None = None", "also: int = 0", "result.note: it is gone"),
    ("available: int", "available: float", "result.available: it answers float where it"),
    ("note: str", "note: int", "result.note: it answers int where it answered none or str"),
    ("self, sku", "self, hall: int, sku", "hall: it is new, and required"),
    ("self, sku", "self, skv", "sku: it is not taken any more"),
    ("max_length=9", "max_length=8", "sku: it takes str (max_length 8) where it took str (max"),
    ("-> Level:", "-> Level | None:", "result: it answers none where it answered object"),
]


@pytest.mark.parametrize("old, new, said", BREAKING)
def test_what_asks_for_more_or_answers_less_is_breaking(
    app: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    """It exits with 1 and names the path, whether or not this application has such a consumer."""
    change(app, old, new)
    code, changes = checked(app, capsys)
    assert (code, changes["stock.level"]["weight"]) == (1, "breaking")
    assert said in "\n".join(changes["stock.level"]["what"])  # type: ignore[arg-type]


def test_every_consumer_is_named_with_why_it_does_not_fit(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those with a view, by what does not fit; those that call it by name, as such."""
    change(app, "    available: int\n", "    level: int\n")
    _, changes = checked(app, capsys)
    by_name, by_view = cast("list[dict[str, Any]]", changes["stock.level"]["affected"])
    view = place(app, PLACE, "class LevelOf")
    assert (by_view["plugin"], by_view["file"], by_view["line"]) == ("orders.place", *view)
    assert "result.available: the provider's Level has no such field" in by_view["misfits"][0]
    assert (by_name["plugin"], by_name["by_name"]) == ("orders.ask", True)


def test_a_service_that_is_gone_breaks_all_who_ask_for_it(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its lock stays until somebody agrees; a new name is a new contract."""
    change(app, '"stock.level"', '"stock.level_of"')
    code, changes = checked(app, capsys)
    weights = {name: each["weight"] for name, each in changes.items()}
    assert (code, weights) == (1, {"stock.level": "breaking", "stock.level_of": "new"})
    assert invoke(["contracts", "update", "--app", str(app)]) == 0
    assert not (app / LOCK).exists()
    assert checked(app, capsys, "--exact") == (0, {})


def test_what_cannot_be_read_is_neither_changed_nor_gone(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A provider with a fault in its file keeps its lock, and nobody is told that all is well."""
    change(app, "class LevelOf", "raise RuntimeError\n\nclass LevelOf")
    code, changes = checked(app, capsys)
    assert (code, changes["stock.level"]["weight"]) == (1, "unread")
    assert invoke(["contracts", "update", "--app", str(app)]) == 1
    assert (app / LOCK).exists()


@pytest.mark.parametrize(
    "content",
    ["<<<<<<< HEAD\n", "", '{"format": 9}', "[]", '{"format": 1, "kind": "service"}'],
)
def test_a_damaged_lock_is_named_and_written_anew(
    app: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    """What a merge or a hand has made of it agrees to nothing."""
    (app / LOCK).write_text(content)
    code, changes = checked(app, capsys)
    assert (code, changes["stock.level"]["weight"]) == (1, "damaged")
    assert invoke(["contracts", "update", "--app", str(app)]) == 0
    assert checked(app, capsys, "--exact") == (0, {})


def test_a_lock_of_another_contract_is_no_lock_of_this_one(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copied file is refused by the name in it."""
    other = app / "domains/orders/contracts/place.service.json"
    (app / LOCK).write_bytes(other.read_bytes())
    assert checked(app, capsys)[1]["stock.level"]["weight"] == "damaged"


def test_nothing_is_written_through_a_link_that_leads_out(
    app: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder of the locks is in the application, or it is refused."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (app / LOCK).unlink()
    (app / LOCK).parent.rmdir()
    (app / LOCK).parent.symlink_to(elsewhere)
    assert invoke(["contracts", "update", "--app", str(app)]) == 1
    assert "a link leads out of the application" in capsys.readouterr().err
    assert list(elsewhere.iterdir()) == []


def test_people_read_who_breaks_and_what_to_do(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same for people: the service, the path, the consumer, the next step."""
    change(app, "    available: int\n", "    level: int\n")
    capsys.readouterr()
    assert invoke(["contracts", "check", "--app", str(app)]) == 1
    shown = capsys.readouterr().out
    assert "stock.level breaking" in shown
    assert "    result.available: it is gone" in shown
    assert "    breaks orders.place (domains/orders/place.py:" in shown
    assert "1 of 3 contracts may break somebody" in shown
    assert "ringfence contracts update" in shown

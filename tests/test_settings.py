"""Whatever types a `Settings` class has, its section is read as declared, or refused by key."""

import types
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct

from ringfence.config import Seconds, Secret, Settings, load, section
from ringfence.errors import Finding, StartRefused

CANARY = "canary-4b7e-of-the-fuzzer"


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Shelf(Struct, frozen=True):
    folder: Path = Path("shelf")
    depth: Annotated[int, Meta(ge=1)] = 1


class Card(Struct, tag="card", frozen=True):
    number: str


class Cash(Struct, tag="cash", frozen=True):
    drawer: int


class Wide(Settings, section="wide"):
    colour: Colour = Colour.RED
    size: Size = Size.SMALL
    when: datetime | None = None
    day: date | None = None
    at: time | None = None
    span: timedelta | None = None
    price: Decimal = Decimal("1.5")
    number: UUID | None = None
    url: Annotated[str, Meta(pattern="^https?://")] = "https://example.org"
    either: int | str = 0
    folders: tuple[Path, ...] = (Path("one"), Path("/two"))
    by_name: dict[str, Path] = msgspec.field(default_factory=lambda: {"a": Path("a")})
    shelf: Shelf = Shelf()
    shelves: list[Shelf] = msgspec.field(default_factory=list)
    few: Annotated[tuple[Shelf, ...], Meta(max_length=1)] = ()
    named: Mapping[str, Shelf] = {}
    numbers: set[int] = msgspec.field(default_factory=set)
    floors: dict[int, str] = msgspec.field(default_factory=dict)
    payment: Card | Cash | None = None
    card: Card | None = None


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RINGFENCE_ENV", raising=False)
    return tmp_path


def read(app: Path, text: str, **overrides: object) -> Wide:
    (app / "ringfence.toml").write_text(f"[settings.wide]\n{text}")
    return section(load(app, overrides={"settings": {"wide": overrides}}), Wide)


def refused(app: Path, text: str) -> list[Finding]:
    with pytest.raises(StartRefused) as caught:
        read(app, text)
    return list(caught.value.findings)


GOOD = """\
colour = "blue"
size = 2
when = 2030-01-01T12:00:00Z
day = 2030-01-02
at = 10:30:00
span = "PT1H"
price = "2.50"
number = "12345678-1234-5678-1234-567812345678"
url = "http://example.org"
either = "x"
folders = ["three", "/four"]
shelf = {depth = 2}
shelves = [{folder = "five"}, {depth = 3}]
few = [{}]
named = {a = {depth = 4}}
numbers = [1, 1, 2]
floors = {1 = "ground"}
payment = {type = "cash", drawer = 1}
card = {type = "card", number = "1"}
"""


def test_the_types_of_the_standard_library_are_read(app: Path) -> None:
    """As TOML has them, or as text where it does not."""
    got = read(app, GOOD)
    assert (got.colour, got.size, got.either) == (Colour.BLUE, Size.LARGE, "x")
    assert (got.when, got.day) == (datetime(2030, 1, 1, 12, tzinfo=UTC), date(2030, 1, 2))
    assert (got.at, got.span) == (time(10, 30), timedelta(hours=1))
    assert (got.price, str(got.number)[:8]) == (Decimal("2.50"), "12345678")
    assert (got.payment, got.card) == (Cash(1), Card("1"))
    assert (got.numbers, got.floors) == ({1, 2}, {1: "ground"})


def test_a_relative_path_is_in_the_applications_folder(
    app: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Written, default, in a collection, in a Struct or handed in; whatever the working folder."""
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    got = read(app, GOOD, by_name={"b": Path("b")})
    assert got.folders == (app / "three", Path("/four"))
    assert got.by_name == {"b": app / "b"}
    assert got.shelf == Shelf(app / "shelf", 2)
    assert got.shelves == [Shelf(app / "five", 1), Shelf(app / "shelf", 3)]
    assert (got.few, got.named["a"].folder) == ((Shelf(app / "shelf"),), app / "shelf")
    default = read(app, "")
    assert default.folders == (app / "one", Path("/two"))
    assert default.by_name == {"a": app / "a"}
    assert default.shelf.folder == app / "shelf"


@pytest.mark.parametrize(
    "line, told",
    [
        ('colour = "bleu"', 'settings.wide.colour: wrong value; expected "red" or "blue", got'),
        ("size = 3", "expected 1 or 2, got 3"),
        ('when = "soon"', "expected datetime, got 'soon'"),
        ("day = 5", "expected date, got 5"),
        ('price = "x"', "expected Decimal, got 'x'"),
        ('url = "ftp://x"', "expected str matching regex '^https?://', got 'ftp://x'"),
        ("folders = [5]", "settings.wide.folders[0]: wrong value; expected str, got 5"),
        ("shelf = {dept = 2}", "settings.wide.shelf.dept: unknown key"),
        ("few = [{}, {depth = 0}]", "settings.wide.few[1].depth: wrong value; expected int >= 1"),
        ("few = [{}, {}]", "expected array of length <= 1"),
        ("named = {a = 1}", "settings.wide.named.a: wrong value; expected"),
        ('floors = {a = "x"}', "settings.wide.floors: wrong value; expected int"),
        ('payment = {type = "gold"}', "settings.wide.payment: wrong value at type"),
        ('card = {type = "card"}', "settings.wide.card: wrong value"),
    ],
)
def test_a_wrong_value_is_told_by_key_at_its_line(app: Path, line: str, told: str) -> None:
    """What is expected, in the words of whoever writes the file."""
    (found,) = refused(app, f"\n{line}\n")
    assert (found.file, found.line) == ("ringfence.toml", 3)
    assert told in found.message


def test_of_an_enum_the_nearest_choice_is_proposed(app: Path) -> None:
    """As of a Literal."""
    (found,) = refused(app, 'colour = "bleu"')
    assert found.fix == 'did you mean "blue"?'


# ---- secrets from files


class Vault(Settings, section="vault"):
    key: Secret
    count: int = 0


def vault(app: Path, text: str) -> Vault:
    (app / "ringfence.toml").write_text(f"[settings.vault]\n{text}\n")
    return section(load(app), Vault)


@pytest.mark.parametrize("content", ["in a file", "in a file\n", "in a file\r\n"])
def test_a_secret_may_be_in_a_file(app: Path, content: str) -> None:
    """As containers and service managers hand them over; without the line break at its end."""
    (app / "secrets").mkdir()
    (app / "secrets" / "key").write_bytes(content.encode())
    assert vault(app, 'key = "${file:secrets/key}"').key == Secret("in a file")
    assert vault(app, f'key = "<${{file:{app}/secrets/key}}>"').key == Secret("<in a file>")


def test_a_number_may_be_in_a_file(app: Path) -> None:
    """Text is all that a file has, as it is with a variable."""
    (app / "count").write_text("7\n")
    assert vault(app, 'key = "k"\ncount = "${file:count}"').count == 7


@pytest.mark.parametrize(
    "name, told",
    [
        ("nowhere", "nowhere cannot be read; expected a file, got: No such file"),
        (".", ". cannot be read; expected a file, got: Is a directory"),
        ("binary", "binary is no text; expected UTF-8"),
        ("long", "long is too long; expected at most 1 MiB"),
        ("a\\u0000b", "cannot be read"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused_by_key(app: Path, name: str, told: str) -> None:
    """Before anything starts; what the file holds is not shown."""
    (app / "binary").write_bytes(CANARY.encode() + b"\xff")
    (app / "long").write_text(CANARY * 60_000)
    with pytest.raises(StartRefused) as caught:
        vault(app, f'key = "${{file:{name}}}"')
    (found,) = caught.value.findings
    assert (found.rule, found.line) == ("config-missing-file", 2)
    assert found.message.startswith("settings.vault.key: ")
    assert told in found.message
    assert CANARY not in str(caught.value)


# ---- overlays


@pytest.mark.parametrize("others, refuses", [((), False), (("prod", "test"), True)])
def test_an_environment_that_has_no_overlay_is_a_typing_error_where_others_have(
    app: Path, others: Sequence[str], refuses: bool
) -> None:
    """Without a word the wrong settings would run; an application without overlays needs none."""
    for name in others:
        (app / f"ringfence.{name}.toml").write_text("")
    if not refuses:
        assert load(app, env="prdo").env == "prdo"
        return
    with pytest.raises(StartRefused) as caught:
        load(app, env="prdo")
    (found,) = caught.value.findings
    assert "RINGFENCE_ENV: no ringfence.prdo.toml; expected one of prod, test" in found.message
    assert found.fix == "did you mean `prod`?"


# ---- the author's own code


class Window(Settings, section="window"):
    low: int = 0
    api_key: Secret = Secret("")
    failing: str = ""

    def __post_init__(self) -> None:
        if self.failing == "index":
            raise IndexError("no such thing")
        if self.failing == "mute":
            raise Mute
        if self.failing == "quote":
            raise ValueError(f"bad key {self.api_key.reveal()[2:9]}")
        if self.low < 0:
            raise ValueError("low is below zero")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("do not ask")


@pytest.mark.parametrize(
    "text, told",
    [
        ("low = -1", "settings.window: Window refuses it: low is below zero"),
        ('failing = "index"', "Window fails on it, expected no error but ValueError: IndexError"),
        ('failing = "mute"', "Mute: it does not say why"),
        ('failing = "quote"', "refuses it: the reason may hold a secret and is not shown"),
    ],
)
def test_what_a_class_says_of_its_values_is_told(
    app: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    """Also beside a secret, unless a part of one is in it."""
    monkeypatch.setenv("SHOP_KEY", CANARY)
    (app / "ringfence.toml").write_text(f'[settings.window]\napi_key = "${{SHOP_KEY}}"\n{text}\n')
    with pytest.raises(StartRefused) as caught:
        section(load(app), Window)
    assert told in str(caught.value)
    assert CANARY[2:9] not in str(caught.value)


class Broken(Struct, frozen=True):
    """A record that fails in a way that msgspec does not take for a refusal."""

    def __post_init__(self) -> None:
        raise LookupError("no such thing")


class Holding(Settings, section="holding"):
    pair: tuple[Broken, int] | None = None


def test_what_fails_deep_inside_a_value_is_told(app: Path) -> None:
    """Also where msgspec alone makes it."""
    (app / "ringfence.toml").write_text("[settings.holding]\npair = [{}, 1]\n")
    with pytest.raises(StartRefused, match=r"holding\.pair: its type .*: no such thing"):
        section(load(app), Holding)


# ---- any class, any document


class Careless(Struct, frozen=True):
    """A record that quotes what it refuses."""

    value: str = ""
    folder: Path = Path("x")

    def __post_init__(self) -> None:
        if len(self.value) % 2:
            raise ValueError(f"odd: {self.value}")
        if self.value == "12":
            raise LookupError(f"unknown: {self.value}")


class Sly(Enum):
    """An enum whose lookup fails in a way of its own."""

    ONE = "one"

    @classmethod
    def _missing_(cls, value: object) -> "Sly":
        raise LookupError(f"none is {value}")


_LEAVES: list[Any] = [
    *(str, int, float, bool, bytes, datetime, date, time, timedelta, Decimal, UUID, Path, object),
    *(Secret, Seconds, Colour, Size, Sly, Shelf, Careless, Card, Card | Cash, Literal["a", 1]),
    *(Annotated[int, Meta(ge=3)], Annotated[str, Meta(max_length=2)], int | str, Any),
    *(types.SimpleNamespace, complex, type, tuple[int, str], dict, list, set[str], str | Path),
]
_ANNOTATIONS: Any = st.recursive(
    st.sampled_from(_LEAVES),
    lambda inner: st.one_of(
        inner.map(lambda one: list[one]),  # type: ignore[valid-type]
        inner.map(lambda one: dict[str, one]),  # type: ignore[valid-type]
        inner.map(lambda one: tuple[one, ...]),  # type: ignore[valid-type]
        inner.map(lambda one: one | None if one is not None else one),
    ),
    max_leaves=3,
)
_SECRET_TEXTS = ["${SHOP_CANARY}", "x-${SHOP_CANARY}", "https://u:${SHOP_CANARY}@h/"]
_OTHER_TEXTS = ["${file:none}", "${NONE}", "${", "a", "12", "true", "2030-01-01", "red", "30s", ""]
_TEXTS = st.sampled_from([*_SECRET_TEXTS, "${file:canary}", *_OTHER_TEXTS, "one", "\x7f"])
_VALUES = st.recursive(
    _TEXTS | st.integers(-3, 70_000) | st.booleans() | st.floats(-1e9, 1e9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["value", "folder", "type", "number", "depth", "a", "1"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
_NAMES = st.sampled_from(["a", "value", "password", "folder", "api_key", "other"])


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    declared=st.dictionaries(_NAMES, _ANNOTATIONS, min_size=1, max_size=4),
    written=st.dictionaries(_NAMES, _VALUES, max_size=4),
    nested=st.booleans(),
)
def test_any_class_and_any_document_give_settings_or_a_refusal_by_key(
    app: Path, declared: dict[str, Any], written: dict[str, object], nested: bool
) -> None:
    """Nothing but StartRefused is raised, each finding has its place, none shows a secret."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOP_CANARY", CANARY)
        (app / "canary").write_text(CANARY)
        made = _made(declared, nested)
        document = {"inner": written} if nested else written
        (app / "ringfence.toml").write_text(f"[settings.made]\n{_toml_lines(document)}")
        found = _findings(app, made)
    told = "\n".join(map(str, found))
    assert CANARY[7:15] not in told
    for one in found:
        assert (one.file, one.line > 0) == ("ringfence.toml", True)
        assert one.message.startswith("settings.made")


def _findings(app: Path, made: type[Settings]) -> Sequence[Finding]:
    try:
        section(load(app), made)
    except StartRefused as refusal:
        return refusal.findings or [Finding("", 0, "", "refused for no reason")]
    return ()


def _made(declared: dict[str, Any], nested: bool) -> type[Settings]:
    annotations = declared
    if nested:
        try:
            annotations = {"inner": msgspec.defstruct("Inner", list(declared.items()))}
        except TypeError:
            annotations = declared
    body = {"__annotations__": annotations, "__module__": __name__}
    return types.new_class("Made", (Settings,), {"section": "made"}, lambda ns: ns.update(body))


def _toml_lines(document: Mapping[str, object]) -> str:
    return "".join(f"{key} = {_toml(value)}\n" for key, value in document.items())


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")

"""`ringfence routes` and `services`: what an application declares, without a start."""

import json
from pathlib import Path

import pytest

from ringfence.cli import invoke
from tests.kernel.apps import feature, place, write

TILL = "domains/till/till.py"
STOCK = "domains/stock/level.py"
BROKEN = "domains/stock/broken.py"
FILES = {
    TILL: feature(
        """
        from typing import Literal, Optional

        from ringfence.tools.http import get, post

        @requires("stock.level")
        class LevelOf(Protocol):
            async def __call__(self, *, sku: str) -> int: ...

        class Sale(Struct):
            sku: Annotated[str, Meta(max_length=9)]

        class Till(Plugin):
            level: LevelOf

            @post("/sales", status=201)
            @service("till.sell")
            async def sell(self, sale: Sale) -> list[Sale]:
                raise RuntimeError("nothing is started")

            @get("/sales/{sku}")
            async def show(self, sku: str) -> Sale | None:
                return None
        """
    ),
    STOCK: feature(
        """
        from typing import Literal, Optional

        class Level(Plugin):
            def start(self) -> None:
                raise RuntimeError("nothing is started")

            @service("stock.level")
            async def level(
                self,
                sku: str,
                kind: Literal["a", "b"] = "a",
                after: Optional[dict[str, tuple[int, ...]]] = None,
            ) -> int:
                return 1
        """
    ),
}
# What does not load is known by its text alone.
LOST = feature(
    """
    from ringfence.tools.http import get

    import no_such_module

    class Lost(Plugin):
        @get("/lost")
        @service("stock.lost")
        async def lost(self) -> None:
            pass
    """
)


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(write(tmp_path, FILES))
    return tmp_path


def test_routes_say_where_they_lead(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Method, path, plugin, service, file and line."""
    assert invoke(["routes"]) == 0
    _, line = place(app, TILL, "async def sell")
    out, err = capsys.readouterr()
    first, second = out.splitlines()
    assert first.split()[:-1] == ["POST", "/sales", "till.till", "till.sell"]
    assert first.split()[-1] == f"{TILL}:{line}"
    assert second.split()[:3] == ["GET", "/sales/{sku}", "till.till"]
    assert err == ""


def test_services_say_how_and_by_whom_they_are_used(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The signature as one reads it in code."""
    assert invoke(["services"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    after = "dict[str, tuple[int, ...]] | None = None"
    assert lines[0] == (
        f"stock.level(sku: str, kind: Literal['a', 'b'] = 'a', after: {after}) -> int"
    )
    assert lines[1].startswith(f"  stock.level  {STOCK}:")
    assert lines[2] == "  required by till.till"
    assert lines[3] == "till.sell(sale: Sale) -> list[Sale]"


@pytest.mark.parametrize(
    "verb, wanted, found",
    [
        ("routes", "post", ["/sales"]),
        ("routes", "POST /sales", ["/sales"]),
        ("routes", "till.sell", ["/sales"]),
        ("routes", "{sku}", ["/sales/{sku}"]),
        ("services", "STOCK", ["stock.level"]),
    ],
)
def test_a_text_narrows_the_list(
    app: Path, capsys: pytest.CaptureFixture[str], verb: str, wanted: str, found: list[str]
) -> None:
    """Any part of any of its names, whatever its case."""
    assert invoke([verb, wanted, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)[verb]
    assert [one["path" if verb == "routes" else "name"] for one in listed] == found


@pytest.mark.parametrize(
    "verb, wanted, meant", [("routes", "/sale/", "/sales"), ("services", "stok.level", "stock.")]
)
def test_a_typo_is_told_what_was_meant(
    app: Path, capsys: pytest.CaptureFixture[str], verb: str, wanted: str, meant: str
) -> None:
    """It is a failed operation."""
    assert invoke([verb, wanted]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"did you mean '{meant}" in err


def test_what_does_not_load_is_listed_with_its_reason(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its names are known from its text; that something is wrong is told beside the list."""
    write(app, {BROKEN: LOST})
    assert invoke(["routes", "lost"]) == 0
    out, err = capsys.readouterr()
    assert out.split()[:3] == ["GET", "/lost", "stock.broken"]
    assert "quarantined: " in out
    assert "no_such_module" in out
    assert "ringfence check" in err
    assert invoke(["services", "lost"]) == 0
    assert capsys.readouterr().out.startswith("stock.lost\n  stock.broken  ")


@pytest.mark.parametrize("verb", ["routes", "services"])
def test_nothing_to_list_is_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    """An application without a feature is no fault."""
    (tmp_path / "domains").mkdir()
    assert invoke([verb, "--app", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"no {verb.removesuffix('s')} is declared\n"

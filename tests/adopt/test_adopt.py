"""`ringfence adopt`: a package is read, told what it would be, and held to what it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from ringfence.cli import invoke
from tests.kernel.apps import write

FILES = {
    "old/__init__.py": "",
    "old/money.py": "def cents(x): return x",
    "old/orders/__init__.py": "",
    "old/orders/views.py": """
        from old.money import cents
        from ..stock import models
        @app.post("/orders")
        def place(): ...
        @shared_task
        def settle(): ...
    """,
    "old/orders/queries.py": "SQL = 'create table if not exists orders (id integer)'",
    "old/stock/__init__.py": "",
    "old/stock/models.py": """
        import old.money
        raise SystemExit("it is not run")
        class Stock(Base):
            __tablename__ = "stock"
    """,
    "old/broken.py": "def (",
    "old/tests/test_it.py": "import old.orders",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write(tmp_path, FILES) / "old"


def told(package: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, Any]:
    """Return the exit code of `ringfence adopt`, and what it says."""
    capsys.readouterr()
    code = invoke(["adopt", str(package), "--json", *options])
    return code, json.loads(capsys.readouterr().out)


def test_each_module_is_told_what_it_would_be(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Features by what lets work in, helpers, what is shared; with tables, and what is broken."""
    code, said = told(package, capsys)
    moves = {each["file"]: each for each in said["survey"]["moves"]}
    assert code == 0
    assert moves["old/orders/views.py"]["to"] == "domains/orders/views.py"
    assert moves["old/orders/views.py"]["ways_in"] == ["post /orders:4", "shared_task settle:6"]
    assert moves["old/orders/queries.py"]["to"] == "domains/orders/_queries.py"
    assert moves["old/orders/queries.py"]["tables"] == ["orders"]
    assert moves["old/stock/models.py"]["tables"] == ["stock"]
    assert (moves["old/money.py"]["kind"], moves["old/money.py"]["to"]) == ("lib", "lib/money.py")
    assert moves["old/broken.py"]["kind"] == "unread"
    assert "old/tests/test_it.py" not in moves
    crossings = [(c["source"], c["target"], c["line"]) for c in said["survey"]["crossings"]]
    assert crossings == [("orders", "stock", 2)]


def test_a_baseline_holds_the_line(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is known passes, though its line moves; what is new does not; what goes is told."""
    kept = ("--baseline", str(package.parent / "adopt.json"))
    assert told(package, capsys, *kept, "--write")[0] == 0
    views = package / "orders/views.py"
    views.write_text("# a line\n" + views.read_text())
    assert told(package, capsys, *kept) == (0, {**told(package, capsys)[1], "new": [], "gone": []})
    queries = package / "stock/queries.py"
    queries.write_text("def late():\n    from old.orders import queries\n")
    code, said = told(package, capsys, *kept)
    assert (code, [(c["file"], c["line"]) for c in said["new"]]) == (
        1,
        [("old/stock/queries.py", 2)],
    )
    queries.unlink()
    views.write_text("")
    assert told(package, capsys, *kept)[1]["gone"] == [
        "old/orders/views.py imports old.stock.models"
    ]


def test_people_read_what_goes_where(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a module to a file of an application."""
    assert invoke(["adopt", str(package)]) == 0
    shown = capsys.readouterr().out
    assert "old/orders/views.py → domains/orders/views.py  feature" in shown
    assert "orders → stock  old.stock.models" in shown


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["nowhere"], 1, "there are no modules"),
        (["old", "--write"], 2, "expected --baseline FILE"),
        (["old", "--baseline", "old/money.py"], 1, "it cannot be read"),
        (["."], 1, "Use `ringfence check`"),
    ],
)
def test_what_is_no_package_or_no_baseline_is_refused(
    package: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    """Each with what was expected."""
    monkeypatch.chdir(package.parent)
    assert invoke(["adopt", *arguments]) == code
    assert said in capsys.readouterr().err

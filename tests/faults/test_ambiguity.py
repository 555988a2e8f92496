"""What is ambiguous or missing refuses the start: every finding at once, with both owners."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from ringfence.errors import BootError, Finding
from tests.kernel.apps import feature, found, place, running, write

from .bystander import BYSTANDER, ask

pytestmark = pytest.mark.anyio


def provider(service: str, result: str = "int") -> str:
    return feature(
        f"""
        class Provider(Plugin):
            @service("{service}")
            async def provide(self, sku: str) -> {result}:
                raise NotFound("nothing")
        """
    )


def consumer(service: str, needs: str, optional: str = "") -> str:
    return feature(
        f"""
        @requires("{needs}")
        class Needed(Protocol):
            async def __call__(self, *, sku: str) -> int: ...


        class Consumer(Plugin):
            needed: Needed{optional}

            @service("{service}")
            async def use(self, sku: str) -> int:
                return 1
        """
    )


def route(path: str) -> str:
    return feature(
        f"""
        from ringfence.tools.http import get


        class Route(Plugin):
            @get("{path}")
            async def show(self, sku: str) -> str:
                return sku
        """
    )


async def refused(root: Path, files: Mapping[str, str]) -> list[Finding]:
    """Boot must refuse, and `check` must find the same; a bystander alone must still serve."""
    listed = found(root, {**BYSTANDER, **files})
    with pytest.raises(BootError) as error:
        async with running(root, {}):
            pass
    assert list(error.value.findings) == listed
    assert all(str(finding) in str(error.value) for finding in listed)
    for name in files:
        (root / name).unlink()
    async with running(root, {}) as app:
        await ask(app)
    return listed


async def test_two_providers_of_a_service(tmp_path: Path) -> None:
    """The finding stands at the second and names the first."""
    files = {
        "domains/stock/first.py": provider("stock.level"),
        "domains/stock/second.py": provider("stock.level"),
    }
    write(tmp_path, files)
    places = [place(tmp_path, name, "async def provide") for name in files]
    (finding,) = await refused(tmp_path, files)
    assert (finding.file, finding.line) == places[1]
    assert "service stock.level has two providers: stock.first" in finding.message
    assert f"{places[0][0]}:{places[0][1]}" in finding.message
    assert "stock.second" in finding.message


async def test_two_owners_of_a_route(tmp_path: Path) -> None:
    """A path of the same shape is the same route, whatever its parameters are called."""
    files = {
        "domains/orders/show.py": route("/things/{sku}"),
        "domains/stock/show.py": route("/things/{sku}"),
    }
    (finding,) = await refused(tmp_path, files)
    assert finding.file == "domains/stock/show.py"
    for owner in ("GET /things/{sku} of stock.show", "GET /things/{sku} of orders.show"):
        assert owner in finding.message
    assert "domains/orders/show.py:" in finding.message


async def test_two_owners_of_a_table(tmp_path: Path) -> None:
    """Both migrations are named, with their lines."""
    table = "CREATE TABLE items (id INTEGER PRIMARY KEY);\n"
    files = {
        "domains/orders/migrations/20260101000000_items.sql": table,
        "domains/stock/migrations/20260102000000_items.sql": f"-- ours\n{table}",
    }
    (finding,) = await refused(tmp_path, files)
    assert (finding.file, finding.line) == (
        "domains/stock/migrations/20260102000000_items.sql",
        2,
    )
    assert "the table items is created by two domains: orders" in finding.message
    assert "domains/orders/migrations/20260101000000_items.sql:1" in finding.message


async def test_services_that_require_each_other(tmp_path: Path) -> None:
    """The whole circle is shown, once, by plugin and service."""
    files = {
        "domains/a/one.py": consumer("a.one", "b.two"),
        "domains/b/two.py": consumer("b.two", "c.three"),
        "domains/c/three.py": consumer("c.three", "a.one"),
    }
    (finding,) = await refused(tmp_path, files)
    assert "required services form a circle" in finding.message
    shown = finding.message.partition("circle: ")[2]
    assert shown == "a.one → b.two (b.two) → c.three (c.three) → a.one (a.one)"
    assert finding.file == "domains/a/one.py"


async def test_a_service_that_requires_itself(tmp_path: Path) -> None:
    """The smallest circle."""
    files = {"domains/a/one.py": consumer("a.one", "a.one")}
    (finding,) = await refused(tmp_path, files)
    assert "circle: a.one → a.one (a.one)" in finding.message


async def test_two_circles_are_both_shown(tmp_path: Path) -> None:
    """Mending one must not be how the other is found."""
    files = {
        "domains/a/one.py": consumer("a.one", "b.two"),
        "domains/b/two.py": consumer("b.two", "a.one"),
        "domains/c/three.py": consumer("c.three", "d.four"),
        "domains/d/four.py": consumer("d.four", "c.three"),
    }
    listed = await refused(tmp_path, files)
    assert [finding.file for finding in listed] == ["domains/a/one.py", "domains/c/three.py"]


async def test_a_service_that_nobody_provides(tmp_path: Path) -> None:
    """The finding stands at the requirement and says what was probably meant."""
    files = {
        "domains/stock/level.py": provider("stock.level"),
        "domains/orders/use.py": consumer("orders.use", "stock.levle"),
    }
    write(tmp_path, files)
    where = place(tmp_path, "domains/orders/use.py", "class Needed")
    (finding,) = await refused(tmp_path, files)
    assert (finding.file, finding.line) == where
    assert "orders.use requires stock.levle, which no plugin provides" in finding.message
    assert "did you mean 'stock.level'?" in finding.message


async def test_an_optional_service_that_nobody_provides(tmp_path: Path) -> None:
    """`| None` says that the plugin can do without."""
    files = {"domains/orders/use.py": consumer("orders.use", "stock.level", " | None")}
    async with running(tmp_path, {**files, **BYSTANDER}) as app:
        await ask(app)
        assert app.findings == []
        assert await app.call("orders.use", sku="tea") == 1


async def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    """One start is enough to see all of it, sorted by place, with what could be contained too."""
    table = "CREATE TABLE items (id INTEGER);\n"
    files = {
        "domains/a/broken.py": "def (:\n",
        "domains/a/first.py": provider("a.level"),
        "domains/a/second.py": provider("a.level"),
        "domains/b/foreign.py": provider("a.foreign"),
        "domains/b/misfit.py": consumer("b.misfit", "c.text"),
        "domains/b/unmet.py": consumer("b.unmet", "d.nothing"),
        "domains/c/loop.py": consumer("c.loop", "c.back"),
        "domains/c/back.py": consumer("c.back", "c.loop"),
        "domains/c/text.py": provider("c.text", "list[str]"),
        "domains/c/migrations/20260101000000_items.sql": table,
        "domains/d/migrations/20260101000001_items.sql": table,
        "domains/d/show.py": route("/things/{sku}"),
        "domains/d/shown.py": route("/things/{sku}"),
    }
    listed = await refused(tmp_path, files)
    assert listed == sorted(listed)
    assert {finding.file for finding in listed} >= {
        "domains/a/broken.py",
        "domains/a/second.py",
        "domains/b/foreign.py",
        "domains/b/misfit.py",
        "domains/b/unmet.py",
        "domains/c/back.py",
        "domains/d/migrations/20260101000001_items.sql",
        "domains/d/shown.py",
    }

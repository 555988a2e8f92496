"""An application with tests in a git repository of its own, to change and to ask about."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ringfence.cli import invoke
from tests.kernel.apps import feature, write

STOCK = "domains/stock/level.py"
HELPER = "domains/stock/_halls.py"
PLACE = "domains/orders/place.py"
GREET = "domains/greetings/greet.py"
CLOCK = "domains/reports/count.py"
PRICING = "lib/pricing.py"

APP = {
    STOCK: feature("""
        from domains.stock._halls import HALL

        class LevelOf(Plugin):
            @service("stock.level")
            async def level(self, sku: str) -> int:
                return HALL
    """),
    HELPER: "HALL = 7",
    PLACE: feature("""
        from lib.pricing import price
        from ringfence.tools.http import post

        @requires("stock.level")
        class LevelOf(Protocol):
            async def __call__(self, *, sku: str) -> int: ...

        class Order(Struct):
            sku: str

        class Place(Plugin):
            level: LevelOf

            @post("/orders/{shop}")
            async def place(self, shop: str, order: Order) -> int:
                return price(await self.level(sku=order.sku))
    """),
    PRICING: "def price(count: int) -> int:\n    return count * 10\n",
    GREET: feature("""
        from ringfence.tools.http import get

        class Greet(Plugin):
            @get("/greetings")
            @service("greetings.greet")
            async def greet(self) -> str:
                return "hello"
    """),
    CLOCK: feature("""
        from ringfence.tools.clock import every

        class Count(Plugin):
            @every("1h")
            async def count(self) -> None: ...
    """),
    "tests/asked.py": """
        async def ordered(app, shop):
            return await app.http.post(f"/orders/{shop}", json={"sku": "a"})
    """,
    "tests/conftest.py": """
        from pathlib import Path
        import pytest
        from ringfence.testing import boot

        @pytest.fixture
        async def app():
            async with boot(Path(__file__).parents[1]) as app:
                yield app
    """,
    "tests/test_all.py": """
        import pytest
        from ringfence.testing import boot
        from domains.stock.level import LevelOf
        from lib.pricing import price
        from tests.asked import ordered

        async def test_level(): assert await LevelOf().level("a") == 7
        def test_price(): assert price(2) == 20
        def test_nothing(): assert 1 + 1 == 2
        async def test_order(app): assert (await ordered(app, "a")).status == 200
        async def test_greet(app): assert await app.call("greetings.greet") == "hello"
        async def test_page(app): assert (await app.http.get("/greetings?a=1")).status == 200
        async def test_clock(app):
            await app.clock.elapse(7200)
            assert (await app.http.get("/greetings")).status == 200
        async def test_manifest(app): assert app.manifest.plugins
        @pytest.mark.parametrize("path", ["/greetings"])
        async def test_any(app, path): assert (await app.http.get(path)).status == 200

        class TestGroup:
            async def test_order(self, app): assert (await ordered(app, "b")).status == 200
    """,
    ".gitignore": "__pycache__\n.ringfence\n",
}
UNSURE = {"test_any", "test_manifest"}
ALL = {"level", "price", "nothing", "order", "greet", "page", "clock"}
EVERY = {f"test_{name}" for name in ALL} | UNSURE | {"TestGroup"}


def git(root: Path, *arguments: str) -> str:
    """Run git in a folder; return what it says."""
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
    command = ["git", "-C", str(root), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def commit(root: Path, said: str) -> None:
    """Commit all that is there."""
    git(root, "add", "-A")
    git(root, "commit", "-qm", said)


def committed(root: Path, files: Mapping[str, str] = APP) -> Path:
    """Write an application and commit it; return its folder."""
    write(root, files)
    git(root, "init", "-q", "-b", "main")
    commit(root, "an application")
    return root


def asked(
    app: Path, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, dict[str, Any]]:
    """Return the exit code of `ringfence impact`, and what it says."""
    capsys.readouterr()
    code = invoke(["impact", "--json", "--app", str(app), *arguments])
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, said


def names(said: Mapping[str, Any]) -> set[str]:
    """Return the names of the tests that were selected."""
    return {test.partition("::")[2] for test in said["tests"]}

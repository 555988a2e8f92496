"""Starting: in which order, what is contained, what refuses the start, and what is left behind."""

import socket
import sys
import types
from collections.abc import Mapping
from pathlib import Path

import pytest

from ringfence.errors import BootError, StartRefused, ToolUnavailable
from ringfence.testing import TestApplication

from .apps import feature, found, running, write

pytestmark = pytest.mark.anyio


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The list on which features write, as `stage.said`."""
    stage = types.ModuleType("stage")
    written: list[str] = []
    stage.__dict__["said"] = written
    monkeypatch.setitem(sys.modules, "stage", stage)
    return written


def generations() -> set[str]:
    """Name the modules of applications; one that other tests share may run beside this one."""
    return {name for name in sys.modules if "@" in name.partition(".")[0]}


def telling(name: str, needs: str = "", body: str = "pass") -> str:
    """A feature that writes down how it lives; it may need another one's service."""
    need = f'@requires("{needs}")\nclass Need(Protocol):\n' if needs else ""
    need += "    async def __call__(self) -> int: ...\n" if needs else ""
    field = "    need: Need\n" if needs else ""
    return feature(
        f"import stage\n\n{need}\nstage.said.append('import {name}')\n\n"
        f"class Telling(Plugin):\n{field}"
        f"    async def start(self) -> None:\n        stage.said.append('start {name}')\n"
        f"        {body}\n"
        f"    def stop(self) -> None:\n        stage.said.append('stop {name}')\n"
        f"    @service('{name}')\n    async def call(self) -> int:\n        return 1\n"
    )


CHAIN: Mapping[str, str] = {
    "domains/a/one.py": telling("a.one", "b.two"),
    "domains/b/two.py": telling("b.two", "c.three"),
    "domains/c/three.py": telling("c.three"),
}


async def test_providers_start_before_their_consumers_and_stop_after_them(
    tmp_path: Path, said: list[str]
) -> None:
    """However their files are called."""
    async with running(tmp_path, CHAIN):
        assert said[3:] == ["start c.three", "start b.two", "start a.one"]
    assert said[6:] == ["stop a.one", "stop b.two", "stop c.three"]


async def test_a_start_may_call_what_it_requires(tmp_path: Path, said: list[str]) -> None:
    """Its providers serve by then, and its tools are there."""
    body = "stage.said.append(f'{await self.need()} for {current.get().operation}')"
    files = {**CHAIN, "domains/a/one.py": telling("a.one", "b.two", body)}
    files["domains/a/one.py"] = files["domains/a/one.py"].replace(
        "import stage\n", "import stage\nfrom ringfence.kernel.context import current\n"
    )
    async with running(tmp_path, files) as app:
        assert said[-1] == "1 for a.one.start"
        spans = {span.operation: span for span in app.spans}
        assert spans["b.two"].trace_id == spans["a.one.start"].trace_id


def test_check_imports_and_starts_nothing_else(tmp_path: Path, said: list[str]) -> None:
    """Nothing is constructed, started or written down."""
    assert found(tmp_path, CHAIN) == []
    assert said == ["import a.one", "import b.two", "import c.three"]
    assert not list(tmp_path.rglob("*.db"))


async def test_two_boots_of_one_application_do_not_share_modules(
    tmp_path: Path, said: list[str]
) -> None:
    """They live side by side, and neither's modules stay behind."""
    before = generations()
    async with running(tmp_path, CHAIN) as first, running(tmp_path, {}) as second:
        assert said.count("import a.one") == 2
        assert await first.call("a.one") == await second.call("a.one") == 1
    assert generations() == before


async def test_a_refused_start_stops_what_had_started(tmp_path: Path, said: list[str]) -> None:
    """In reverse, as a stop would."""
    before, body = generations(), "raise OSError('no shelf')"
    files = {**CHAIN, "domains/a/one.py": telling("a.one", "b.two", body)}
    with pytest.raises(BootError, match="OSError: no shelf"):
        async with running(tmp_path, files, strict=True):
            pass
    assert said[3:] == [
        *("start c.three", "start b.two", "start a.one"),
        *("stop a.one", "stop b.two", "stop c.three"),
    ]
    assert generations() == before


async def test_a_port_in_use_refuses_the_start_before_any_plugin_starts(
    tmp_path: Path, said: list[str]
) -> None:
    """One line, which port and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        tools = {"http": {"driver": "uvicorn", "port": port}}
        with pytest.raises(StartRefused, match=f"http: 127.0.0.1:{port} is in use"):
            async with running(tmp_path, CHAIN, overrides={"tools": tools}):
                pass
    assert "start c.three" not in said


ROWS = feature(
    """
    class Rows(Plugin):
        db: Database

        @service("rows.count")
        async def count(self) -> int:
            return await self.db.fetch_value("SELECT count(*) FROM rows", into=int)
    """
)
FIRST = "domains/rows/migrations/20260101000000_first.sql"
SECOND = "domains/rows/migrations/20260102000000_second.sql"


async def test_a_failing_migration_refuses_the_start_and_leaves_nothing_half_applied(
    tmp_path: Path,
) -> None:
    """What came before it stands; mended, the start goes on from there."""
    tools = {"db": {"path": str(tmp_path / "kept.db")}}
    broken = "CREATE TABLE more (id INTEGER);\nINSERT INTO rows VALUES (1);\nINSERT INTO nowhere"
    files = {
        "domains/rows/rows.py": ROWS,
        FIRST: "CREATE TABLE rows (id INTEGER);",
        SECOND: f"{broken} VALUES (1);",
    }
    for _ in range(2):
        with pytest.raises(StartRefused, match=rf"{SECOND}:3.*no such table: nowhere"):
            async with running(tmp_path, files, overrides={"tools": tools}):
                pass
    files[SECOND] = "CREATE TABLE more (id INTEGER);\nINSERT INTO rows VALUES (1);"
    async with running(tmp_path, files, overrides={"tools": tools}) as app:
        assert await app.call("rows.count") == 1


# ---- tools that do not start

TOOL = {
    "tools/gauge/__init__.py": """
        from ringfence.kernel.ports import ToolSpec
        from .contract import Gauge

        SPEC = ToolSpec("gauge", Gauge, __name__, "steam")
        """,
    "tools/gauge/contract.py": """
        from typing import Protocol

        from ringfence.kernel.ports import contract, operation


        @contract("gauge")
        class Gauge(Protocol):
            @operation()
            async def read(self) -> int: ...
        """,
    "tools/gauge/drivers/__init__.py": "",
    "domains/boiler/look.py": feature(
        """
        from tools.gauge.contract import Gauge


        class Look(Plugin):
            gauge: Gauge

            @service("boiler.look")
            async def look(self) -> int:
                return await self.gauge.read()

            @service("boiler.guess")
            def guess(self) -> int:
                return 7
        """
    ),
}


def steam(start: str) -> dict[str, str]:
    """The gauge's driver, whose `start` does this."""
    driver = f"""
        import asyncio

        from msgspec import Struct
        from ringfence import ToolUnavailable


        class Config(Struct, frozen=True):
            pass


        class Driver:
            Config = Config

            def __init__(self, config, env) -> None:
                self.env = env

            async def start(self) -> None:
                {start}

            async def stop(self) -> None:
                pass

            def handle(self, grant):
                return self

            async def read(self) -> int:
                return 3
        """
    return {**TOOL, "tools/gauge/drivers/steam.py": driver}


async def tool_is_dead(app: TestApplication, reason: str) -> None:
    with pytest.raises(ToolUnavailable, match="gauge: it did not start"):
        await app.call("boiler.look")
    assert await app.call("boiler.guess") == 7
    (gauge,) = [tool for tool in app.status.tools if tool.instance == "gauge"]
    assert gauge.state == "dead"
    assert reason in gauge.reason
    assert app.health.state == "degraded"
    assert any("gauge" in why for why in app.health.reasons)


async def test_an_applications_own_tool_serves(tmp_path: Path) -> None:
    """One that lives in its folder `tools/`."""
    async with running(tmp_path, steam("pass")) as app:
        assert await app.call("boiler.look") == 3


@pytest.mark.parametrize(
    "start, reason",
    [
        ("raise ToolUnavailable('no steam')", "no steam"),
        ("raise KeyError('valve')", "valve"),
        ("raise SystemExit(3)", "3"),
        ("await asyncio.Event().wait()", "has not ended within 0.2 s"),
    ],
)
async def test_a_tool_that_does_not_start_is_dead_and_the_rest_serves(
    tmp_path: Path, start: str, reason: str
) -> None:
    """Only what uses it is refused, with a code that says to come back."""
    async with running(tmp_path, steam(start), start_timeout=0.2) as app:
        await tool_is_dead(app, reason)


async def test_an_empty_application_starts(tmp_path: Path) -> None:
    """There is nothing wrong with having no features yet."""
    async with running(write(tmp_path, {}), {}) as app:
        assert app.health.state == "ready"
        assert (await app.http.get("/health/ready")).status == 200

"""A running application seen from outside: calls, status, health, traces, and its instances."""

import os
from pathlib import Path

import pytest

from ringfence.app import Application, boot, check, load
from ringfence.errors import BudgetExceeded, NoSuchService, NotFound, StartRefused
from ringfence.kernel.context import Principal
from tests.kernel.apps import feature, running, write

pytestmark = pytest.mark.anyio

PLACE = feature(
    """
    @requires("stock.level")
    class LevelOf(Protocol):
        async def __call__(self, *, sku: str) -> int: ...


    class Place(Plugin):
        level: LevelOf

        @service("orders.place")
        async def place(self, sku: str, ctx: Context) -> dict[str, str | int | None]:
            who = ctx.principal.id if ctx.principal else None
            return {"who": who, "tenant": ctx.tenant, "level": await self.level(sku=sku)}
    """
)
LEVEL = feature(
    """
    class Level(Plugin):
        db: Database
        archive: Database

        @service("stock.level")
        async def level(self, sku: str) -> int:
            if sku == "none":
                raise NotFound("no such thing")
            return await self.db.fetch_value("SELECT 3", into=int)

        @service("stock.files")
        async def files(self) -> list[str]:
            class Row(Struct):
                file: str

            found = [
                await each.fetch_one("SELECT file FROM marks", into=Row)
                for each in (self.db, self.archive)
            ]
            return [row.file for row in found if row]
    """
)
FILES = {
    "domains/orders/place.py": PLACE,
    "domains/stock/level.py": LEVEL,
    "domains/stock/migrations/20260101000000_a.sql": (
        "CREATE TABLE marks (file TEXT);\nINSERT INTO marks VALUES ('db');"
    ),
    "domains/stock/migrations/archive/20260101000000_a.sql": (
        "CREATE TABLE marks (file TEXT);\nINSERT INTO marks VALUES ('archive');"
    ),
    "ringfence.toml": '[app]\nname = "shop"\n\n[tools.archive]\ntool = "db"\n',
}


async def embedded(root: Path) -> Application:
    """Boot it as whoever embeds an application does."""
    tools = {"http": {"driver": "memory"}, "log": {"driver": "memory"}}
    tools |= {name: {"path": str(root / f"{name}.db")} for name in ("db", "archive")}
    return await boot(load(write(root, FILES), {"tools": tools}), state=root)


async def test_a_call_from_outside_carries_who_asks(tmp_path: Path) -> None:
    """The principal and its tenant are the caller's word, and nobody is the default."""
    app = await embedded(tmp_path)
    try:
        nobody = await app.call("orders.place", {"sku": "tea"})
        assert nobody == {"who": None, "tenant": None, "level": 3}
        anna = Principal("user:anna", tenant="blue")
        told = await app.call("orders.place", {"sku": "tea"}, anna)
        assert told == {"who": "user:anna", "tenant": "blue", "level": 3}
    finally:
        await app.stop()


async def test_an_unknown_service_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    """The error names what was asked for and what there is."""
    async with running(tmp_path, FILES) as app:
        with pytest.raises(NoSuchService, match=r"orders\.plac: .*did you mean 'orders\.place'\?"):
            await app.call("orders.plac", sku="tea")


async def test_a_fields_name_picks_among_several_instances_of_a_tool(tmp_path: Path) -> None:
    """`archive: Database` is the instance that is configured under that name."""
    async with running(tmp_path, FILES) as app:
        assert await app.call("stock.files") == ["db", "archive"]
        assert [tool.instance for tool in app.status.tools] == [
            *("clock", "log", "archive", "db", "http"),
        ]


async def test_status_lists_everything_with_its_state(tmp_path: Path) -> None:
    """For people and for programs, in a fixed order; the time is the clock's."""
    broken = {"domains/orders/broken.py": "def (:\n"}
    async with running(tmp_path, {**FILES, **broken}) as app:
        app.clock.advance(90)
        status = app.status
    assert (status.app, status.state, status.pid) == ("shop", "degraded", os.getpid())
    assert status.uptime_s == 90
    listed = [(p.id, p.state) for domain in status.domains for p in domain.plugins]
    assert listed == [
        ("orders.broken", "quarantined"),
        ("orders.place", "serving"),
        ("stock.level", "serving"),
    ]
    assert {tool.state for tool in status.tools} == {"healthy"}
    assert status.reasons == [
        "orders.broken: the file cannot be parsed: SyntaxError: invalid syntax"
    ]


LEFT_OUT = {
    "a file that is badly named": "domains/orders/a-b.py",
    "a folder that is badly named": "domains/Bad-Name/place.py",
    "a link that leads out": "domains/orders/out.py",
}


@pytest.mark.parametrize("file", LEFT_OUT.values(), ids=LEFT_OUT.keys())
async def test_what_is_left_out_degrades_an_application(tmp_path: Path, file: str) -> None:
    """No plugin is in quarantine, and yet something that was written does not serve."""
    outside = write(tmp_path / "elsewhere", {"place.py": PLACE}) / "place.py"
    root = write(tmp_path / "shop", FILES)
    (root / file).parent.mkdir(exist_ok=True)
    (root / file).symlink_to(outside) if "out" in file else (root / file).write_text(PLACE)
    async with running(root, {}) as app:
        status = app.status
    (finding,) = check(root)
    assert {p.state for domain in status.domains for p in domain.plugins} == {"serving"}
    assert (status.state, status.reasons) == ("degraded", [f"{finding.file}: {finding.message}"])


async def test_health_follows_an_applications_life(tmp_path: Path) -> None:
    """Ready, then stopping."""
    app = await embedded(tmp_path)
    assert (app.health.state, app.health.reasons) == ("ready", ())
    await app.stop()
    assert app.health.state == "stopping"


async def test_a_trace_is_found_by_any_of_its_ids_and_by_their_beginnings(tmp_path: Path) -> None:
    """All spans of it come, oldest first; what is ambiguous or unknown is told so."""
    app = await embedded(tmp_path)
    try:
        await app.call("orders.place", {"sku": "tea"})
        with pytest.raises(NotFound) as failed:
            await app.call("orders.place", {"sku": "none"})
        (root, below) = app.trace(failed.value.trace_id)
        assert [span.operation for span in (root, below)] == ["orders.place", "stock.level"]
        assert below.parent_span_id == root.span_id
        assert [span.failure and span.failure.kind for span in (root, below)] == ["NotFound"] * 2
        assert (root.origin, below.origin) == ("call orders.place", "")
        for wanted in (root.trace_id[:12], root.span_id, below.span_id):
            found = app.trace(wanted)
            assert [span.span_id for span in found] == [root.span_id, below.span_id]
        with pytest.raises(NotFound, match=r"2 traces begin so.* Give more of the id"):
            app.trace("")
        with pytest.raises(NotFound, match="deadbeef: no trace is kept that begins so"):
            app.trace("deadbeef")
    finally:
        await app.stop()


async def test_calls_from_outside_have_a_budget_of_their_own(tmp_path: Path) -> None:
    """`[budgets.call]` is laid over the default one."""
    budgets = {"budgets": {"call": {"queries": 0}}}
    async with running(tmp_path, FILES, overrides=budgets) as app:
        with pytest.raises(BudgetExceeded, match="queries: more than the budget of 0"):
            await app.call("stock.level", sku="tea")
        assert (await app.http.get("/health/ready")).status == 200


def test_what_is_no_application_is_refused_with_what_one_is(tmp_path: Path) -> None:
    """A folder without domains, a file, and nothing at all."""
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file", tmp_path / "nothing"):
        with pytest.raises(StartRefused, match=r"expected an application: a folder with domains/"):
            check(place)

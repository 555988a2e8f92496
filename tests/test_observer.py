"""What a running application says of itself: its state, its counts, and the traces in it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from ringfence.app import Application, boot, load
from ringfence.errors import RingfenceError
from ringfence.report import EndedTraces, Offered, PluginStatus
from ringfence.tools.clock.drivers.fake import Driver as FakeClock
from tests.kernel.apps import feature, write

pytestmark = pytest.mark.anyio

FILES = {
    "domains/till/till.py": feature(
        """
        from ringfence.tools.http import get

        @requires("stock.level")
        class LevelOf(Protocol):
            async def __call__(self, *, sku: str) -> int: ...

        class Till(Plugin):
            level: LevelOf

            @get("/till/{sku}")
            @service("till.sell")
            async def sell(self, sku: str) -> int:
                try:
                    return await self.level(sku=sku)
                except RingfenceError:
                    if sku == "bad":
                        raise
                    return 0

            @service("till.wait")
            async def wait(self, ctx: Context) -> None:
                await asyncio.Event().wait()
        """
    ),
    "domains/stock/level.py": feature(
        """
        class Level(Plugin):
            @service("stock.level")
            async def level(self, sku: str) -> int:
                if sku != "tea":
                    raise NotFound("none")
                return 1
        """
    ),
    "domains/stock/broken.py": "from ringfence import service\n\n@service('stock.lost'\n",
}


KEEPS = {
    "domains/books/keep.py": feature(
        """
        class Keep(Plugin):
            db: Database

            @service("books.count")
            async def count(self) -> int:
                return await self.db.fetch_value("SELECT 1", into=int)
        """
    )
}


@asynccontextmanager
async def started(
    root: Path, spans: int = 100, files: Mapping[str, str] = FILES
) -> AsyncIterator[Application]:
    """Boot it with a fake clock, and without a port."""
    overrides: Mapping[str, object] = {
        "kernel": {"spans": spans},
        "tools": {
            "clock": {"driver": "fake"},
            "http": {"driver": "memory"},
            "log": {"driver": "memory"},
        },
    }
    app = await boot(load(write(root / "shop", files), overrides), state=root)
    try:
        yield app
    finally:
        await app.stop()


async def sell(app: Application, *skus: str) -> None:
    for sku in skus:
        try:
            await app.call("till.sell", {"sku": sku})
        except RingfenceError:
            assert sku == "bad"


def plugin(app: Application, wanted: str) -> PluginStatus:
    plugins = (plugin for domain in app.status().domains for plugin in domain.plugins)
    return next(plugin for plugin in plugins if plugin.id == wanted)


async def test_status_says_what_each_plugin_offers_and_did(tmp_path: Path) -> None:
    """How it is reached, and how often it was, and failed, as far as is kept."""
    async with started(tmp_path) as app:
        assert app.status().counted_since is None
        await sell(app, "tea", "coffee", "bad")
        till, level = plugin(app, "till.till"), plugin(app, "stock.level")
        assert till.offers == [
            Offered("route", "GET /till/{sku}"),
            Offered("service", "till.sell"),
            Offered("service", "till.wait"),
        ]
        assert (till.calls, till.failures) == (3, 1)
        assert (level.calls, level.failures) == (3, 2)
        lost = plugin(app, "stock.broken")
        assert lost.state == "quarantined"
        assert lost.reason.startswith("domains/stock/broken.py:3: ")
        status = app.status()
        assert status.counted_since is not None
        assert status.started_at is not None
        assert (status.started_at <= status.counted_since, status.state) == (True, "degraded")


async def test_status_counts_what_is_in_flight(tmp_path: Path) -> None:
    """At its plugin, and as a whole."""
    async with started(tmp_path) as app:
        waiting = [asyncio.ensure_future(app.call("till.wait", {})) for _ in range(2)]
        await asyncio.sleep(0)
        assert (plugin(app, "till.till").in_flight, app.status().in_flight) == (2, 2)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert (plugin(app, "till.till").in_flight, app.status().in_flight) == (0, 0)


async def test_status_tells_of_a_database_whose_file_is_gone(tmp_path: Path) -> None:
    """Until it is back, as far as its tool knows; what is read is served on."""
    async with started(tmp_path, files=KEEPS) as app:
        clock = app.driver("clock")
        assert isinstance(clock, FakeClock)

        def state() -> tuple[str, str, str]:
            (db,) = [tool for tool in app.status().tools if tool.instance == "db"]
            return app.status().state, db.state, db.reason

        assert state() == ("ready", "healthy", "")
        file = tmp_path / "shop" / "data" / "shop.db"
        file.rename(file.with_suffix(".away"))
        await clock.elapse(2)
        whole, tool, reason = state()
        assert (whole, tool) == ("degraded", "degraded")
        assert "was deleted or moved away while it was in use" in reason
        assert any("moved away" in why for why in app.status().reasons)
        file.with_suffix(".away").rename(file)
        assert state() == ("ready", "healthy", "")


async def test_traces_are_the_newest_and_say_what_failed(tmp_path: Path) -> None:
    """The root's failure by its text; one that its caller did without by its count."""
    async with started(tmp_path) as app:
        await sell(app, "tea", "coffee", "bad")
        tea, coffee, bad = app.traces(10, False)
        assert (tea.origin, tea.plugin, tea.spans) == ("call till.sell", "till.till", 2)
        assert (tea.failures, tea.failure) == (0, None)
        assert (coffee.failures, coffee.failure) == (1, None)
        assert bad.failure is not None
        assert (bad.failures, bad.failure.kind) == (2, "NotFound")
        assert app.traces(1, False) == [bad]
        assert app.traces(10, True) == [coffee, bad]
        assert [span.trace_id for span in app.trace(bad.trace_id)] == [bad.trace_id] * 2


async def test_a_trace_may_be_given_its_id(tmp_path: Path) -> None:
    """So that it can be written down before it begins."""
    async with started(tmp_path) as app:
        await app.call("till.sell", {"sku": "tea"}, trace=0xAB)
        assert app.traces(1, False)[0].trace_id == f"{0xAB:032x}"


async def following(
    app: Application, stream: AsyncGenerator[EndedTraces, None], work: tuple[str, ...]
) -> EndedTraces:
    """Do some work while the stream is awaited, let the time pass, and return what it says."""
    clock = app.driver("clock")
    assert isinstance(clock, FakeClock)
    said = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await sell(app, *work)
    await clock.elapse(1)
    return await said


async def test_traces_can_be_followed(tmp_path: Path) -> None:
    """Each is told once, when it has ended; those before are not."""
    async with started(tmp_path) as app, aclosing(app.follow(False)) as stream:
        await sell(app, "tea")
        first = await following(app, stream, ("tea", "bad"))
        assert [one.failures for one in first.traces] == [0, 2]
        second = await following(app, stream, ("coffee",))
        assert [one.failures for one in second.traces] == [1]
        assert not first.missed
        assert not second.missed


async def test_only_failed_traces_can_be_followed(tmp_path: Path) -> None:
    """The others wake nobody."""
    async with started(tmp_path) as app, aclosing(app.follow(True)) as stream:
        told = await following(app, stream, ("tea", "tea", "bad"))
        assert [one.failures for one in told.traces] == [2]


async def test_who_follows_too_slowly_is_told(tmp_path: Path) -> None:
    """What is kept no more cannot be told; that there was something can."""
    async with started(tmp_path, spans=4) as app, aclosing(app.follow(False)) as stream:
        assert not (await following(app, stream, ("tea",))).missed
        told = await following(app, stream, ("tea",) * 5)
        assert (len(told.traces), told.missed) == (2, True)

"""The driver `threads` keeps the contract of the database."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from acme_tools.db.threads import Config, Driver
from ringfence.errors import StartRefused
from ringfence.kernel.ports import Grant
from ringfence.testing import environment
from ringfence.tools.clock.drivers import fake
from ringfence.tools.db import Database, HeldTooLong, QueryError
from ringfence.tools.db.conformance import SCHEMA, DatabaseConformance, Subject
from ringfence.tools.db.events_conformance import DeliveryStoreConformance, seal
from ringfence.tools.db.events_conformance import Start as StartProcess
from ringfence.tools.db.maintenance_conformance import MaintenanceConformance, Operated
from ringfence.tools.db.suite.events import Process
from ringfence.tools.db.suite.ownership import Handles, OwnershipConformance, Start
from ringfence.tools.db.timers_conformance import Stores, TimerStoreConformance

pytestmark = pytest.mark.anyio
NAME = "20260101000000_first.sql"
FIRST = f"domains/orders/migrations/{NAME}"
INSERT = "INSERT INTO item (id, amount) VALUES ($1, 1)"
COUNT = "SELECT count(*) FROM item"


def make(root: Path, schemas: Mapping[str, str]) -> Driver:
    """Return a driver for an application whose domains have one migration each."""
    for domain, schema in schemas.items():
        path = root / "domains" / domain / "migrations" / NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(schema)
    return Driver(Config(), environment("db", root))


@asynccontextmanager
async def running(root: Path, schemas: Mapping[str, str]) -> AsyncIterator[Driver]:
    """A driver that has been started."""
    driver = make(root, schemas)
    try:
        await driver.start()
        yield driver
    finally:
        await driver.stop()


def handle(driver: Driver, plugin: str = "orders.place_order") -> Database:
    """Return the handle of a plugin; the kernel's has no dot, and no domain."""
    domain = plugin.partition(".")[0] if "." in plugin else ""
    return driver.handle(Grant(plugin, domain, "db"))


class TestThreads(DatabaseConformance):
    """A thread for each statement that runs."""

    @pytest.fixture
    async def subject(self, tmp_path: Path) -> AsyncIterator[Subject]:
        async with running(tmp_path, {"orders": SCHEMA}) as driver:
            yield Subject(lambda plugin: handle(driver, plugin))


class TestOwnership(OwnershipConformance):
    """A statement is compiled where there are only its domain's tables."""

    @pytest.fixture
    def start(self, tmp_path: Path) -> Start:
        @asynccontextmanager
        async def started(schemas: Mapping[str, str]) -> AsyncIterator[Handles]:
            async with running(tmp_path, schemas) as driver:
                yield lambda plugin: handle(driver, plugin)

        return started


class TestTimers(TimerStoreConformance):
    """Two drivers on one file, as two processes have them."""

    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[Stores]:
        async with AsyncExitStack() as stack:
            one, other = [await stack.enter_async_context(running(tmp_path, {})) for _ in "ab"]
            yield Stores(one.timers(), other.timers())


class TestEvents(DeliveryStoreConformance):
    """Drivers on one file, as processes have them."""

    @pytest.fixture
    def process(self, tmp_path: Path) -> StartProcess:
        make(tmp_path, {"orders": SCHEMA})

        @asynccontextmanager
        async def started() -> AsyncIterator[Process]:
            driver = Driver(Config(), replace(environment("db", tmp_path), seal=seal))
            await driver.start()
            try:
                yield Process(driver.events(), handle(driver))
            finally:
                await driver.stop()

        return started


class TestMaintenance(MaintenanceConformance):
    """For an operator, with the driver running or not."""

    @pytest.fixture
    async def operated(self, tmp_path: Path) -> Operated:
        place = tmp_path / "domains/orders/migrations"
        place.mkdir(parents=True)

        def add(name: str, text: str) -> Path:
            (place / name).write_text(text)
            return place / name

        @asynccontextmanager
        async def run() -> AsyncIterator[Database]:
            async with running(tmp_path, {}) as driver:
                yield handle(driver)

        return Operated(add, lambda: make(tmp_path, {}).maintenance(), run, tmp_path)


async def test_a_migration_is_applied_once(tmp_path: Path) -> None:
    """What was stored is there at the next start."""
    for number in range(2):
        async with running(tmp_path, {"orders": SCHEMA}) as driver:
            assert await handle(driver).execute(INSERT, number) == 1
            assert await handle(driver).fetch_value(COUNT) == number + 1


@pytest.mark.parametrize("schema", [SCHEMA + "-- more", "CREATE TABLE x (;"])
async def test_a_changed_or_failing_migration_refuses_the_start(
    tmp_path: Path, schema: str
) -> None:
    """With its file; the database stays as it was."""
    async with running(tmp_path, {"orders": SCHEMA}):
        pass
    with pytest.raises(StartRefused) as refused:
        async with running(tmp_path, {"orders": schema}):
            pass
    assert [finding.file for finding in refused.value.findings] == [FIRST]


@pytest.mark.parametrize(
    "sql", ["SELECT sql FROM sqlite_schema", "SELECT * FROM pragma_table_list"]
)
async def test_the_schema_of_others_is_not_read(tmp_path: Path, sql: str) -> None:
    """SQLite's own tables are no domain's."""
    async with running(tmp_path, {"orders": SCHEMA}) as driver:
        with pytest.raises(QueryError, match=r"prohibited|not authorized"):
            await handle(driver).fetch_all(sql)


async def test_a_transaction_that_lasts_too_long_is_undone(tmp_path: Path) -> None:
    """By the application's clock; the next one goes ahead, and its holder is told."""
    make(tmp_path, {"orders": SCHEMA})
    clock = fake.Driver(fake.Config(), environment("clock", tmp_path))
    driver = Driver(Config(), environment("db", tmp_path, clock=clock))
    await driver.start()
    db = handle(driver)

    async def hold() -> None:
        async with db.transaction() as tx:
            await tx.execute(INSERT, 1)
            await clock.elapse(0.6)
            with pytest.raises(HeldTooLong, match="hold_s"):
                await tx.execute(INSERT, 2)

    with pytest.raises(HeldTooLong, match=r"test_db\.py"):
        await hold()
    async with db.transaction(hold_s=5) as tx:
        await tx.execute(INSERT, 3)
        await clock.elapse(4)
    assert await db.fetch_all("SELECT id FROM item") == [{"id": 3}]
    await driver.stop()

"""The driver `threads` keeps the contract of the database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from acme_tools.db.threads import Config, Driver
from ringfence.errors import StartRefused
from ringfence.kernel.ports import Grant
from ringfence.testing import environment
from ringfence.tools.db import Database
from ringfence.tools.db.conformance import SCHEMA, DatabaseConformance, Subject

pytestmark = pytest.mark.anyio
FIRST = "domains/orders/migrations/20260101000000_first.sql"


def make(root: Path, schema: str = SCHEMA) -> Driver:
    """Return a driver for an application whose one migration is `schema`."""
    path = root / FIRST
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(schema)
    return Driver(Config(), environment("db", root))


def handle(driver: Driver, plugin: str = "orders.place_order") -> Database:
    return driver.handle(Grant(plugin, plugin.partition(".")[0], "db"))


class TestThreads(DatabaseConformance):
    """A thread for each statement that runs."""

    @pytest.fixture
    async def subject(self, tmp_path: Path) -> AsyncIterator[Subject]:
        driver = make(tmp_path)
        await driver.start()
        yield Subject(lambda plugin: handle(driver, plugin))
        await driver.stop()


async def test_a_migration_is_applied_once(tmp_path: Path) -> None:
    """What was stored is there at the next start."""
    for number in range(2):
        driver = make(tmp_path)
        await driver.start()
        insert = "INSERT INTO item (id, amount) VALUES ($1, 1)"
        assert await handle(driver).execute(insert, number) == 1
        assert await handle(driver).fetch_value("SELECT count(*) FROM item") == number + 1
        await driver.stop()


@pytest.mark.parametrize("schema", [SCHEMA + "-- more", "CREATE TABLE x (;"])
async def test_a_changed_or_failing_migration_refuses_the_start(
    tmp_path: Path, schema: str
) -> None:
    """With its file; the database stays as it was."""
    driver = make(tmp_path)
    await driver.start()
    await driver.stop()
    changed = make(tmp_path, schema)
    with pytest.raises(StartRefused) as refused:
        await changed.start()
    await changed.stop()
    assert [finding.file for finding in refused.value.findings] == [FIRST]

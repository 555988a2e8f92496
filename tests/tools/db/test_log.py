"""The write-ahead log stays within its bound while somebody always reads."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ringfence.settings import Seconds
from ringfence.tools.db import Database
from ringfence.tools.db.drivers.sqlite import Config, Driver

from .support import handle, make, migrations, running

pytestmark = pytest.mark.anyio

SCHEMA = "CREATE TABLE note (id INTEGER PRIMARY KEY, body BLOB)"
# More rows than a stream takes at once: it keeps its snapshot until the last of them.
SEED = (
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
    "INSERT INTO note (id) SELECT i FROM n"
)
# Each overwrites the same pages, so that the log grows and the database does not.
GROW = "UPDATE note SET body = randomblob(8000000) WHERE id = 1"
READ = "SELECT id FROM note"
BOUND = 64 * 1024 * 1024
SLACK = 20 * 1024 * 1024  # what two COMMITs add: one is looked at, and one may have begun


@asynccontextmanager
async def seeded(root: Path, hold_s: float) -> AsyncIterator[Driver]:
    migrations(root, {"orders": SCHEMA})
    async with running(make(root, config=Config(hold=Seconds(hold_s)))) as driver:
        await handle(driver).execute(SEED)
        yield driver


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "data" / "shop.db-wal"


async def overlap(db: Database) -> None:
    """Read for ever, so that each stream ends only when the next has begun."""
    stream = db.stream(READ)
    await anext(stream)
    while True:
        following = db.stream(READ)
        await anext(following)
        await stream.aclose()
        stream = following


async def test_reads_that_overlap_do_not_keep_the_log(
    tmp_path: Path, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is emptied between two commits, though there is no moment without a reader; a stop that
    comes when it is about to be emptied again waits for nothing."""
    async with seeded(tmp_path, hold_s=5) as driver:
        db = handle(driver)
        reading = asyncio.create_task(overlap(db))
        sizes: list[int] = []
        while not (sizes and sizes[-1] > BOUND and min(sizes[9:], default=BOUND) < BOUND):
            await db.execute(GROW)
            sizes.append(log.stat().st_size)
            assert max(sizes) <= BOUND + SLACK
        reading.cancel()
    await asyncio.wait([reading])
    assert not caplog.records


async def test_a_stream_that_stays_open_is_named_once_for_each_growth(
    tmp_path: Path, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With its plugin and its age; writing goes on, and the log is shorter once it has ended."""
    caplog.set_level(logging.WARNING, "ringfence.db")
    async with seeded(tmp_path, hold_s=0.25) as driver:
        stream = handle(driver, "orders.export").stream(READ)
        await anext(stream)
        db = handle(driver)
        for _ in range(21):
            await db.execute(GROW)
        told = [record.getMessage() for record in caplog.records]
        assert len(told) == 2
        assert all("stream is of orders.export, `SELECT id FROM note`" in each for each in told)
        await stream.aclose()
        while log.stat().st_size > BOUND:
            await db.execute(GROW)

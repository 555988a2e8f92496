"""The driver `file` keeps the contract of the log."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import json

from acme_tools.log.file import Config, Driver
from ringfence.errors import StartRefused
from ringfence.kernel.ports import Grant
from ringfence.testing import environment
from ringfence.tools.log import Record
from ringfence.tools.log.conformance import LogConformance, Subject, redact

pytestmark = pytest.mark.anyio
GRANT = Grant("orders.place_order", "orders", "log")


def records(path: Path) -> list[Record]:
    return [json.decode(line, type=Record) for line in path.read_bytes().splitlines()]


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[Driver]:
    driver = Driver(Config(), environment("log", tmp_path, redact=redact))
    await driver.start()
    yield driver
    await driver.stop()


class TestFile(LogConformance):
    """A line of JSON for each record."""

    @pytest.fixture
    def subject(self, driver: Driver, tmp_path: Path) -> Subject:
        def written() -> list[Record]:
            assert driver.settle(5)
            return records(tmp_path / "log.jsonl")

        return Subject(driver.handle(GRANT), written)


async def test_the_file_may_be_moved_away(driver: Driver, tmp_path: Path) -> None:
    """What comes then is in a new one of the old name."""
    log = driver.handle(GRANT)
    log.info("before")
    assert driver.settle(5)
    (tmp_path / "log.jsonl").rename(tmp_path / "log.1.jsonl")
    log.info("after")
    assert driver.settle(5)
    assert [r.message for r in records(tmp_path / "log.1.jsonl")] == ["before"]
    assert [r.message for r in records(tmp_path / "log.jsonl")] == ["after"]


async def test_what_the_disk_refuses_is_counted(driver: Driver, tmp_path: Path) -> None:
    """The feature goes on; the next line that is written says how many are missing."""
    log = driver.handle(GRANT)
    (tmp_path / "log.jsonl").unlink()
    (tmp_path / "log.jsonl").mkdir()
    for _ in range(3):
        log.info("lost")
    assert driver.settle(5)
    (tmp_path / "log.jsonl").rmdir()
    log.info("kept")
    assert driver.settle(5)
    kept, told = records(tmp_path / "log.jsonl")
    assert (kept.message, told.fields) == ("kept", {"count": 3})


async def test_a_path_that_cannot_be_written_refuses_the_start(tmp_path: Path) -> None:
    """It names the path and the key."""
    driver = Driver(Config(path="no/log.jsonl"), environment("log", tmp_path))
    with pytest.raises(StartRefused, match=r"no/log\.jsonl cannot be written.*`path`"):
        await driver.start()

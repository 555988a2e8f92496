"""Both drivers of `metrics` keep its contract; in an application, gauges are read and checked."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from acme_tools.metrics import Gauge, Metrics
from acme_tools.metrics.conformance import MetricsConformance, Subject
from acme_tools.metrics.drivers import memory, textfile
from ringfence.errors import StartRefused
from ringfence.kernel.ports import Grant
from ringfence.testing import endpoint, environment
from ringfence.tools.clock.drivers import fake

pytestmark = pytest.mark.anyio
GRANT = Grant("orders.place_order", "orders", "metrics")


class TestMemory(MetricsConformance):
    """Figures that stay where they are."""

    @pytest.fixture
    async def subject(self, tmp_path: Path) -> AsyncIterator[Subject]:
        driver = memory.Driver(memory.Config(most_series=10), environment("metrics", tmp_path))
        await driver.start()
        yield Subject(driver.handle(GRANT), lambda found: driver.bind(found, []), driver.exposed)
        await driver.stop()


class TestTextfile(MetricsConformance):
    """Figures in a file, as the collector reads them."""

    @pytest.fixture
    async def subject(self, tmp_path: Path) -> AsyncIterator[Subject]:
        env = environment("metrics", tmp_path)
        driver = textfile.Driver(textfile.Config(most_series=10), env)

        async def exposed() -> str:
            await driver.settle()
            return (tmp_path / "metrics.prom").read_text()

        await driver.start()
        yield Subject(driver.handle(GRANT), lambda found: driver.bind(found, []), exposed)
        await driver.stop()


async def _seven() -> int:
    return 7


@pytest.fixture
def clock(tmp_path: Path) -> fake.Driver:
    return fake.Driver(fake.Config(), environment("clock", tmp_path))


async def test_the_file_is_written_again_and_again(tmp_path: Path, clock: fake.Driver) -> None:
    """And a last time, when the application stops."""
    env = environment("metrics", tmp_path, clock=clock)
    driver = textfile.Driver(textfile.Config(every_s=15), env)
    metrics: Metrics = driver.handle(GRANT)
    file = tmp_path / "metrics.prom"
    await driver.start()
    driver.bind([endpoint(Gauge("orders_open"), _seven)], [])
    await driver.open()
    assert "orders_open" not in file.read_text()
    metrics.count("a_total")
    text = await _written_after(clock, 15, file)
    assert "orders_open 7\n" in text
    assert "a_total 1\n" in text
    metrics.count("a_total")
    await driver.close(1)
    await driver.stop()
    assert "a_total 2\n" in file.read_text()
    assert clock.waiting == 0


async def _written_after(clock: fake.Driver, seconds: float, file: Path) -> str:
    """Let the time pass, and wait for the thread that writes."""
    before = file.read_text()
    await clock.elapse(seconds)
    while file.read_text() == before:
        await clock.settle()
    return file.read_text()


async def test_a_disk_that_fails_costs_the_file_alone(tmp_path: Path) -> None:
    """What is counted meanwhile is in the next one."""
    driver = textfile.Driver(textfile.Config(), environment("metrics", tmp_path))
    metrics: Metrics = driver.handle(GRANT)
    file = tmp_path / "metrics.prom"
    await driver.start()
    file.unlink()
    file.mkdir()
    metrics.count("a_total")
    await driver.settle()
    file.rmdir()
    await driver.settle()
    assert "a_total 1\n" in file.read_text()


async def test_a_path_that_cannot_be_written_refuses_the_start(tmp_path: Path) -> None:
    """It names the path and the key."""
    env = environment("metrics", tmp_path)
    driver = textfile.Driver(textfile.Config(path="no/metrics.prom"), env)
    with pytest.raises(StartRefused, match=r"no/metrics\.prom cannot be written.*`path`"):
        await driver.start()

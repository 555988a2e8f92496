"""The driver `scaled` keeps the contract of the clock."""

import asyncio
from pathlib import Path

import pytest

from acme_tools.clock.scaled import Config, Driver
from ringfence.testing import environment
from ringfence.tools.clock.conformance import ClockConformance, Subject

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("speed", [0.5, 1, 3])
class TestScaled(ClockConformance):
    """Slower than the machine's time, as fast, and faster."""

    @pytest.fixture
    def subject(self, speed: float, tmp_path: Path) -> Subject:
        clock = Driver(Config(speed=speed), environment("clock", tmp_path))
        return Subject(clock, lambda seconds: asyncio.sleep(seconds / speed + 0.01))


async def test_a_minute_lasts_a_second(tmp_path: Path) -> None:
    """With the speed that it has by default."""
    clock = Driver(Config(), environment("clock", tmp_path))
    wall, monotonic = clock.now(), clock.monotonic()
    await asyncio.sleep(0.05)
    assert clock.monotonic() - monotonic >= 2.9
    assert (clock.now() - wall).total_seconds() >= 2.9

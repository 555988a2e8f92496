"""The sqlite driver stores the timers of an application."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ringfence.errors import ToolUnavailable
from ringfence.tools.db.timers import KeepsTimers
from ringfence.tools.db.timers_conformance import Stores, TimerStoreConformance, state

from .support import make, running

pytestmark = pytest.mark.anyio


class TestSqlite(TimerStoreConformance):
    """Two drivers on one file, as two processes have them."""

    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[Stores]:
        (tmp_path / "domains").mkdir()
        async with running(make(tmp_path)) as one, running(make(tmp_path)) as other:
            yield Stores(one.timers(), other.timers())


async def test_timers_survive_the_driver(tmp_path: Path) -> None:
    """They are in the file."""
    (tmp_path / "domains").mkdir()
    async with running(make(tmp_path)) as driver:
        assert await driver.timers().put(state())
    async with running(make(tmp_path)) as driver:
        assert isinstance(driver, KeepsTimers)
        assert not await driver.timers().put(state())
        assert await driver.timers().put(state(version=1))


async def test_a_driver_that_does_not_run_says_so(tmp_path: Path) -> None:
    """Whoever asks can try again later."""
    (tmp_path / "domains").mkdir()
    with pytest.raises(ToolUnavailable):
        await make(tmp_path).timers().load("orders.expire.run")

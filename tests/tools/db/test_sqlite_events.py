"""The sqlite driver keeps the events of an application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import structs

from ringfence.kernel.ports import Clock
from ringfence.tools.db.drivers.sqlite import Config, Driver
from ringfence.tools.db.events_conformance import DeliveryStoreConformance, Start, seal
from ringfence.tools.db.suite.events import Process
from ringfence.tools.db.suite.subject import SCHEMA

from .support import environment, handle, migrations, running

pytestmark = pytest.mark.anyio


def publishing(root: Path, clock: Clock | None = None, instance: str = "db") -> Driver:
    """Return a driver in whose transactions events can be published."""
    env = structs.replace(environment(root, instance, clock), seal=seal)
    return Driver(Config(), env)


class TestSqlite(DeliveryStoreConformance):
    """Drivers on one file, as processes have them."""

    @pytest.fixture
    def process(self, tmp_path: Path) -> Start:
        migrations(tmp_path, {"orders": SCHEMA})

        @asynccontextmanager
        async def started() -> AsyncIterator[Process]:
            async with running(publishing(tmp_path)) as driver:
                yield Process(driver.events(), handle(driver))

        return started

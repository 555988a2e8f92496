"""The sqlite driver keeps the contract of the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ringfence.tools.db import Database
from ringfence.tools.db.conformance import SCHEMA, DatabaseConformance, Subject
from ringfence.tools.db.maintenance_conformance import MaintenanceConformance, Operated

from .support import handle, make, migration, migrations, running

pytestmark = pytest.mark.anyio


class TestSqlite(DatabaseConformance):
    """One file, one writer."""

    @pytest.fixture
    async def subject(self, tmp_path: Path) -> AsyncIterator[Subject]:
        migrations(tmp_path, {"orders": SCHEMA})
        async with running(make(tmp_path)) as driver:
            yield Subject(lambda plugin: handle(driver, plugin))


class TestSqliteMaintenance(MaintenanceConformance):
    """The same file, for its operator."""

    @pytest.fixture
    def operated(self, tmp_path: Path) -> Operated:
        @asynccontextmanager
        async def run() -> AsyncIterator[Database]:
            async with running(make(tmp_path)) as driver:
                yield handle(driver)

        return Operated(
            add=lambda name, text: migration(tmp_path, "orders", name, text),
            maintenance=lambda: make(tmp_path).maintenance(),
            run=run,
            folder=tmp_path,
        )

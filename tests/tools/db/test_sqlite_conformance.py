"""The sqlite driver keeps the contract of the database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ringfence.tools.db.conformance import SCHEMA, DatabaseConformance, Subject

from .support import handle, make, migrations, running

pytestmark = pytest.mark.anyio


class TestSqlite(DatabaseConformance):
    """One file, one writer."""

    @pytest.fixture
    async def subject(self, tmp_path: Path) -> AsyncIterator[Subject]:
        migrations(tmp_path, {"orders": SCHEMA})
        async with running(make(tmp_path)) as driver:
            yield Subject(lambda plugin: handle(driver, plugin))

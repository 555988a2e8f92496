"""Every driver keeps the contract of files."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ringfence.tools.files.conformance import (
    FILE_BYTES,
    READ_BYTES,
    FilesConformance,
    Subject,
)
from ringfence.tools.files.drivers import _folder, local, memory

from .support import env, handle, left, running

pytestmark = pytest.mark.anyio
LOCAL = local.Config(max_file_bytes=FILE_BYTES, max_read_bytes=READ_BYTES)
MEMORY = memory.Config(max_file_bytes=FILE_BYTES, max_read_bytes=READ_BYTES)


class TestLocal(FilesConformance):
    """A folder."""

    @pytest.fixture
    async def subject(self, tmp_path: Path) -> AsyncIterator[Subject]:
        async with running(local.Driver(LOCAL, env(tmp_path))) as driver:
            yield Subject(lambda plugin: handle(driver, plugin))
        assert [name for name in left(tmp_path / "data/files") if name.endswith(".part")] == []


class TestLocalByPaths(FilesConformance):
    """A folder of a platform that cannot open names in folders that are open, as Windows."""

    @pytest.fixture
    async def subject(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[Subject]:
        monkeypatch.setattr(_folder, "BY_DESCRIPTOR", False)
        async with running(local.Driver(LOCAL, env(tmp_path))) as driver:
            yield Subject(lambda plugin: handle(driver, plugin))


class TestMemory(FilesConformance):
    """A dict."""

    @pytest.fixture
    async def subject(self, tmp_path: Path) -> AsyncIterator[Subject]:
        async with running(memory.Driver(MEMORY, env(tmp_path))) as driver:
            yield Subject(lambda plugin: handle(driver, plugin))

"""The driver `onefile` keeps the contract of files."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from acme_tools.files.onefile import Config, Driver
from ringfence.errors import StartRefused
from ringfence.kernel.ports import Grant
from ringfence.testing import environment
from ringfence.tools.files import Files
from ringfence.tools.files.conformance import (
    FILE_BYTES,
    READ_BYTES,
    FilesConformance,
    Subject,
)

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def running(root: Path, path: str = "files.db") -> AsyncIterator[Driver]:
    """A driver that has been started."""
    config = Config(path=path, max_file_bytes=FILE_BYTES, max_read_bytes=READ_BYTES)
    driver = Driver(config, environment("files", root))
    try:
        await driver.start()
        yield driver
    finally:
        await driver.stop()


def handle(driver: Driver, plugin: str = "documents.keep_documents") -> Files:
    """Return the handle of a plugin."""
    return driver.handle(Grant(plugin, plugin.partition(".")[0], "files"))


class TestOnefile(FilesConformance):
    """Each file is some rows."""

    @pytest.fixture
    async def subject(self, tmp_path: Path) -> AsyncIterator[Subject]:
        async with running(tmp_path) as driver:
            yield Subject(lambda plugin: handle(driver, plugin))
        assert [path.name for path in tmp_path.iterdir()] == ["files.db"]


async def test_what_is_written_outlives_the_application(tmp_path: Path) -> None:
    """With its type and its version."""
    async with running(tmp_path) as driver:
        stored = await handle(driver).write("a/b.png", b"x" * READ_BYTES, content_type="image/webp")
    async with running(tmp_path) as driver:
        assert await handle(driver).stat("a/b.png") == stored
        assert await handle(driver).read("a/b.png") == b"x" * READ_BYTES
        await handle(driver).delete("a/b.png")
        assert (await handle(driver).write("a/b.png", b"")).etag != stored.etag


async def test_a_path_that_cannot_be_used_refuses_the_start(tmp_path: Path) -> None:
    """It names the key; what is no database is left as it is."""
    (tmp_path / "text").write_text("no database, and long enough to be looked at as one" * 20)
    for path in ("no/files.db", "text"):
        with pytest.raises(StartRefused, match="`path`"):
            async with running(tmp_path, path):
                pass
    assert (tmp_path / "text").read_text().startswith("no database")

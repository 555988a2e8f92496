"""Drivers of files, made and stopped around a test."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from ringfence.kernel.ports import Grant, Health, Timer, ToolEnv
from ringfence.tools.files import Files
from ringfence.tools.files.drivers import local, memory

AnyDriver = TypeVar("AnyDriver", local.Driver, memory.Driver)


class RealClock:
    """The machine's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(when - self.monotonic(), callback)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def env(root: Path, instance: str = "files") -> ToolEnv:
    """Return what the kernel hands to a driver of the application in `root`."""
    return ToolEnv(
        app="shop",
        instance=instance,
        root=root,
        state=root / ".ringfence",
        clock=RealClock(),
        domains={},
        health=lambda: Health("ready"),
    )


@asynccontextmanager
async def running(driver: AnyDriver) -> AsyncIterator[AnyDriver]:
    """Start a driver, and stop it whatever happens."""
    try:
        await driver.start()
        yield driver
    finally:
        await driver.stop()


def handle(driver: local.Driver | memory.Driver, plugin: str = "documents.keep_documents") -> Files:
    """Return the files as one plugin sees them."""
    return driver.handle(Grant(plugin, plugin.partition(".")[0], "files"))


def left(root: Path) -> list[str]:
    """Return the drafts and types that are in a root."""
    reserved = root / ".ringfence-files"
    return sorted(
        path.name
        for path in reserved.rglob("*")
        if path.is_file() and path.name not in ("lock", "in-use")
    )


def open_files() -> int:
    """Count the descriptors of this process."""
    return sum(1 for _ in Path("/dev/fd").iterdir())

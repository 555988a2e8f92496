"""A sqlite driver over a folder of migrations, made and stopped around a test."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from ringfence.kernel.ports import Clock, Grant, Health, Timer, ToolEnv
from ringfence.tools.clock.drivers.fake import Config as ClockConfig
from ringfence.tools.clock.drivers.fake import Driver as FakeClock
from ringfence.tools.db import Database
from ringfence.tools.db.drivers.sqlite import Config, Driver


class RealClock:
    """The machine's time: what SQLite itself waits by."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(when - self.monotonic(), callback)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def still(root: Path) -> FakeClock:
    """Return a clock that a test moves; nobody is too slow on it."""
    env = ToolEnv("shop", "clock", root, root, RealClock(), {}, lambda: Health("ready"))
    return FakeClock(ClockConfig(), env)


def make(
    root: Path, instance: str = "db", config: Config | None = None, clock: Clock | None = None
) -> Driver:
    """Return a driver for the application in `root`, not started."""
    return Driver(config or Config(), environment(root, instance, clock))


def environment(root: Path, instance: str = "db", clock: Clock | None = None) -> ToolEnv:
    """Return what the kernel would make a driver with."""
    folders = sorted((root / "domains").glob("*"))
    return ToolEnv(
        app="shop",
        instance=instance,
        root=root,
        state=root / ".ringfence",
        clock=clock or RealClock(),
        domains={folder.name: folder for folder in folders},
        health=lambda: Health("ready"),
    )


def migration(root: Path, domain: str, name: str, text: str) -> Path:
    """Write a migration of a domain."""
    path = root / "domains" / domain / "migrations" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def migrations(root: Path, texts: Mapping[str, str]) -> None:
    """Write one migration for each domain."""
    for domain, text in texts.items():
        migration(root, domain, "20260101000000_first.sql", text)


@asynccontextmanager
async def running(driver: Driver) -> AsyncIterator[Driver]:
    """Start a driver, and stop it whatever happens."""
    try:
        await driver.start()
        yield driver
    finally:
        await driver.stop()


def handle(driver: Driver, plugin: str = "orders.place_order", instance: str = "db") -> Database:
    """Return the database as one plugin sees it."""
    return driver.handle(Grant(plugin, plugin.partition(".")[0], instance))


def kernel(driver: Driver, instance: str = "db") -> Database:
    """Return the database as the kernel sees it: every table is there."""
    return driver.handle(Grant("kernel", "", instance))

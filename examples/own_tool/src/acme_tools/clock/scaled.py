"""A clock whose time passes faster, or slower, than the machine's: for demonstrations.

With `speed = 60` a minute of the application lasts a second: what happens at night can be watched.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from ringfence.kernel.ports import Grant, Timer, ToolEnv

# An event loop may run a timer up to a rounding of its own clock too early.
_GRAIN_S = 0.002


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of `[tools.clock]` with `driver = "scaled"`.

    Args:
        speed: Seconds of the application that pass in one of the machine's.
    """

    speed: Annotated[float, Meta(gt=0, le=1_000_000)] = 60.0


class Driver:
    """Time that begins with the machine's and goes on at a speed of its own."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)  # a clock is made first, and `env` has none for it
        self._speed = config.speed
        self._began_at = datetime.now(UTC)
        self._zero = time.monotonic()

    async def start(self) -> None:
        """Do nothing: time passes since the clock was made."""

    async def stop(self) -> None:
        """Do nothing: a timer belongs to whoever set it."""

    def handle(self, grant: Grant) -> "Driver":
        """Return this driver: the time is the same for all."""
        return self

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""
        return self._began_at + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Return the seconds of the application that have passed."""
        return (time.monotonic() - self._zero) * self._speed

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` on the event loop, once `monotonic()` has reached `when`."""
        delay = max(0.0, when - self.monotonic()) / self._speed
        return asyncio.get_running_loop().call_later(delay + _GRAIN_S, callback)

    async def sleep(self, seconds: float) -> None:
        """Suspend for at least `seconds` of the application."""
        await asyncio.sleep(seconds / self._speed + _GRAIN_S if seconds > 0 else 0)

"""The machine's clock. Its driver is its own handle: of what a plugin asks it keeps nothing."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import ClassVar

from msgspec import Struct

from ringfence.kernel.ports import Endpoint, Grant, StaticName, Timer, ToolEnv
from ringfence.tools.clock.service import Timetable

# uvloop counts in whole milliseconds, of a clock that it reads once an iteration: a timer may run
# up to a rounding and a truncation too early.
_LOOP_GRAIN_S = 0.002


class Config(Struct, frozen=True):
    """The machine's clock has no options."""


class Driver:
    """Time as the machine tells it; timers on the running event loop."""

    Config: ClassVar[type[Struct]] = Config

    # The kernel asks for this in every call: the C function itself, with nothing around it.
    monotonic = staticmethod(time.monotonic)

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        self._timetable = Timetable(self, env)

    async def start(self) -> None:
        """Do nothing: the time is there."""

    async def stop(self) -> None:
        """Do nothing: a timer belongs to whoever set it."""

    def handle(self, grant: Grant) -> "Driver":
        """Return this driver: the time is the same for all."""
        return self

    def bind(self, endpoints: Sequence[Endpoint], absent: Sequence[StaticName]) -> None:
        """Take the timers to run."""
        self._timetable.bind(endpoints)

    async def open(self) -> None:
        """Run from now on what is due."""
        await self._timetable.open()

    async def close(self, grace_s: float) -> None:
        """Run nothing more; let what runs end, or cancel it after `grace_s`."""
        await self._timetable.close(grace_s)

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""
        return datetime.now(UTC)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` on the event loop, once `monotonic()` has reached `when`."""
        delay = max(0.0, when - time.monotonic()) + _LOOP_GRAIN_S
        return asyncio.get_running_loop().call_later(delay, callback)

    async def sleep(self, seconds: float) -> None:
        """Suspend for at least `seconds`."""
        await asyncio.sleep(seconds + _LOOP_GRAIN_S if seconds > 0 else 0)

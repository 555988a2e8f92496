"""The driver `outbox`: events are kept in the database that the application's transactions publish
to, and delivered from there.

Made, started and stopped by the kernel, which hands out what `handle` returns.
"""

from functools import partial
from typing import ClassVar

from msgspec import Struct

from ringfence.kernel.ports import Grant, ToolEnv
from ringfence.tools.events.contract import Events
from ringfence.tools.events.service import Handle, put


class Config(Struct, frozen=True):
    """The keys of `[tools.events]`: none. How long events are kept is said under `[events]`."""


class Driver:
    """Hands events to the store of the application."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        self._env = env

    async def start(self) -> None:
        """Do nothing: the database is started for itself."""

    async def stop(self) -> None:
        """Do nothing."""

    def handle(self, grant: Grant) -> Events:
        """Return what one plugin publishes through."""
        return Handle(self._env, grant, partial(put, self._env))

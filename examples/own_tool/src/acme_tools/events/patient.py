"""Events in the application's outbox, tried again while its database is busy.

Who may publish what, and when, is a matter of `ringfence.tools.events.service`; how often it is
tried to keep an event is said here. It has one id, however often that takes.
"""

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from ringfence.errors import ToolUnavailable
from ringfence.kernel.ports import Envelope, Grant, ToolEnv
from ringfence.settings import Seconds
from ringfence.tools.events import Events
from ringfence.tools.events.service import Handle, put


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of `[tools.events]` with `driver = "patient"`.

    Args:
        attempts: How often it is tried to keep an event, in all.
        wait: Between two attempts.
    """

    attempts: Annotated[int, Meta(ge=1)] = 3
    wait: Seconds = Seconds(0.05)


class Driver:
    """Keeps events, with patience."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self._config = config
        self._env = env

    async def start(self) -> None:
        """Do nothing: the database is started for itself."""

    async def stop(self) -> None:
        """Do nothing."""

    def handle(self, grant: Grant) -> Events:
        """Return what one plugin publishes through."""
        return Handle(self._env, grant, self._keep)

    async def _keep(self, envelope: Envelope) -> None:
        for _ in range(self._config.attempts - 1):
            try:
                await put(self._env, envelope)
            except ToolUnavailable:
                await self._env.clock.sleep(self._config.wait)
            else:
                return
        await put(self._env, envelope)

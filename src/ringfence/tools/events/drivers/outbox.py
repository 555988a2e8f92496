"""The driver `outbox`: events are kept in the database that the application's transactions publish
to, and delivered from there.

Made, started and stopped by the kernel, which hands out what `handle` returns.
"""

from typing import ClassVar

from msgspec import Struct

from ringfence.errors import NotGranted, TransactionHeld
from ringfence.kernel.ports import Grant, ToolEnv, current
from ringfence.tools.events.contract import Events


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
        return _Handle(self._env, grant)


class _Handle:
    def __init__(self, env: ToolEnv, grant: Grant) -> None:
        self._env = env
        self._grant = grant

    async def publish(self, event: object, *, delay_s: float | None = None) -> str:
        ctx, name = current.get(), f"{self._grant.instance}.publish"
        if ctx is not None and ctx.held is not None:
            raise TransactionHeld(
                f"called inside the transaction of {ctx.held.holder}, which may still be rolled "
                "back; expected what belongs to its data to be published with it.",
                subject=name,
                hint="Use `tx.publish(event)`.",
            )
        if self._env.seal is None or self._env.events is None:
            raise NotGranted("the application has no events.", subject=name)
        envelope = self._env.seal(event, self._grant.plugin, self._grant.domain, delay_s)
        await self._env.events().publish([envelope])
        return envelope.id

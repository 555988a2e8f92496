"""What drivers of `events` share: who may publish what, and when; a driver says where it goes.

`Handle` is what a plugin holds. Built on by `drivers/outbox.py`, and by drivers from outside.
"""

from collections.abc import Awaitable, Callable

from ringfence.errors import NotGranted, TransactionHeld
from ringfence.kernel.ports import Envelope, Grant, ToolEnv, current

Store = Callable[[Envelope], Awaitable[None]]


class Handle:
    """The `Events` of one plugin.

    Args:
        env: Of the driver.
        grant: Whose it is.
        store: Keeps one event, and returns once it is kept.
    """

    def __init__(self, env: ToolEnv, grant: Grant, store: Store) -> None:
        self._env = env
        self._grant = grant
        self._store = store

    async def publish(self, event: object, *, delay_s: float | None = None) -> str:
        """Serve `Events`."""
        ctx, name = current.get(), f"{self._grant.instance}.publish"
        if ctx is not None and ctx.held is not None:
            raise TransactionHeld(
                f"called inside the transaction of {ctx.held.holder}, which may still be rolled "
                "back; expected what belongs to its data to be published with it.",
                subject=name,
                hint="Use `tx.publish(event)`.",
            )
        if self._env.seal is None:
            raise NotGranted("the application has no events.", subject=name)
        envelope = self._env.seal(event, self._grant.plugin, self._grant.domain, delay_s)
        await self._store(envelope)
        return envelope.id


async def put(env: ToolEnv, envelope: Envelope) -> None:
    """Keep an event in the application's outbox."""
    if env.events is None:
        raise NotGranted("the application has no events.", subject=env.instance)
    await env.events().publish([envelope])

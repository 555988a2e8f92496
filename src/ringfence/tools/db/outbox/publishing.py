"""Events that are published by themselves: who asks while others are being stored, waits for his
turn together with all who ask meanwhile, and they share one transaction.

Invariant: whoever has asked learns how it ended, whatever becomes of the others. Called by
`store.py`.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context as Variables

from ringfence.errors import ToolError, ToolUnavailable
from ringfence.kernel.ports import Envelope
from ringfence.tools.db.engine import COMMITTED, NOT_COMMITTED

# Events in one transaction: about as long as a statement may keep the event loop.
_MOST = 64


class _Round:
    """Events that are stored together, and those who wait for that."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self._over = False
        self._failure: BaseException | None = None
        self._waiting: list[asyncio.Future[None]] = []

    def settle(self, failure: BaseException | None) -> None:
        """Tell all who wait how it ended."""
        self._over, self._failure = True, failure
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()

    async def outcome(self) -> None:
        """Wait for the end, come what may."""
        cancelled: asyncio.CancelledError | None = None
        while not self._over:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            cancelled.add_note(COMMITTED if self._failure is None else NOT_COMMITTED)
            raise cancelled
        if self._failure is not None:
            raise _again(self._failure)


class Publishing:
    """Stores events for all who ask, in rounds.

    Args:
        store: Stores some in one transaction.
    """

    def __init__(self, store: Callable[[list[Envelope]], Awaitable[object]]) -> None:
        self._store = store
        self._rounds: deque[_Round] = deque()
        self._storing: asyncio.Task[None] | None = None

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Return once they are durable; see `DeliveryStore.publish`."""
        rounds = self._rounds
        if not rounds or len(rounds[-1].envelopes) >= _MOST:
            rounds.append(_Round())
        joined = rounds[-1]
        joined.envelopes += envelopes
        if self._storing is None:
            # It is no part of the work of whoever happens to be the first.
            loop = asyncio.get_running_loop()
            self._storing = loop.create_task(self._store_all(), context=Variables())
        await joined.outcome()

    async def _store_all(self) -> None:
        try:
            while self._rounds:
                joined = self._rounds.popleft()
                try:
                    await self._store(joined.envelopes)
                except Exception as error:  # told to each who has asked
                    joined.settle(error)
                except BaseException:
                    joined.settle(_cut_off())
                    raise
                else:
                    joined.settle(None)
        finally:
            self._storing = None
            while self._rounds:
                self._rounds.popleft().settle(_cut_off())


def _cut_off() -> ToolError:
    return ToolUnavailable(
        "the application ended while events were being stored; they may be or not.",
        subject="events",
    )


def _again(error: BaseException) -> BaseException:
    """Return an error of his own for each who is told of a failure."""
    if not isinstance(error, ToolError):
        return error
    return type(error)(
        error.message, subject=error.subject, hint=error.hint, retry_after_s=error.retry_after_s
    )

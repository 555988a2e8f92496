"""Who writes next, and who shares a COMMIT.

A `Turn` is the right to use the writing connection, handed on in the order of asking. A `Group` is
the transactions that ended one after another on it and wait for one COMMIT together. Invariant:
whoever is in a group learns its outcome, whatever becomes of it. Called by `_sqlite_writer.py`.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from ringfence.errors import ToolError
from ringfence.tools.db.contract import WrongTask
from ringfence.tools.db.drivers._sqlite_line import stopped
from ringfence.tools.db.engine import COMMITTED, NOT_COMMITTED

# A group that is older or larger is committed though others wait: its first member waits as well.
_MOST_MEMBERS = 512
_OLDEST_S = 0.01

Failure = Callable[[], ToolError]  # an error for each of those that fail together


class Turn:
    """Who may write: free, it is granted without suspending; taken, first come, first served.

    Args:
        idle: Called when it becomes free because nobody waits for it.
    """

    def __init__(self, idle: Callable[[], None]) -> None:
        self.closed = False
        self._idle = idle
        self._loop = asyncio.get_running_loop()
        self._taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Return once it is the caller's.

        Raises:
            WrongTask: The caller runs on another event loop: nobody could ever wake him.
            ToolUnavailable: The driver has been stopped.
        """
        if asyncio.get_running_loop() is not self._loop:
            raise WrongTask(
                "it was asked for on another event loop; expected the one that it was started on.",
                subject="db.transaction",
                hint="In the function of a `run`, use the unit that it is given, and no `wait`.",
            )
        if self.closed:
            raise stopped()
        if self.seize():
            return
        waiter = self._loop.create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except BaseException:  # cancelled, or its coroutine thrown away
            if not waiter.cancel() and not waiter.cancelled() and waiter.exception() is None:
                self.give()
            raise

    def seize(self) -> bool:
        """Take it if it is free."""
        if self._taken:
            return False
        self._taken = True
        return True

    def seize_here(self) -> bool:
        """Take it if `take` would return at once."""
        if self._taken or self.closed or asyncio.get_running_loop() is not self._loop:
            return False
        self._taken = True
        return True

    def give(self) -> None:
        """Pass it on."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._taken = False
        self._idle()

    def close(self) -> None:
        """Refuse who waits and who comes."""
        self.closed = True
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(stopped())


class Group:
    """The transactions between one BEGIN and its COMMIT.

    `members` counts those that have ended and wait; the one in progress is none yet.
    """

    __slots__ = ("_settled", "_since", "_waiting", "failure", "holders", "members", "wrote")

    def __init__(self) -> None:
        self.members = 0
        self.wrote = False
        self.holders: set[str] = set()
        self.failure: Failure | None = None
        self._since = 0.0  # when the first of them ended
        self._settled = False
        self._waiting: list[asyncio.Future[None]] = []

    def join(self, holder: str, wrote: bool, now: float) -> None:
        """Count a transaction that has ended, and that the COMMIT will decide."""
        if not self.members:
            self._since = now
        self.members += 1
        self.wrote = self.wrote or wrote
        self.holders.add(holder)

    def is_due(self, now: float) -> bool:
        """Whether its members have waited long enough for others to join."""
        if not self.members:
            return False
        return self.members >= _MOST_MEMBERS or now - self._since > _OLDEST_S

    def settle(self, failure: Failure | None) -> None:
        """Tell all who wait how it ended: durable, or nothing of any of them was kept."""
        if self._settled:
            return
        self._settled = True
        self.failure = failure
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()

    async def outcome(self, *, undone: bool = False) -> None:
        """Wait for the end, come what may.

        Args:
            undone: Whether the caller has rolled back, and only wants to know what became of what
                he saw.

        Raises:
            ToolError: COMMIT has failed.
            CancelledError: The cancellation that came meanwhile; unless `undone`, it says how it
                ended.
        """
        cancelled: asyncio.CancelledError | None = None
        while not self._settled:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            if not undone:
                cancelled.add_note(COMMITTED if self.failure is None else NOT_COMMITTED)
            raise cancelled
        if self.failure is not None:
            raise self.failure()

"""What a plugin may ask of time. Kernel and drivers ask a little more: `kernel.ports.Clock`.

A feature that takes its time from here can be tested without waiting for anything.
"""

from datetime import datetime
from typing import Protocol

from ringfence.kernel.ports import contract


@contract("clock")
class Clock(Protocol):
    """The time, and waiting.

    Guarantees:
        `monotonic` never goes back, whatever happens to the wall clock; a wait is measured in it
        and so survives a jump of the wall clock. A cancelled `sleep` leaves nothing behind.
    """

    def now(self) -> datetime:
        """Return the wall-clock time: aware, in UTC. It may jump."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some moment; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Suspend for at least `seconds`; zero or less lets other work run once."""
        ...

"""The port to the threads that run `def` handlers; `ringfence.threads` is behind it.

Whoever wires gives the gate its `Threads`. The kernel asks them for a plugin's part and runs
functions on it; how jobs get there, and how a handler waits from there, is none of its business.
"""

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from contextvars import Context as Variables
from typing import Protocol, overload

# Runs a function with its arguments on a thread, in a copy of the current context variables.
Run = Callable[[Callable[..., object], tuple[object, ...]], Coroutine[object, None, object]]


class Enter(Protocol):
    """On such a thread: what is awaited, and what is async as a `with` can enter it."""

    @overload
    def __call__(self, wanted: Awaitable[object], /) -> object: ...

    @overload
    def __call__(
        self, wanted: AbstractAsyncContextManager[object], /
    ) -> AbstractContextManager[object]: ...


class Threads(Protocol):
    """The threads of one application, each plugin with a part of its own."""

    def share(self, plugin: str, limit: int) -> Run:
        """Return how a plugin runs functions: at most `limit` at once, the others wait.

        What it returns raises Overloaded when too many wait, and starts nothing then. Cancelled,
        it lets a function that runs end without its caller.
        """
        ...

    def apart(self, begin: Callable[[Variables], None]) -> None:
        """Call `begin` on the event loop's thread, at once where this is it, with the variables of
        work that nobody waits for."""
        ...

    async def stop(self) -> None:
        """Let the threads end; one that is busy holds up nothing."""
        ...

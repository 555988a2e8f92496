"""Why a connection that stays ends before its work does: the client goes, or the application.

Neither is a failure: nothing is logged, and nobody is left to be told more than the end itself.
`streams.py` and `sockets.py` end their connections with these; `HangUps` is how `App.hang_up`
reaches those that are open.
"""

from collections.abc import Callable

from ringfence.errors import RingfenceError


class HangUps(set[Callable[[], None]]):
    """One callback for each connection that would stay longer than the application does."""

    def __init__(self) -> None:
        super().__init__()
        self._over = False

    def add(self, end: Callable[[], None]) -> None:
        """Take the callback of a connection, which is called at once where all have been."""
        super().add(end)
        if self._over:  # its request came in just before
            end()

    def end(self) -> None:
        """Call them all, and whatever is added from now on."""
        self._over = True
        for each in tuple(self):
            each()


class ClientGone(RingfenceError, code="client_gone"):
    """The client went away before its answer was complete."""

    status = 499  # as nginx logs it; it is never sent


class Stopping(RingfenceError, code="stopping"):
    """The application stops, and the connection with it; whoever needs it connects again."""

    status = 503

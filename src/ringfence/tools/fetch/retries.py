"""When a request is tried again: how often, after how long, and with how many others.

Sources: full jitter (M. Brooker, "Exponential Backoff And Jitter"); the budget is that of Finagle
(`RetryBudget`): a fifth of the requests, and one a second, so that retries never make an outage
worse than a fifth.
"""

import random
from collections.abc import Callable

from ringfence.kernel.ports import Clock

FIRST_S = 0.1  # the longest pause before the first retry; doubled for each further one
LONGEST_S = 5.0
LONGEST_ASKED_S = 30.0  # for a longer Retry-After the caller is told, instead of kept waiting

_PER_REQUEST = 0.2
_PER_SECOND = 1.0
_SAVED = 10.0

_chance = random.SystemRandom()


class Retries:
    """One link's budget of retries."""

    def __init__(
        self, most: int, clock: Clock, jitter: Callable[[], float] = _chance.random
    ) -> None:
        self._most = most
        self._clock = clock
        self._jitter = jitter
        self._left = _SAVED
        self._seen_at = clock.monotonic()

    def deposit(self) -> None:
        """Note a request: it pays for a fifth of a retry."""
        now = self._clock.monotonic()
        earned = _PER_REQUEST + (now - self._seen_at) * _PER_SECOND
        self._left = min(_SAVED, self._left + earned)
        self._seen_at = now

    def pause(self, tried: int, asked_s: float | None, deadline_at: float) -> float | None:
        """Return how many seconds to wait for the next attempt; None for no further one.

        Args:
            tried: Attempts that have failed.
            asked_s: What the other side asked for, if it did.
            deadline_at: When the context ends: a pause that reaches it would be for nothing.
        """
        if tried > self._most or self._left < 1 or (asked_s or 0) > LONGEST_ASKED_S:
            return None
        longest = min(LONGEST_S, FIRST_S * 2.0 ** (tried - 1))
        pause = max(asked_s or 0.0, longest * self._jitter())
        if self._clock.monotonic() + pause >= deadline_at:
            return None
        self._left -= 1
        return pause

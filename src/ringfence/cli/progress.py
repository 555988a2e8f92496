"""How work gets on, line by line: a line for each part, and one now and then for a long one.

Called by the verbs that maintain a database.
"""

import asyncio
from time import monotonic

from ringfence.cli.terminal import Tone, say

_PARTS = {
    "copy": ("copied", "copying"),
    "check": ("checked", "checking"),
    "replace": ("replaced", "replacing"),
}
FIRST_S = 1.0  # after which a part is said to be still running; then after twice as long each time
_UNITS = ("B", "kB", "MB", "GB", "TB")


class Shown:
    """Serves `Progress` of `tools.db.maintenance`; `quiet` leaves it to the result."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._timer: asyncio.TimerHandle | None = None
        self._done = self._total = 0
        self._begun_at = 0.0

    def begun(self, part: str) -> None:
        self._done = self._total = 0
        self._begun_at = monotonic()
        self._wait(part, FIRST_S)

    def advanced(self, done_bytes: int, total_bytes: int) -> None:
        self._done, self._total = done_bytes, total_bytes

    def ended(self, part: str, took_s: float) -> None:
        self.stop()
        verb, _ = _PARTS.get(part, ("applied", ""))
        size = f" {size_text(self._total)}" if self._total else ""
        name = "" if part in _PARTS else f" {part}"
        self._say("  ", (verb, "good"), f"{name}{size}", (f" in {took_s:.2f} s", "dim"))

    def stop(self) -> None:
        """Say nothing more of the part that is running."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, part: str, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(delay_s, self._still, part, delay_s)

    def _still(self, part: str, delay_s: float) -> None:
        _, doing = _PARTS.get(part, ("", f"applying {part}"))
        share = f", {self._done * 100 // self._total} %" if self._total else ""
        took = monotonic() - self._begun_at
        self._say(f"  still {doing}{share}", (f" after {took:.0f} s", "dim"))
        self._wait(part, delay_s * 2)

    def _say(self, *parts: str | tuple[str, Tone]) -> None:
        if not self._quiet:
            say(*parts)


def size_text(count: int) -> str:
    """Return a size as people read it: `1.5 GB`."""
    power = 0
    while power < len(_UNITS) - 1 and count >= 1000 ** (power + 1):
        power += 1
    size = count / 1000**power
    return f"{size:.1f} {_UNITS[power]}" if power and size < 100 else f"{size:.0f} {_UNITS[power]}"

"""How work gets on, line by line: a line for each part, and one now and then for a long one.

`Shown` is for work on the event loop that tells of its parts, `Waiting` for any other. Called by
the verbs that may take more than a second.
"""

import asyncio
import sys
import threading
from time import monotonic
from types import TracebackType

from ringfence.cli.terminal import Tone, complain, say

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


class Waiting:
    """A block that may take long: once it has, a line on standard error says what is going on.

    Only on a terminal, where somebody waits. From a thread of its own, as what takes long may not
    let the event loop run.
    """

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        self._what = what
        self._ended = threading.Event()
        quiet = quiet or not sys.stderr.isatty()
        self._thread = None if quiet else threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Waiting":
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Say nothing more; the block may go on with something else."""
        self._ended.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        began, delay_s = monotonic(), FIRST_S
        while not self._ended.wait(delay_s):
            complain(f"still {self._what} after {monotonic() - began:.0f} s", plain=True)
            delay_s *= 2


def size_text(count: int) -> str:
    """Return a size as people read it: `1.5 GB`."""
    power = 0
    while power < len(_UNITS) - 1 and count >= 1000 ** (power + 1):
        power += 1
    size = count / 1000**power
    return f"{size:.1f} {_UNITS[power]}" if power and size < 100 else f"{size:.0f} {_UNITS[power]}"

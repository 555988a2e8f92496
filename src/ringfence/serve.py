"""Run an application as a process: from its start to a signal, with its control socket.

`serve` is what `ringfence run` calls. The first SIGTERM or SIGINT (on Windows Ctrl-C or Ctrl-Break)
drains, the second ends the process, and so does a drain that outlasts all of its deadlines
together.
"""

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import FrameType

from ringfence.app import Application, boot, load
from ringfence.control import ControlServer, claim_folder


async def serve(
    root: Path,
    *,
    overrides: Mapping[str, object],
    strict: bool,
    ready: Callable[[Application], None],
    stopping: Callable[[], None],
) -> int:
    """Run an application until SIGTERM or SIGINT; return the exit code of the process.

    The first signal drains; a second one ends the process at once, and so does a drain that takes
    longer than all of its deadlines together.

    Args:
        root: Its folder.
        overrides: Tables of `ringfence.toml` that count for this process alone.
        strict: Refuse to start with any finding.
        ready: Called once, when it serves.
        stopping: Called once, when it has been told to stop.
    """
    async with AsyncExitStack() as undo:
        config = load(root, overrides)
        claim = claim_folder(root)  # before anything is touched that the other process uses
        if claim is not None:
            undo.callback(claim.release)
        application = await boot(config, strict=strict)
        undo.push_async_callback(application.stop)
        control = ControlServer(application, root, redact=config.redactor, claim=claim)
        await control.start()
        undo.push_async_callback(control.stop)
        gc.freeze()  # what the start made stays: no collection has to look at it again
        signals = _Signals(application.stop_limit_s)
        ready(application)
        await signals.ended.wait()
        stopping()
    return 0


class _Signals:
    """The signals that ask to stop; the second one ends the process.

    Plain handlers, not the event loop's, so that they run even while a plugin blocks the loop.
    """

    def __init__(self, limit_s: float) -> None:
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._limit_s = limit_s
        self._asked = False
        for name in ("SIGTERM", "SIGINT", "SIGBREAK"):
            if hasattr(signal, name):  # Windows alone has the last, and nobody sends it the first
                signal.signal(getattr(signal, name), self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            os._exit(128 + number)
        self._asked = True
        self._loop.call_soon_threadsafe(self.ended.set)
        last_resort = threading.Timer(self._limit_s, self._give_up)
        last_resort.daemon = True
        last_resort.start()

    def _give_up(self) -> None:
        sys.stderr.write(f"stopping has taken over {self._limit_s:g} s; ending the process\n")
        sys.stderr.flush()
        os._exit(1)

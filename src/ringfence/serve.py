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
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import FrameType

from ringfence.app import Application, boot, load
from ringfence.control import ControlServer, claim_folder

PAGES = 5  # of an application's own, that a start shows as addresses to open


async def serve(
    root: Path,
    *,
    overrides: Mapping[str, object],
    strict: bool,
    announce: Callable[[str], None],
) -> int:
    """Run an application until SIGTERM or SIGINT; return the exit code of the process.

    The first signal drains; a second one ends the process at once, and so does a drain that takes
    longer than all of its deadlines together.
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
        for line in _greeting(application):
            announce(line)
        await signals.ended.wait()
        announce("stopping: work in progress ends first; a second signal ends it at once")
    return 0


def _greeting(application: Application) -> Iterator[str]:
    """Yield what a person wants to see first: what is wrong, and the addresses to open."""
    status = application.status()
    plugins = [plugin for domain in status.domains for plugin in domain.plugins]
    for plugin in plugins:
        if plugin.state == "quarantined":
            yield f"quarantined {plugin.id}: {plugin.reason}"
    for tool in status.tools:
        if tool.state == "dead":
            yield f"dead tool {tool.instance}: {tool.reason}"
    serving = sum(plugin.state == "serving" for plugin in plugins)
    names = ", ".join(domain.name for domain in status.domains)
    said = f"{serving} of {len(plugins)} plugins serve ({names})"
    if not plugins:
        said = "there is no feature in it yet; write the first one: domains/<domain>/<feature>.py"
    yield f"{status.app} is {status.state}: {said}"
    labels = (d.declaration.label for d in application.manifest.declared)
    pages = sorted(label[4:] for label in labels if label.startswith("GET /") and "{" not in label)
    for address in application.addresses:
        for page in (*pages[:PAGES], "/docs", "/health/ready"):
            yield f"  {address}{page}"


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

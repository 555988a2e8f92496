"""The log in a file, a line of JSON each.

One thread writes; whoever logs only hands over. The file is opened anew for each batch, so that it
may be moved away at any time, as logrotate does. Beyond `most_waiting` records are dropped, and
counted in the next line that is written.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Condition, Thread
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from ringfence.errors import StartRefused
from ringfence.kernel.ports import Grant, ToolEnv
from ringfence.tools.log import Level, Log, Record
from ringfence.tools.log.lines import json_line
from ringfence.tools.log.service import Journal, Logger
from ringfence.tools.log.standard import Standard

# What a stop waits for a disk that does not answer; the thread is a daemon.
_STOP_S = 2.0


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of `[tools.log]` with `driver = "file"`.

    Args:
        path: Of the file, from the application's folder; the folder that it is in must be there.
        level: The least that is written.
        most_waiting: Records that wait for the disk; what comes then is dropped.
    """

    path: str = "log.jsonl"
    level: Level = "info"
    most_waiting: Annotated[int, Meta(ge=1)] = 10_000


class Driver:
    """Appends each record to a file, those of the standard library's logging among them."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self._path = env.root / config.path
        self._instance = env.instance
        self._clock = env.clock
        self._pages = Pages(self._path, config.most_waiting, self._lost)
        self._journal = Journal(self._write, env, config.level)
        self._standard = Standard(self._journal, env, taking="auto")

    async def start(self) -> None:
        """Open the file once, so that a path that cannot be written refuses the start."""
        try:
            self._path.open("ab").close()
        except OSError as error:
            raise StartRefused(
                f"tools.{self._instance}: {self._path} cannot be written: {error}. "
                "Give another `path`, or make its folder."
            ) from None
        self._pages.open()
        self._standard.install()

    async def stop(self) -> None:
        """Stop to listen, and let what is waiting be written."""
        self._standard.remove()
        await asyncio.to_thread(self._pages.close, _STOP_S)

    def handle(self, grant: Grant) -> Log:
        """Return the log of one plugin; each of its records names it."""
        return Logger(self._journal, grant.plugin)

    def settle(self, timeout_s: float) -> bool:
        """Wait, with the whole thread, until all is written; return whether it is."""
        return self._pages.settle(timeout_s)

    def _write(self, record: Record, error: BaseException | None) -> None:
        self._pages.add(record)

    def _lost(self, count: int) -> Record:
        message = "log records dropped: the disk did not keep up"
        return Record(self._clock.now(), "warning", message, fields={"count": count})


class Pages:
    """Records on their way to a file. Invariant: `add` never waits for the disk."""

    def __init__(self, path: Path, most_waiting: int, lost: Callable[[int], Record]) -> None:
        self._path = path
        self._most_waiting = most_waiting
        self._lost = lost
        self._changed = Condition()  # guards all that follows
        self._waiting: deque[Record] = deque()
        self._dropped = 0
        self._writing = False
        self._closed = False

    def open(self) -> None:
        """Write from now on."""
        Thread(target=self._write, name="acme-log", daemon=True).start()

    def add(self, record: Record) -> None:
        """Take a record, from any thread."""
        with self._changed:
            if len(self._waiting) < self._most_waiting:
                self._waiting.append(record)
            else:
                self._dropped += 1
            self._changed.notify_all()

    def settle(self, timeout_s: float) -> bool:
        """Wait until nothing waits."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._waiting and not self._writing, timeout_s
            )

    def close(self, timeout_s: float) -> None:
        """Give what waits so many seconds, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.settle(timeout_s)

    def _write(self) -> None:
        while batch := self._next():
            lines = "".join(map(json_line, batch)).encode("utf-8", "backslashreplace")
            try:
                with self._path.open("ab") as file:
                    file.write(lines)
                lost = 0
            except OSError:  # a full disk: that it is full cannot be said here
                lost = len(batch)
            with self._changed:
                self._dropped += lost
                self._writing = False
                self._changed.notify_all()

    def _next(self) -> list[Record]:
        """Wait for something to write; nothing is the end."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._closed)
            batch = list(self._waiting)
            if batch and self._dropped:
                batch.append(self._lost(self._dropped))
                self._dropped = 0
            self._waiting.clear()
            self._writing = bool(batch)
            return batch

"""Records on standard error: lines for a person on a terminal, JSON elsewhere."""

import asyncio
import os
import sys
from typing import ClassVar, Literal

from msgspec import Struct

from ringfence.kernel.ports import Clock, Grant, ToolEnv
from ringfence.tools.log.contract import Level, Log, Record
from ringfence.tools.log.lines import json_line, text_line
from ringfence.tools.log.service import Journal, KernelMessages, Logger
from ringfence.tools.log.sink import Sink

_FLUSH_S = 1.0


class Config(Struct, frozen=True):
    """The keys of `[tools.log]`.

    Args:
        level: The least that is written.
        format: `text` for people, `json` for machines; `auto` is text on a terminal.
        colour: `auto` is colours on a terminal.
    """

    level: Level = "info"
    format: Literal["auto", "text", "json"] = "auto"
    colour: Literal["auto", "always", "never"] = "auto"


class Driver:
    """Writes each record as one line, and listens to the kernel's messages."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self._clock: Clock = env.clock
        descriptor = _stderr()
        terminal = os.isatty(descriptor)
        self._json = config.format == "json" or (config.format == "auto" and not terminal)
        self._colour = config.colour == "always" or (config.colour == "auto" and terminal)
        self._sink = Sink(descriptor, self._lost)
        self._journal = Journal(self._write, env.clock, config.level)
        self._messages = KernelMessages(self._journal)

    async def start(self) -> None:
        """Listen to the kernel's messages from now on."""
        self._messages.install()

    async def stop(self) -> None:
        """Stop to listen, and give what is waiting a second to be written."""
        self._messages.remove()
        if self._sink.is_behind:
            await asyncio.to_thread(self._sink.close, _FLUSH_S)
        else:
            self._sink.close(0)

    def handle(self, grant: Grant) -> Log:
        """Return the log of one plugin; each of its records names it."""
        return Logger(self._journal, grant.plugin)

    def _write(self, record: Record) -> None:
        self._sink.write(self._line(record))

    def _line(self, record: Record) -> bytes:
        line = json_line(record) if self._json else text_line(record, colour=self._colour)
        return line.encode("utf-8", "backslashreplace")

    def _lost(self, count: int) -> bytes:
        message = "log lines dropped: nobody read them in time"
        return self._line(Record(self._clock.now(), "warning", message, fields={"count": count}))


def _stderr() -> int:
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # none, or one that is no file
        return 2

"""Records on standard error: lines for a person on a terminal, JSON elsewhere."""

import asyncio
import os
import sys
from typing import ClassVar, Literal

from msgspec import Struct

from ringfence.kernel.ports import Clock, Grant, ToolEnv
from ringfence.tools.log.contract import Level, Log, Record
from ringfence.tools.log.lines import json_line, text_line
from ringfence.tools.log.service import Journal, Logger
from ringfence.tools.log.sink import Sink
from ringfence.tools.log.standard import Standard

_FLUSH_S = 1.0


class Config(Struct, frozen=True):
    """The keys of `[tools.log]`.

    Args:
        level: The least that is written.
        format: `text` for people, `json` for machines; `auto` is text on a terminal.
        colour: `auto` is colours on a terminal.
        levels: The same as `level` for a logger, a domain or a plugin of its own, by name; `root`
            for every logger that has none.
        libraries: Whether what libraries log is written: `auto` leaves out what another handler
            shows on the console, `always` sets such handlers of the root logger aside.
        warnings: Whether what `warnings` would print is logged, by the logger `py.warnings`.
        hidden: Names of fields whose values are masked, beside those that look secret.
    """

    level: Level = "info"
    format: Literal["auto", "text", "json"] = "auto"
    colour: Literal["auto", "always", "never"] = "auto"
    levels: dict[str, Level] = {}
    libraries: Literal["auto", "always", "never"] = "auto"
    warnings: bool = True
    hidden: tuple[str, ...] = ()


class Driver:
    """Writes each record as one line, those of the standard library's logging among them."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self._clock: Clock = env.clock
        descriptor = _stderr()
        terminal = os.isatty(descriptor)
        self._json = config.format == "json" or (config.format == "auto" and not terminal)
        self._colour = config.colour == "always" or (config.colour == "auto" and terminal)
        self._sink = Sink(descriptor, self._lost)
        self._journal = Journal(self._write, env, config.level, config.levels, config.hidden)
        self._standard = Standard(
            self._journal,
            env,
            taking=config.libraries,
            levels=config.levels,
            take_warnings=config.warnings,
        )

    async def start(self) -> None:
        """Listen to the standard library's logging from now on."""
        self._standard.install()

    async def stop(self) -> None:
        """Stop to listen, and give what is waiting a second to be written."""
        self._standard.remove()
        if self._sink.is_behind:
            await asyncio.to_thread(self._sink.close, _FLUSH_S)
        else:
            self._sink.close(0)

    def handle(self, grant: Grant) -> Log:
        """Return the log of one plugin; each of its records names it."""
        return Logger(self._journal, grant.plugin)

    def _write(self, record: Record, error: BaseException | None) -> None:
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

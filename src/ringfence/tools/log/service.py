"""From a call to a record: what all drivers share.

A `Journal` makes records of whatever it is given and hands them to a driver; `Logger` is a plugin's
handle on it; `standard.py` is the way in for the standard library's logging. Invariant: nothing
that goes wrong in here reaches the caller, no record keeps an object alive, none shows a secret.
"""

import logging
import sys
from collections.abc import Callable, Collection, Mapping

from ringfence.kernel.ports import Context, ToolEnv, current
from ringfence.tools.log.contract import Level, Record
from ringfence.tools.log.values import MESSAGE_CHARACTERS, Values

NUMBERS: Mapping[Level, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

# Takes a record, and the error that it tells of, unless something in that had to be masked.
Write = Callable[[Record, BaseException | None], None]


class Journal:
    """Makes records and hands them to `write`; counts those that failed as `lost`.

    Args:
        write: The driver's.
        env: Of the driver.
        level: The least that is recorded.
        levels: The same for what has a level of its own: a logger, a domain, or a plugin.
        hidden: Names of fields that are masked beside those that look secret.
    """

    def __init__(
        self,
        write: Write,
        env: ToolEnv,
        level: Level,
        levels: Mapping[str, Level] | None = None,
        hidden: Collection[str] = (),
    ) -> None:
        self._write = write
        self._clock = env.clock
        self._redact = env.redact
        self._threshold = NUMBERS[level]
        self._thresholds = {name: NUMBERS[own] for name, own in (levels or {}).items()}
        self.values = Values(env.redact, hidden)
        self.lost = 0

    def threshold(self, name: str) -> int:
        """Return the least that is recorded of a logger or a plugin: what it is given by name, or
        what the nearest name above it is."""
        while name and self._thresholds:
            if name in self._thresholds:
                return self._thresholds[name]
            name = name.rpartition(".")[0]
        return self._threshold

    def record(
        self,
        level: Level,
        message: str,
        fields: Mapping[str, object],
        plugin: str | None = None,
        error: BaseException | None = None,
        ctx: Context | None = None,
    ) -> None:
        """Record one message; `plugin` is None where the context knows it."""
        try:
            ctx = ctx or current.get()
            kept = self.values.fields(fields)
            trace = ""
            if error is not None:
                kept["error"] = self.values.error(error)
                trace = self.values.trace(error)
            record = Record(
                self._clock.now(),
                level,
                self.values.text(str(message), MESSAGE_CHARACTERS),
                _plugin(ctx) if plugin is None else plugin,
                ctx.operation if ctx else "",
                ctx.trace_id if ctx else "",
                ctx.span_id if ctx else "",
                kept,
                trace,
            )
            self._write(record, error)
        except Exception:  # the contract: a log never raises into the feature
            self.lost += 1


class Logger:
    """A plugin's handle: implements `Log`."""

    __slots__ = ("_bound", "_journal", "_plugin", "_threshold")

    def __init__(
        self, journal: Journal, plugin: str, bound: Mapping[str, object] | None = None
    ) -> None:
        self._journal = journal
        self._plugin = plugin
        self._bound = bound or {}
        self._threshold = journal.threshold(plugin)

    def debug(self, message: str = "", /, *rest: object, **fields: object) -> None:
        self._record("debug", message, fields, rest)

    def info(self, message: str = "", /, *rest: object, **fields: object) -> None:
        self._record("info", message, fields, rest)

    def warning(self, message: str = "", /, *rest: object, **fields: object) -> None:
        self._record("warning", message, fields, rest)

    def error(self, message: str = "", /, *rest: object, **fields: object) -> None:
        self._record("error", message, fields, rest)

    def bind(self, **fields: object) -> "Logger":
        kept = self._journal.values.fields(fields)
        return Logger(self._journal, self._plugin, {**self._bound, **kept})

    def _record(
        self, level: Level, message: str, fields: dict[str, object], rest: tuple[object, ...]
    ) -> None:
        if NUMBERS[level] >= self._threshold:
            error = _error_of(fields)
            if rest:  # written for `logging`; the contract has no place for them, and never raises
                fields = {"arguments": rest, **fields}
            if self._bound:
                fields = {**self._bound, **fields}
            self._journal.record(level, message, fields, self._plugin, error)


def _error_of(fields: dict[str, object]) -> BaseException | None:
    """Take the error out of the fields: `error=` one, or as `logging` has it, `exc_info=`."""
    given = fields.get("error")
    if isinstance(given, BaseException):
        del fields["error"]
        return given
    match fields.get("exc_info"):
        case BaseException() as error:
            del fields["exc_info"]
            return error
        case (type(), BaseException() as error, _):
            del fields["exc_info"]
            return error
        case True:
            del fields["exc_info"]
            return sys.exception()
    return None


def _plugin(ctx: Context | None) -> str:
    return ctx.plugin if ctx else ""

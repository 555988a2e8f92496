"""From a call to a record: what all drivers share.

A `Journal` makes records of whatever it is given and hands them to a driver; `Logger` is a plugin's
handle on it, `KernelMessages` the way in for `logging.getLogger("ringfence")`. Invariant: nothing
that goes wrong in here reaches the caller, and no record keeps an object alive.
"""

import logging
import traceback
from collections.abc import Callable, Mapping

from msgspec import json

from ringfence.kernel.ports import Clock, Context, current
from ringfence.tools.log.contract import Level, Record

KERNEL = "ringfence"
NUMBERS: Mapping[Level, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_MESSAGE_CHARACTERS = 8192
_FIELD_CHARACTERS = 4096
_PRINTED = "_ringfence_printed"


class Journal:
    """Makes records and hands them to `write`; counts those that failed as `lost`."""

    def __init__(self, write: Callable[[Record], None], clock: Clock, level: Level) -> None:
        self._write = write
        self._clock = clock
        self.threshold = NUMBERS[level]
        self.lost = 0

    def record(
        self,
        level: Level,
        message: str,
        fields: Mapping[str, object],
        plugin: str | None = None,
        trace: str = "",
    ) -> None:
        """Record one message; `plugin` is None where the context knows it."""
        if NUMBERS[level] < self.threshold:
            return
        try:
            ctx = current.get()
            self._write(
                Record(
                    self._clock.now(),
                    level,
                    _cut(_text(message), _MESSAGE_CHARACTERS),
                    _plugin(ctx) if plugin is None else plugin,
                    ctx.operation if ctx else "",
                    ctx.trace_id if ctx else "",
                    ctx.span_id if ctx else "",
                    {name: _plain(value) for name, value in fields.items()},
                    trace,
                )
            )
        except Exception:  # the contract: a log never raises into the feature
            self.lost += 1


class Logger:
    """A plugin's handle: implements `Log`."""

    __slots__ = ("_journal", "_plugin")

    def __init__(self, journal: Journal, plugin: str) -> None:
        self._journal = journal
        self._plugin = plugin

    def debug(self, message: str, /, **fields: object) -> None:
        self._journal.record("debug", message, fields, self._plugin)

    def info(self, message: str, /, **fields: object) -> None:
        self._journal.record("info", message, fields, self._plugin)

    def warning(self, message: str, /, **fields: object) -> None:
        self._journal.record("warning", message, fields, self._plugin)

    def error(self, message: str, /, **fields: object) -> None:
        self._journal.record("error", message, fields, self._plugin)


class KernelMessages(logging.Handler):
    """Takes what kernel and tools say on the standard library's logger `ringfence`.

    Two applications in one process share that logger: each message is recorded by one of them.
    """

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal
        self._level_before = logging.NOTSET

    def install(self) -> None:
        """Start to listen, at the journal's level or a more talkative one that is set already."""
        logger = logging.getLogger(KERNEL)
        others = _listening(logger)
        self._level_before = others[0]._level_before if others else logger.level
        if logger.level == logging.NOTSET or logger.level > self._journal.threshold:
            logger.setLevel(self._journal.threshold)
        logger.addHandler(self)

    def remove(self) -> None:
        """Stop to listen; the last to leave puts the logger's level back."""
        logger = logging.getLogger(KERNEL)
        if self in logger.handlers:
            logger.removeHandler(self)
            if not _listening(logger):
                logger.setLevel(self._level_before)

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, _PRINTED):
            return
        setattr(record, _PRINTED, True)
        try:
            message = record.getMessage()
        except Exception:  # arguments that do not fit their text are no reason to lose it
            message = str(record.msg)
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        self._journal.record(_level(record.levelno), message, {}, None, trace.rstrip())


def _listening(logger: logging.Logger) -> list[KernelMessages]:
    return [handler for handler in logger.handlers if isinstance(handler, KernelMessages)]


def _level(number: int) -> Level:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"


def _plugin(ctx: Context | None) -> str:
    return ctx.plugin if ctx else ""


def _plain(value: object) -> object:
    """Return what can be kept of a value: plain, bounded, and without the value itself."""
    if value is None or type(value) in (bool, float):
        return value
    if type(value) is int and value.bit_length() < 64:
        return value
    try:
        if type(value) is str:
            return _cut(_text(value), _FIELD_CHARACTERS)
        encoded = json.encode(value, enc_hook=_shown)
        if len(encoded) > _FIELD_CHARACTERS:
            return _cut(encoded.decode(), _FIELD_CHARACTERS)
        kept: object = json.decode(encoded)
        return kept
    except Exception:  # whatever a value does when it is looked at, the rest is recorded
        return f"<{type(value).__name__}>"


def _shown(value: object) -> str:
    if isinstance(value, BaseException):
        return _text(f"{type(value).__name__}: {value}")
    return _text(str(value))


def _text(text: str) -> str:
    # Half of a surrogate pair cannot be encoded.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"

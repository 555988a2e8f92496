"""The standard library's `logging`, brought in: what libraries, the kernel and threads say.

`Standard` stands first at the root logger. It masks what passes, for whoever else listens; adds
trace and plugin; and records what is this application's and nobody else shows. Invariant: each
record is recorded at most once, whatever handlers there are, and none goes round in a circle.
Used by the drivers.
"""

import logging
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from typing import Literal

from ringfence.kernel.ports import Context, ToolEnv, current
from ringfence.settings import HIDDEN
from ringfence.tools.log.contract import Level
from ringfence.tools.log.service import NUMBERS, Journal

KERNEL = "ringfence"
TAKEN = "_ringfence_taken"

# What is recorded. `auto`: of the kernel all, of libraries what no other handler shows on the
# console; `always`: all, and such handlers of the root logger are set aside; `all`: the same, but
# they stay; `never`: of the kernel alone; `none`: nothing, others have what passes.
Taking = Literal["auto", "always", "all", "never", "none"]

_OWN = ("trace_id", "span_id", "operation", "plugin")
KNOWN = {
    *vars(logging.LogRecord("", 0, "", 0, "", (), None)),
    *("message", "asctime", "taskName", "color_message", TAKEN),  # the fourth is uvicorn's
    *_OWN,
}


class Standard(logging.Handler):
    """Listens at the root logger, for one application.

    Args:
        journal: Where records go.
        env: Of the driver.
        taking: What is recorded of what passes.
        levels: Of loggers, by name; `root` for all that have none.
        take_warnings: Whether `warnings` are logged instead of printed.
    """

    def __init__(
        self,
        journal: Journal,
        env: ToolEnv,
        *,
        taking: Taking,
        levels: Mapping[str, Level] | None = None,
        take_warnings: bool = False,
    ) -> None:
        super().__init__()
        self._journal = journal
        self._env = env
        self._taking = taking
        self._levels = {name: NUMBERS[level] for name, level in (levels or {}).items()}
        self._levels.setdefault(KERNEL, journal.threshold(KERNEL))
        self._before: dict[str, int] = {}
        self._aside: list[logging.Handler] = []
        self._take_warnings = take_warnings
        self._took_warnings = False

    def install(self) -> None:
        """Start to listen, and set the levels of loggers, the more talkative one of two
        applications' winning."""
        root = logging.getLogger()
        others = _listening()
        for name, level in self._levels.items():
            logger = logging.getLogger(name)
            before = [other._before[name] for other in others if name in other._before]
            self._before[name] = before[0] if before else logger.level
            logger.setLevel(min(level, logger.level) if before else level)
        root.handlers.insert(len(others), self)  # before whoever is to see what has been masked
        shown = [handler for handler in root.handlers if _is_console(handler)]
        if self._taking == "always":
            self._aside = shown
            for handler in shown:
                root.removeHandler(handler)
        elif self._taking == "auto" and shown:
            self._journal.record("warning", _SHOWN_ELSEWHERE, {}, "")
        if self._take_warnings and getattr(warnings.showwarning, "__module__", "") != "logging":
            logging.captureWarnings(True)
            self._took_warnings = True
        if self._taking not in ("all", "none"):
            _hook_threads()

    def remove(self) -> None:
        """Stop to listen; levels, handlers and hooks are put back."""
        root = logging.getLogger()
        if self not in root.handlers:
            return
        root.removeHandler(self)
        others = _listening()
        for name, before in self._before.items():
            theirs = [other._levels[name] for other in others if name in other._levels]
            logging.getLogger(name).setLevel(min(theirs) if theirs else before)
        for handler in self._aside:
            root.addHandler(handler)
        heir = next((other for other in others if other._take_warnings), None)
        if self._took_warnings and heir is not None:
            heir._took_warnings = True
        elif self._took_warnings:
            logging.captureWarnings(False)
        if not others:
            _unhook_threads()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if not hasattr(record, TAKEN):
                self._pass(record)
        except Exception:  # logging never fails whoever logs
            self._journal.lost += 1

    def _pass(self, record: logging.LogRecord) -> None:
        ctx = current.get()
        error = record.exc_info[1] if record.exc_info else None
        message = self._mask(record, error)
        if ctx is not None and not self._env.owns(ctx):
            return
        if ctx is not None:
            for name in _OWN:
                setattr(record, name, getattr(ctx, name))
        if self._takes(record):
            setattr(record, TAKEN, True)
            self._record(record, message, error, ctx)
        elif self._taking == "none":
            show_last(record)

    def _takes(self, record: logging.LogRecord) -> bool:
        if self._taking == "none" or record.levelno < self._journal.threshold(record.name):
            return False
        if _is_kernels(record):
            return True
        if self._taking == "auto":
            return not any(_is_console(h) and record.levelno >= h.level for h in others(record))
        return self._taking in ("always", "all")

    def _record(
        self,
        record: logging.LogRecord,
        message: str,
        error: BaseException | None,
        ctx: Context | None,
    ) -> None:
        fields = {name: value for name, value in vars(record).items() if name not in KNOWN}
        if not _is_kernels(record):
            fields["logger"] = record.name
        # Outside any context, a feature is known by the name of its module: `shop@1.domains.a.b`.
        plugin = None if ctx else record.name.partition(".domains.")[2]
        self._journal.record(_level(record.levelno), message, fields, plugin, error)

    def _mask(self, record: logging.LogRecord, error: BaseException | None) -> str:
        """Mask what a record says, in place; one that holds no secret stays as it is."""
        said, values = _message(record), self._journal.values
        message = self._env.redact(said)
        if message != said:
            record.msg, record.args = message, None
        if error is not None and values.holds_secret(error):
            record.exc_info, record.exc_text = None, values.trace(error) or values.error(error)
        for name in vars(record).keys() - KNOWN:
            value = getattr(record, name)
            if value is not None and values.is_hidden(name):
                setattr(record, name, HIDDEN)
            elif isinstance(value, str):
                setattr(record, name, self._env.redact(value))
        return message


_SHOWN_ELSEWHERE = (
    "the root logger shows libraries on the console by itself: they stay there, without their "
    'trace; set libraries = "always" in [tools.log] to have them here'
)


def show_last(record: logging.LogRecord) -> None:
    """Do what Python does with a record that no handler is there for, a `Standard` not counted."""
    last = logging.lastResort
    if last is not None and record.levelno >= last.level and not any(others(record)):
        last.handle(record)


def _listening() -> list[Standard]:
    return [each for each in logging.getLogger().handlers if isinstance(each, Standard)]


def others(record: logging.LogRecord) -> Iterator[logging.Handler]:
    """Yield the handlers of others that a record passes."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        yield from (each for each in logger.handlers if not isinstance(each, Standard))
        logger = logger.parent if logger.propagate else None


def _is_console(handler: logging.Handler) -> bool:
    streams = (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__)
    stream = getattr(handler, "stream", None)
    return stream is not None and any(stream is each for each in streams)


def _is_kernels(record: logging.LogRecord) -> bool:
    return record.name == KERNEL or record.name.startswith(f"{KERNEL}.")


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit their text are no reason to lose it
        return str(record.msg)


def _level(number: int) -> Level:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"


# ---- what nobody catches


def _hook_threads() -> None:
    """Log what ends a thread, or goes wrong where nobody can be told, unless somebody else does."""
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _thread_failed
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _unraisable


def _unhook_threads() -> None:
    if threading.excepthook is _thread_failed:
        threading.excepthook = threading.__excepthook__
    if sys.unraisablehook is _unraisable:
        sys.unraisablehook = sys.__unraisablehook__


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_type is SystemExit:  # as `threading` itself has it
        return
    name = failed.thread.name if failed.thread else "a thread"
    logging.getLogger(f"{KERNEL}.threads").error("%s failed", name, exc_info=failed.exc_value)


def _unraisable(failed: "sys.UnraisableHookArgs") -> None:
    said = failed.err_msg or "an exception was ignored"
    logging.getLogger(f"{KERNEL}.threads").error("%s", said, exc_info=failed.exc_value)

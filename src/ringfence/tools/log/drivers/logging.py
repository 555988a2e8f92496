"""Records handed to the standard library's `logging`, for the handlers that a team has already.

A record goes to the logger `<application>.<plugin>`, with its fields as attributes. What libraries
and the kernel log is there anyway; on its way it gets trace and plugin, and its secrets masked.
"""

import logging
from typing import ClassVar

from msgspec import Struct

from ringfence.kernel.ports import Grant, ToolEnv
from ringfence.tools.log.contract import Level, Log, Record
from ringfence.tools.log.service import NUMBERS, Journal, Logger
from ringfence.tools.log.standard import KNOWN, TAKEN, Standard, show_last


class Config(Struct, frozen=True):
    """The keys of `[tools.log]` with `driver = "logging"`.

    Args:
        level: The least that is handed over, whatever the level of the logger.
        levels: The same for a logger, a domain or a plugin of its own, by name.
        hidden: Names of fields whose values are masked, beside those that look secret.
    """

    level: Level = "info"
    levels: dict[str, Level] = {}
    hidden: tuple[str, ...] = ()


class Driver:
    """Makes a `LogRecord` of each record; which handlers take it is for others to say."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self._app = env.app
        self._journal = Journal(self._hand_over, env, config.level, config.levels, config.hidden)
        self._standard = Standard(self._journal, env, taking="none", levels=config.levels)

    async def start(self) -> None:
        """Mask and mark what passes the root logger from now on."""
        self._standard.install()

    async def stop(self) -> None:
        """Leave the root logger as it was."""
        self._standard.remove()

    def handle(self, grant: Grant) -> Log:
        """Return the log of one plugin; each of its records names it."""
        return Logger(self._journal, grant.plugin)

    def _hand_over(self, record: Record, error: BaseException | None) -> None:
        name = f"{self._app}.{record.plugin}" if record.plugin else self._app
        logger = logging.getLogger(name)
        extra = {f"{key}_" if key in KNOWN else key: v for key, v in record.fields.items()}
        extra |= {
            own: getattr(record, own) for own in ("trace_id", "span_id", "operation", "plugin")
        }
        # Handlers may keep an error, and send more of it than its text: only one without a secret.
        whole = error is not None and not self._journal.values.holds_secret(error)
        info = (type(error), error, error.__traceback__) if error is not None and whole else None
        number = NUMBERS[record.level]
        made = logger.makeRecord(name, number, "", 0, record.message, (), info, extra=extra)
        if info is None and record.traceback:
            made.exc_text = record.traceback
        setattr(made, TAKEN, True)  # or it would come in again, at another application's door
        logger.handle(made)
        show_last(made)

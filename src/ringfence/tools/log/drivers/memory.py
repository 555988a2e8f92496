"""Records in memory, for a test to look at."""

from collections import deque
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from ringfence.kernel.ports import Grant, ToolEnv
from ringfence.tools.log.contract import Level, Record
from ringfence.tools.log.service import Journal, Logger
from ringfence.tools.log.standard import Standard


class Config(Struct, frozen=True):
    """The keys of `[tools.log]` with `driver = "memory"`.

    Args:
        level: The least that is kept.
        levels: The same for a logger, a domain or a plugin of its own, by name.
        hidden: Names of fields whose values are masked, beside those that look secret.
        size: How many records are kept; the oldest go first.
    """

    level: Level = "debug"
    levels: dict[str, Level] = {}
    hidden: tuple[str, ...] = ()
    size: Annotated[int, Meta(ge=1)] = 10_000


class Driver:
    """Keeps the newest records, those of the standard library's logging among them."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self.records: deque[Record] = deque(maxlen=config.size)
        self._journal = Journal(self._keep, env, config.level, config.levels, config.hidden)
        self._standard = Standard(self._journal, env, taking="all", levels=config.levels)

    async def start(self) -> None:
        """Listen to the standard library's logging from now on."""
        self._standard.install()

    async def stop(self) -> None:
        """Stop to listen; the records stay."""
        self._standard.remove()

    def handle(self, grant: Grant) -> "MemoryLog":
        """Return the log of one plugin; each of its records names it."""
        return MemoryLog(self._journal, grant.plugin, self.records)

    def _keep(self, record: Record, error: BaseException | None) -> None:
        self.records.append(record)


class MemoryLog(Logger):
    """A plugin's handle that shows what all of them wrote as `records`."""

    __slots__ = ("records",)

    def __init__(self, journal: Journal, plugin: str, records: deque[Record]) -> None:
        super().__init__(journal, plugin)
        self.records = records

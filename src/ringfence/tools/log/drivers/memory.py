"""Records in memory, for a test to look at."""

from collections import deque
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from ringfence.kernel.ports import Grant, ToolEnv
from ringfence.tools.log.contract import Level, Record
from ringfence.tools.log.service import Journal, KernelMessages, Logger


class Config(Struct, frozen=True):
    """The keys of `[tools.log]` with `driver = "memory"`.

    Args:
        level: The least that is kept.
        size: How many records are kept; the oldest go first.
    """

    level: Level = "debug"
    size: Annotated[int, Meta(ge=1)] = 10_000


class Driver:
    """Keeps the newest records, and listens to the kernel's messages."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self.records: deque[Record] = deque(maxlen=config.size)
        self._journal = Journal(self.records.append, env.clock, config.level)
        self._messages = KernelMessages(self._journal)

    async def start(self) -> None:
        """Listen to the kernel's messages from now on."""
        self._messages.install()

    async def stop(self) -> None:
        """Stop to listen; the records stay."""
        self._messages.remove()

    def handle(self, grant: Grant) -> "MemoryLog":
        """Return the log of one plugin; each of its records names it."""
        return MemoryLog(self._journal, grant.plugin, self.records)


class MemoryLog(Logger):
    """A plugin's handle that shows what all of them wrote as `records`."""

    __slots__ = ("records",)

    def __init__(self, journal: Journal, plugin: str, records: deque[Record]) -> None:
        super().__init__(journal, plugin)
        self.records = records

"""Figures in memory: for tests, and for an application that nobody collects from."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from acme_tools.metrics.contract import Metrics
from acme_tools.metrics.service import Meter
from ringfence.kernel.ports import Endpoint, Grant, StaticName, ToolEnv


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of `[tools.metrics]`.

    Args:
        most_series: Names, and sets of labels of one name, that are kept.
    """

    most_series: Annotated[int, Meta(ge=1)] = 1000


class Driver:
    """Keeps figures, and gives them to whoever asks: `await driver.exposed()`."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self._meter = Meter(config.most_series)
        self.exposed = self._meter.exposed

    async def start(self) -> None:
        """Do nothing: there is nothing to connect to."""

    async def stop(self) -> None:
        """Do nothing: the figures stay, and can be looked at."""

    def handle(self, grant: Grant) -> Metrics:
        """Return the figures; they are the same for all plugins."""
        return self._meter

    def bind(self, endpoints: Sequence[Endpoint], absent: Sequence[StaticName]) -> None:
        """Take the gauges."""
        self._meter.bind(endpoints)

    async def open(self) -> None:
        """Do nothing: gauges are read when somebody asks."""

    async def close(self, grace_s: float) -> None:
        """Do nothing: no gauge is being read."""

"""What the drivers of `metrics` share: the handle of a plugin, and the reading of gauges.

A driver has a `Meter`, which is both: it gives it to plugins, and hands it what the kernel binds.
"""

import logging
from collections.abc import Sequence

from acme_tools.metrics.contract import Gauge
from acme_tools.metrics.figures import Figures, Reading
from ringfence.errors import RingfenceError
from ringfence.kernel.ports import Endpoint

# The log of an application takes what is said on the logger `ringfence` and below it.
logger = logging.getLogger("ringfence.acme.metrics")


class Meter:
    """Implements `Metrics`; all plugins have the same one."""

    def __init__(self, most_series: int) -> None:
        self._figures = Figures(most_series)
        self._gauges: list[tuple[Gauge, Endpoint]] = []

    def count(self, name: str, by: float = 1, /, **labels: str) -> None:
        self._figures.add("counter", name, by, labels)

    def observe(self, name: str, value: float, /, **labels: str) -> None:
        self._figures.add("summary", name, value, labels)

    async def value(self, name: str, /, **labels: str) -> float:
        return self._figures.value(name, labels)

    def bind(self, endpoints: Sequence[Endpoint]) -> None:
        """Take the methods under `@gauge`."""
        for endpoint in endpoints:
            declaration = endpoint.declared.declaration
            if isinstance(declaration, Gauge):
                self._gauges.append((declaration, endpoint))

    async def exposed(self) -> str:
        """Read every gauge, and return all figures as text."""
        readings = [await self._read(gauge, endpoint) for gauge, endpoint in self._gauges]
        return self._figures.written(reading for reading in readings if reading is not None)

    async def _read(self, gauge: Gauge, endpoint: Endpoint) -> Reading | None:
        try:
            value = await endpoint.open(())
        except RingfenceError as error:  # its cause is recorded, by the kernel
            logger.warning("gauge %s could not be read: %s", gauge.name, error.code)
            self.count("metrics_unread_gauges_total", gauge=gauge.name)
            return None
        assert isinstance(value, int | float)  # the kernel has checked the result
        return Reading(gauge.name, gauge.help, value)

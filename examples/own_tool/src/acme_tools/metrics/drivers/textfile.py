"""Figures in a file, for the textfile collector of Prometheus' node exporter.

The file is written every few seconds, and once more when the application stops; a reader finds the
old one or the new one, never a part. A disk that fails costs the file, not the application.
"""

import asyncio
from asyncio import Task
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from acme_tools.metrics.contract import Metrics
from acme_tools.metrics.service import Meter, logger
from ringfence.errors import StartRefused
from ringfence.kernel.ports import Endpoint, Grant, StaticName, ToolEnv


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of `[tools.metrics]` with `driver = "textfile"`.

    Args:
        path: Of the file, from the application's folder; the folder that it is in must be there.
        every_s: Seconds from one writing to the next.
        most_series: Names, and sets of labels of one name, that are kept.
    """

    path: str = "metrics.prom"
    every_s: Annotated[float, Meta(ge=1)] = 15.0
    most_series: Annotated[int, Meta(ge=1)] = 1000


class Driver:
    """Writes figures down, again and again."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self._path = env.root / config.path
        self._every_s = config.every_s
        self._env = env
        self._meter = Meter(config.most_series)
        self._writing: Task[None] | None = None

    async def start(self) -> None:
        """Write once, so that a path that cannot be written refuses the start."""
        try:
            self._write(await self._meter.exposed())
        except OSError as error:
            raise StartRefused(
                f"tools.{self._env.instance}: {self._path} cannot be written: {error}. "
                "Give another `path`, or make its folder."
            ) from None

    async def stop(self) -> None:
        """Do nothing: `close` has ended the writing."""

    def handle(self, grant: Grant) -> Metrics:
        """Return the figures; they are the same for all plugins."""
        return self._meter

    def bind(self, endpoints: Sequence[Endpoint], absent: Sequence[StaticName]) -> None:
        """Take the gauges."""
        self._meter.bind(endpoints)

    async def open(self) -> None:
        """Write from now on."""
        self._writing = asyncio.create_task(self._write_on())

    async def close(self, grace_s: float) -> None:
        """End the writing; what has been counted until now is in the file."""
        if self._writing is not None:
            self._writing.cancel()
            with suppress(asyncio.CancelledError):
                await self._writing
        await self.settle()

    async def settle(self) -> None:
        """Write now."""
        text = await self._meter.exposed()
        try:
            await asyncio.to_thread(self._write, text)
        except OSError as error:  # a full disk: the figures are optional, and the next may fit
            logger.warning("%s cannot be written: %s", self._path, error)

    async def _write_on(self) -> None:
        while True:
            await self._env.clock.sleep(self._every_s)
            await self.settle()

    def _write(self, text: str) -> None:
        part = self._path.with_name(f"{self._path.name}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(self._path)

"""Answers at once, for every plugin alike."""

from typing import ClassVar

from msgspec import Struct
from tools.shelf.contract import Shelf

from ringfence.kernel.ports import Grant, ToolEnv


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """There is nothing to configure."""


class Driver:
    """Its own handle: it keeps nothing that belongs to a plugin."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def handle(self, grant: Grant) -> Shelf:
        return self

    async def count(self, *, sku: str) -> int:
        return len(sku)

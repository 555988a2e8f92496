"""The driver `memory`: files that are gone with the process; for tests, and for what may be lost.

Everything happens at once on the event loop, and a version is kept for as long as somebody reads
it. Made, started and stopped by the kernel, which hands out what `handle` returns.
"""

from asyncio import CancelledError
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from typing import Annotated, ClassVar, TypeVar

from msgspec import Meta, Struct

from ringfence.kernel.ports import Clock, Grant, ToolEnv
from ringfence.tools.files import content_types
from ringfence.tools.files.contract import FileExists, FileMissing, Files, StorageFull, Stored
from ringfence.tools.files.names import Place
from ringfence.tools.files.service import Handle, Limits, Order, require, subject

R = TypeVar("R")
Late = Callable[[R, CancelledError], None]


class Config(Struct, frozen=True):
    """The keys of `[tools.files]` for this driver.

    Args:
        max_file_bytes: How long a file may be.
        max_read_bytes: How long what `read` returns may be.
        max_total_bytes: How much all files may have; None: as much as there is.
    """

    max_file_bytes: Annotated[int, Meta(ge=1)] = 100 << 20
    max_read_bytes: Annotated[int, Meta(ge=1)] = 10 << 20
    max_total_bytes: Annotated[int, Meta(ge=1)] | None = None


class Driver:
    """Files in memory, behind the contract of `files`."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self._limits = Limits(config.max_file_bytes, config.max_read_bytes)
        self.store = Memory(env.clock, config.max_total_bytes)
        self.runner = Inline()

    async def start(self) -> None:
        """There is nothing to connect to."""

    async def stop(self) -> None:
        """There is nothing to release."""

    def handle(self, grant: Grant) -> Files:
        """Return the files as one plugin sees them."""
        return Handle(self, self._limits, grant)


class Inline:
    """The `Runner` of what never blocks."""

    async def do(self, call: Callable[[], R], late: Late[R] | None = None) -> R:
        return call()

    async def finish(self, call: Callable[[], None]) -> None:
        call()

    def leave(self, call: Callable[[], None]) -> None:
        call()


class Kept(Struct, frozen=True):
    """One version."""

    stored: Stored
    content: bytes

    @property
    def etag(self) -> str:
        return self.stored.etag

    @property
    def size_bytes(self) -> int:
        return self.stored.size_bytes

    def read(self, start: int, length: int) -> bytes:
        return self.content[start : start + length]

    def close(self) -> None:
        """There is nothing to let go of."""


class Memory:
    """The `Store`."""

    def __init__(self, clock: Clock, most_bytes: int | None) -> None:
        self._clock = clock
        self._most_bytes = most_bytes
        self._files: dict[str, Kept] = {}
        self._names: list[str] = []  # sorted
        self._versions = 0
        self.total_bytes = 0  # drafts included

    def draft(self, order: Order) -> "Draft":
        self.admit(order)
        return Draft(self, order)

    def open(self, place: Place) -> Kept:
        name = "/".join(place)
        kept = self._files.get(name)
        if kept is None:
            raise FileMissing("there is no such file.", subject=subject(name))
        return kept

    def stat(self, place: Place) -> Stored:
        return self.open(place).stored

    def delete(self, place: Place, if_match: str | None) -> None:
        kept = self.open(place)
        name = kept.stored.name
        if if_match is not None:
            require(name, if_match, kept.etag)
        self.total_bytes -= kept.size_bytes
        del self._files[name]
        del self._names[bisect_left(self._names, name)]

    def page(self, folder: Place, beginning: str, after: str, limit: int) -> list[Stored]:
        prefix = "/".join((*folder, beginning))
        first = max(bisect_left(self._names, prefix), bisect_right(self._names, after))
        names = self._names[first : first + limit]
        return [self._files[name].stored for name in names if name.startswith(prefix)]

    def admit(self, order: Order) -> None:
        """Raise what stands in an order's way."""
        above = ("/".join(order.place[:depth]) for depth in range(1, len(order.place)))
        taken = next((name for name in above if name in self._files), None)
        if taken is not None:
            raise FileExists("it is a file; expected a folder.", subject=subject(taken))
        below = f"{order.name}/"
        at = bisect_left(self._names, below)
        if at < len(self._names) and self._names[at].startswith(below):
            raise FileExists("it is the folder of other files.", subject=subject(order.name))
        there = self._files.get(order.name)
        order.admit(None if there is None else there.etag)

    def take(self, size_bytes: int) -> None:
        """Count bytes that are to be kept; raises StorageFull."""
        if self._most_bytes is not None and self.total_bytes + size_bytes > self._most_bytes:
            said = f"there is no room; all files may have {self._most_bytes} bytes."
            raise StorageFull(said, subject="files")
        self.total_bytes += size_bytes

    def keep(self, order: Order, content: bytes) -> Stored:
        """Put a version in its place."""
        name = order.name
        self._versions += 1
        there = self._files.get(name)
        if there is None:
            insort(self._names, name)
        else:
            self.total_bytes -= there.size_bytes
        stored = Stored(
            name=name,
            size_bytes=len(content),
            content_type=order.content_type or content_types.of_name(name),
            etag=f"{self._versions:x}-{len(content):x}",
            modified_at=self._clock.now(),
        )
        self._files[name] = Kept(stored, content)
        return stored


class Draft:
    """A file that is being written."""

    def __init__(self, store: Memory, order: Order) -> None:
        self._store = store
        self._order = order
        self._content = bytearray()
        self._over = False

    def append(self, piece: bytes) -> None:
        self._store.take(len(piece))
        self._content += piece

    def publish(self) -> Stored:
        self._store.admit(self._order)
        self._over = True
        return self._store.keep(self._order, bytes(self._content))

    def abandon(self) -> None:
        if not self._over:
            self._over = True
            self._store.total_bytes -= len(self._content)

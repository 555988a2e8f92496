"""What every driver of `files` shares: names, types, limits, and reading and writing in pieces.

A driver implements `Store`, which does one thing after another on the thread that it is called on,
and `Runner`, which says what thread that is; `Handle` is the `Files` that a plugin gets. Invariant:
what a store has begun is ended, abandoned or closed, whoever is cancelled and when.
"""

from asyncio import CancelledError
from collections.abc import AsyncIterable, AsyncIterator, Callable
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

from msgspec import Struct

from ringfence.errors import TransactionHeld
from ringfence.kernel.ports import Grant, current
from ringfence.tools.files import content_types
from ringfence.tools.files.contract import (
    Content,
    FileChanged,
    FileExists,
    FileTooLarge,
    Listing,
    StorageFailure,
    Stored,
    TooLargeToRead,
)
from ringfence.tools.files.names import Place, parse, parse_prefix

R = TypeVar("R")
PIECE_BYTES = 1 << 18  # what goes to a thread and back at once: a hop costs as much as 100 KiB
MOST_LISTED = 1000
COMMITTED = "committed: the cancellation came while the file was put in its place, and it was"


class Limits(Struct, frozen=True):
    """How much a file may have, and how much of it `read` returns."""

    file_bytes: int
    read_bytes: int


class Order(Struct, frozen=True):
    """Where a file is to be stored, and under which conditions.

    `content_type` is None where the name says it.
    """

    place: Place
    content_type: str | None
    overwrite: bool
    if_match: str | None

    @property
    def name(self) -> str:
        return "/".join(self.place)

    def admit(self, etag: str | None) -> None:
        """Refuse it if what is there forbids it: `etag`, or None for nothing.

        Raises:
            FileExists: There is something, and it is not to be overwritten.
            FileChanged: It is not what must be there.
        """
        if etag is not None and not self.overwrite:
            raise FileExists("there is such a file; expected none.", subject=subject(self.name))
        if self.if_match is not None:
            require(self.name, self.if_match, etag)


class Draft(Protocol):
    """A file that is being written and cannot be seen yet."""

    def append(self, piece: bytes) -> None: ...

    def publish(self) -> Stored:
        """Put it in its place, durably; raises what `Order.admit` does. It is over then."""
        ...

    def abandon(self) -> None:
        """Leave nothing of it; after `publish`, do nothing."""
        ...


class Opened(Protocol):
    """One version of a file, open."""

    @property
    def etag(self) -> str: ...

    @property
    def size_bytes(self) -> int: ...

    def read(self, start: int, length: int) -> bytes:
        """Return at most `length` bytes; none where there are no more."""
        ...

    def close(self) -> None:
        """Let go of it, once a `read` that another thread is in has ended; never waits."""
        ...


class Store(Protocol):
    """A driver, as this module sees it. Its methods block."""

    def draft(self, order: Order) -> Draft: ...

    def open(self, place: Place) -> Opened: ...

    def stat(self, place: Place) -> Stored: ...

    def delete(self, place: Place, if_match: str | None) -> None: ...

    def page(self, folder: Place, beginning: str, after: str, limit: int) -> list[Stored]:
        """Return files in order whose names begin so, after a name, `limit` at most."""
        ...


class Runner(Protocol):
    """Where the store's methods run."""

    async def do(
        self, call: Callable[[], R], late: Callable[[R, CancelledError], None] | None = None
    ) -> R:
        """Run `call`. Cancelled before it has begun it never does; cancelled later, its end is
        awaited, and a result that nobody gets is given to `late`."""
        ...

    async def finish(self, call: Callable[[], None]) -> None:
        """Run `call`, whoever is cancelled, and then pass the cancellation on."""
        ...

    def leave(self, call: Callable[[], None]) -> None:
        """Run `call` some time; for who cannot await any more."""
        ...


class Backend(Protocol):
    """Where a plugin's files are."""

    @property
    def store(self) -> Store: ...

    @property
    def runner(self) -> Runner: ...


class Handle:
    """The `Files` of one plugin."""

    def __init__(self, backend: Backend, limits: Limits, grant: Grant) -> None:
        self._backend = backend
        self._limits = limits
        self._grant = grant

    async def write(
        self,
        name: str,
        content: bytes | AsyncIterable[bytes],
        *,
        content_type: str | None = None,
        overwrite: bool = True,
        if_match: str | None = None,
    ) -> Stored:
        refuse_inside_transaction(self._grant, name)
        place = parse(name)
        kind = content_types.checked(content_type) if content_type else None
        if kind == content_types.of_name(place[-1]):
            kind = None
        order = Order(place, kind, overwrite, if_match)
        if not isinstance(content, AsyncIterable):
            whole, store = _bytes(content), self._backend.store
            self._expect_room(order, len(whole))
            return await self._backend.runner.do(lambda: _put(store, order, whole), _committed)
        return await self._write(order, content)

    async def _write(self, order: Order, content: AsyncIterable[bytes]) -> Stored:
        run, store = self._backend.runner, self._backend.store
        draft = await run.do(lambda: store.draft(order), lambda made, _: made.abandon())
        try:
            size_bytes = 0
            batch = bytearray()
            async for piece in content:
                batch += _bytes(piece)
                if len(batch) >= PIECE_BYTES:  # small ones go to a thread together
                    size_bytes += len(batch)
                    self._expect_room(order, size_bytes)
                    await run.do(partial(draft.append, bytes(batch)))
                    batch.clear()
            self._expect_room(order, size_bytes + len(batch))
            return await run.do(partial(_end, draft, bytes(batch)), _committed)
        except GeneratorExit:  # the coroutine was thrown away
            run.leave(draft.abandon)
            raise
        except BaseException:
            await run.finish(draft.abandon)
            raise

    def _expect_room(self, order: Order, size_bytes: int) -> None:
        limit = self._limits.file_bytes
        if size_bytes > limit:
            said = f"it is too long; expected at most {limit} bytes, got {size_bytes} or more."
            raise FileTooLarge(said, subject=subject(order.name))

    async def read(self, name: str) -> bytes:
        refuse_inside_transaction(self._grant, name)
        place = parse(name)
        store, limit = self._backend.store, self._limits.read_bytes
        return await self._backend.runner.do(lambda: _whole(store, place, limit))

    async def get(self, name: str) -> Content:
        return Version(self._backend, self._grant, await self.stat(name))

    async def stat(self, name: str) -> Stored:
        refuse_inside_transaction(self._grant, name)
        place = parse(name)
        return await self._backend.runner.do(partial(self._backend.store.stat, place))

    async def delete(self, name: str, *, if_match: str | None = None) -> None:
        refuse_inside_transaction(self._grant, name)
        place = parse(name)
        delete = partial(self._backend.store.delete, place, if_match)
        await self._backend.runner.do(delete, _committed)

    async def list(self, prefix: str = "", *, after: str = "", limit: int = 100) -> Listing:
        refuse_inside_transaction(self._grant, prefix)
        if not 1 <= limit <= MOST_LISTED:
            raise ValueError(f"files.list: expected a limit of 1 to {MOST_LISTED}, got {limit}")
        folder, beginning = parse_prefix(prefix)
        # One more than the page holds, which shows whether there is a next one.
        page = partial(self._backend.store.page, folder, beginning, after, limit + 1)
        found = await self._backend.runner.do(page)
        items = tuple(found[:limit])
        return Listing(items, items[-1].name if len(found) > limit else None)


class Version:
    """The `Content` of one version."""

    def __init__(self, backend: Backend, grant: Grant, stored: Stored) -> None:
        self._backend = backend
        self._grant = grant
        self._stored = stored

    @property
    def name(self) -> str:
        return self._stored.name

    @property
    def size_bytes(self) -> int:
        return self._stored.size_bytes

    @property
    def content_type(self) -> str:
        return self._stored.content_type

    @property
    def etag(self) -> str:
        return self._stored.etag

    @property
    def modified_at(self) -> datetime:
        return self._stored.modified_at

    async def stream(self, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        if start < 0 or (length is not None and length < 0):
            raise ValueError(
                f"files: a part begins at {start} and has {length}; expected 0 or more"
            )
        refuse_inside_transaction(self._grant, self.name)
        size_bytes = self._stored.size_bytes
        end = size_bytes if length is None else min(size_bytes, start + length)
        place = tuple(self.name.split("/"))
        run, store = self._backend.runner, self._backend.store
        opened = await run.do(lambda: store.open(place), lambda made, _: made.close())
        try:
            require(self.name, self.etag, opened.etag)
            while start < end:
                wanted = min(PIECE_BYTES, end - start)
                piece = await run.do(partial(opened.read, start, wanted))
                if not piece:
                    raise _shortened(self.name)
                start += len(piece)
                yield piece
        finally:
            opened.close()


def refuse_inside_transaction(grant: Grant, name: str) -> None:
    """Raise TransactionHeld if this context, or one around it, is inside a transaction."""
    context = current.get()
    while context is not None:
        if context.held is not None:
            raise TransactionHeld(
                f"{grant.plugin} asked for a file inside the transaction of"
                f" {context.held.holder}; whatever else writes would wait for it.",
                subject=subject(name),
                hint="Do it before the transaction or after it.",
            )
        context = context.parent


def require(name: str, wanted: str, etag: str | None) -> None:
    """Raise FileChanged unless the version `wanted` is there."""
    if etag != wanted:
        there = "no such file" if etag is None else f"version {etag}"
        said = f"it has changed; expected version {wanted!a:.80}, got {there}."
        raise FileChanged(said, subject=subject(name), hint="Read it again, and decide anew.")


def subject(name: str) -> str:
    """How messages show a file."""
    return f"files: {name!a:.200}"


def _bytes(content: object) -> bytes:
    if isinstance(content, bytes | bytearray | memoryview):
        return bytes(content)
    raise TypeError(
        f"files.write: expected bytes, or an asynchronous iterable of them such as"
        f" `upload.chunks()`, got {type(content).__name__}"
    )


def _put(store: Store, order: Order, content: bytes) -> Stored:
    """On the store's thread: all of a write at once."""
    draft = store.draft(order)
    try:
        draft.append(content)
        return draft.publish()
    finally:
        draft.abandon()


def _end(draft: Draft, content: bytes) -> Stored:
    """On the store's thread: the rest of a write."""
    if content:
        draft.append(content)
    return draft.publish()


def _whole(store: Store, place: Place, limit: int) -> bytes:
    """On the store's thread: all of a file at once."""
    opened = store.open(place)
    try:
        name, size_bytes = "/".join(place), opened.size_bytes
        if size_bytes > limit:
            raise _too_large(name, limit, size_bytes)
        content = b""
        while len(content) < size_bytes:
            piece = opened.read(len(content), size_bytes - len(content))
            if not piece:
                raise _shortened(name)
            content = content + piece if content else piece
        return content
    finally:
        opened.close()


def _too_large(name: str, limit: int, size_bytes: int) -> TooLargeToRead:
    said = f"it is too long to be read whole; expected at most {limit} bytes, got {size_bytes}."
    return TooLargeToRead(said, subject=subject(name), hint="Stream it: `(await get(…)).stream()`.")


def _shortened(name: str) -> StorageFailure:
    said = "it has become shorter while it was read; somebody else writes into it."
    return StorageFailure(said, subject=subject(name))


def _committed(result: object, cancelled: CancelledError) -> None:
    cancelled.add_note(COMMITTED)

"""The rows of a stream, whatever the driver: made by its first step, ended by whatever comes first.

A driver implements `Cursor`, which transports; `Stream` is what a feature iterates. Its `Lease` is
what a context owns, so that a stream that is dropped ends at once, and one that is kept ends with
its context. Invariant: a cursor is closed exactly when no row will be asked of it any more.
"""

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Generic, Protocol, TypeVar, cast

from ringfence.kernel.ports import Begin, Context
from ringfence.tools.db.contract import TransactionEnded, WrongTask
from ringfence.tools.db.rows import Shapes
from ringfence.tools.db.sql import Statement

T = TypeVar("T")
Chunk = list[tuple[object, ...]]
_NONE: Iterator[object] = iter(())
_END = object()


class Cursor(Protocol):
    """A driver's run of a reading statement, all of it on one snapshot."""

    @property
    def names(self) -> Sequence[str]:
        """The columns; known once rows have been asked for."""
        ...

    async def next(self) -> Chunk:
        """Return some rows, the first ones as soon as they are there; none: it is at its end.
        Cancelled, it has let go of the backend before it raises, or does so when it is closed."""
        ...

    def close(self) -> None:
        """Give the backend back. Called on any thread, at any time, more than once."""
        ...


class Lease:
    """What a stream holds of the backend; a block that its context ends without a word."""

    def __init__(self) -> None:
        self.cursor: Cursor | None = None
        self.owner: Context | None = None
        self.over = False

    def __str__(self) -> str:
        return ""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Give the backend back."""
        self.over = True
        cursor, self.cursor = self.cursor, None
        if cursor is not None:
            cursor.close()
        owner, self.owner = self.owner, None
        if owner is not None and owner.owned is not None:
            owner.owned.pop(self, None)


class Stream(Generic[T]):
    """The rows of one statement, once, in order.

    Args:
        open: Returns the statement and its cursor; called on the event loop, by the first step.
        shapes: Makes rows what is asked for.
        into: What that is.
        begin: The kernel's; see `ports.operation`.
    """

    def __init__(
        self,
        open: Callable[[], tuple[Statement, Cursor]],
        shapes: Shapes,
        into: type[T] | None,
        begin: Begin | None,
    ) -> None:
        self._open = open
        self._shapes = shapes
        self._into = into
        self._begin = begin
        self._lease = Lease()
        self._statement: Statement | None = None
        self._rows = _NONE
        self._busy = False
        self._over = False

    def __aiter__(self) -> "Stream[T]":
        return self

    async def __anext__(self) -> T:
        try:
            while (row := next(self._rows, _END)) is _END:
                if self._over:
                    raise StopAsyncIteration
                await self._go_on()
        except BaseException as error:
            if not isinstance(error, WrongTask):
                self._end()
            raise
        return cast(T, row)

    async def aclose(self) -> None:
        self._end()

    def __del__(self) -> None:
        self._lease.end()

    def _end(self) -> None:
        self._over, self._rows = True, _NONE
        self._lease.end()

    async def _go_on(self) -> None:
        """Get more rows, or find that there are none."""
        if self._busy:
            raise WrongTask(
                "two tasks step it at once; expected one.",
                subject="db.stream",
                hint="Give each task a stream of its own, or its rows through a queue.",
            )
        self._busy = True
        try:
            if self._statement is None:
                await self._start()
            if self._lease.cursor is None or self._statement is None:
                raise TransactionEnded(
                    "it was used after the context of its first row had ended.",
                    subject="db.stream",
                    hint="Iterate it where it was begun, or read all rows by fetch_all.",
                )
            cursor = self._lease.cursor
            rows = await cursor.next()
            self._over = not rows
            self._rows = self._shapes.each(self._statement, cursor.names, rows, self._into)
        finally:
            self._busy = False

    async def _start(self) -> None:
        if self._begin is not None:
            self._lease.owner = await self._begin(self._lease)
        self._statement, self._lease.cursor = self._open()

"""What `service.py` asks of a driver of `db`: an engine, and its open transactions.

Statements come prepared, and answers go back as they are; what they mean to a feature is not a
driver's business. Implemented by drivers.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from ringfence.errors import ToolError
from ringfence.tools.db.prepared import Params
from ringfence.tools.db.rows import Answer
from ringfence.tools.db.sql import Statement
from ringfence.tools.db.streams import Cursor
from ringfence.tools.db.work import Execute

R = TypeVar("R")

COMMITTED = "committed: the cancellation came after COMMIT had begun, and COMMIT succeeded"
NOT_COMMITTED = "not committed: the cancellation came after COMMIT had begun, and COMMIT failed"


class Session(Protocol):
    """A driver's open transaction. After `commit`, `rollback` or `undo`, whatever they raise, it is
    over and the next one goes ahead."""

    @property
    def alive(self) -> bool:
        """Whether the backend still has the transaction; a full disk may have ended it."""
        ...

    @property
    def ended(self) -> Callable[[], ToolError] | None:
        """What to raise for a transaction that the driver has ended: it lasted too long."""
        ...

    async def run(self, statement: Statement, params: Params) -> Answer: ...

    async def run_many(self, statement: Statement, rows: Sequence[Params]) -> int: ...

    async def mark(self, name: str) -> None:
        """Set a savepoint."""
        ...

    async def keep(self, name: str) -> None:
        """Release a savepoint, keeping what was done since."""
        ...

    async def rewind(self, name: str) -> None:
        """Undo what was done since a savepoint, and release it."""
        ...

    async def commit(self) -> None:
        """Make it durable. Cancelled once begun, it awaits the outcome and says it in a note:
        COMMITTED or NOT_COMMITTED."""
        ...

    async def rollback(self) -> None:
        """Undo it, and return when what it saw is certain: a failure that is told must be one."""
        ...

    def undo(self) -> None:
        """Undo it and return: for whoever is cancelled and tells nothing."""
        ...


S = TypeVar("S", bound=Session)


class Engine(Protocol):
    """A driver, as this module sees it."""

    async def read(self, statement: Statement, params: Params) -> Answer:
        """Run a reading statement against the last commit."""
        ...

    @property
    def dialect(self) -> str:
        """What SQLAlchemy calls the database."""
        ...

    def stream(self, statement: Statement, params: Params) -> Cursor:
        """Make a reading statement ready to be run piece by piece; touches nothing yet."""
        ...

    def begin(self, holder: str, hold_s: float | None) -> Awaitable[Session]:
        """Wait for the right to write, in order of asking, and open a transaction.

        Args:
            holder: The plugin that asks.
            hold_s: How long it may last; None for what is configured.
        """
        ...

    def work(
        self, holder: str, function: Callable[..., object], call: Callable[[Execute], R]
    ) -> Awaitable[R]:
        """Run a unit of work where the driver sees fit, in a transaction of its own, as `alone`
        does.

        Args:
            holder: The plugin that asks.
            function: What the author wrote: how long it takes is remembered by it.
            call: It, to be given the way to execute a statement.
        """
        ...


async def alone(opening: Awaitable[S], run: Callable[[S], Awaitable[R]]) -> R:
    """Run something in the transaction that is being opened: it is kept if that returns."""
    session = await opening
    try:
        result = await run(session)
    except Exception:
        await session.rollback()
        raise
    except BaseException:
        session.undo()
        raise
    await session.commit()
    return result

"""Transactions as features use them: whole ones and savepoints, to whom they belong, how they end.

Invariant: a context that holds a transaction never waits for another one, so no plugin can wait for
itself; a transaction belongs to one task. Relies on the kernel's proxy for one thing, that
`transaction()` runs in a context of its own, whose `held` is set here. Made by `service.py`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar, overload

from ringfence.errors import TransactionHeld
from ringfence.kernel.ports import Context, Envelope, Hold, current
from ringfence.tools.db.contract import (
    InvalidParameter,
    Row,
    Sql,
    Transaction,
    TransactionEnded,
    WrongTask,
)
from ringfence.tools.db.engine import Session, conclude
from ringfence.tools.db.prepared import Params
from ringfence.tools.db.rows import Answer
from ringfence.tools.db.sql import Statement
from ringfence.tools.db.work import Execute

if TYPE_CHECKING:
    from ringfence.tools.db.service import Handle

T = TypeVar("T")
R = TypeVar("R")
Shape = Callable[[Statement, Answer, T], R]


class Unit:
    """The `Transaction` that a feature works with: a whole one, or a savepoint inside `outer`."""

    def __init__(self, handle: "Handle", session: Session, outer: "Unit | None" = None) -> None:
        self.handle = handle
        self.session = session
        self.outer = outer
        self.root: Unit = self if outer is None else outer.root
        self.innermost = self  # of a root alone: where a failing statement does its damage
        self.depth: int = 0 if outer is None else outer.depth + 1
        self.task = asyncio.current_task()
        self.over = ""  # how it ended
        self.broken = ""  # the error after which only rollback is left
        self.published: list[Envelope] = []

    @property
    def holder(self) -> str:
        """The plugin that opened it."""
        return self.handle.grant.plugin

    @property
    def mark(self) -> str:
        """The savepoint's name."""
        return f"ringfence_{self.depth}"

    @overload
    async def fetch_all(self, sql: Sql, *params: object) -> list[Row]: ...

    @overload
    async def fetch_all(self, sql: Sql, *params: object, into: type[T]) -> list[T]: ...

    async def fetch_all(
        self, sql: Sql, *params: object, into: type[T] | None = None
    ) -> list[Row] | list[T]:
        return await self._run(sql, params, self.handle.shapes.all_rows, into)

    @overload
    async def fetch_one(self, sql: Sql, *params: object) -> Row | None: ...

    @overload
    async def fetch_one(self, sql: Sql, *params: object, into: type[T]) -> T | None: ...

    async def fetch_one(
        self, sql: Sql, *params: object, into: type[T] | None = None
    ) -> Row | T | None:
        return await self._run(sql, params, self.handle.shapes.first_row, into)

    @overload
    async def fetch_value(self, sql: Sql, *params: object) -> object: ...

    @overload
    async def fetch_value(self, sql: Sql, *params: object, into: type[T]) -> T: ...

    async def fetch_value(
        self, sql: Sql, *params: object, into: type[T] | None = None
    ) -> object | T:
        return await self._run(sql, params, self.handle.shapes.first_value, into)

    async def execute(self, sql: Sql, *params: object) -> int:
        return await self._run(sql, params, self.handle.shapes.changed, None)

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        self.use()
        statement, given = self.handle.statements.many(sql, rows)
        return await self._breaking(self.session.run_many(statement, given))

    def publish(self, event: object, *, delay_s: float | None = None) -> str:
        self.use()
        envelope = self.handle.sealed(event, delay_s)
        self.root.innermost.published.append(envelope)  # where a statement would be undone as well
        return envelope.id

    async def _run(self, sql: Sql, params: Params, shape: Shape[T, R], into: T) -> R:
        self.use()
        statement, params = self.handle.statements.given(sql, params)
        answer = await self._breaking(self.session.run(statement, params))
        return shape(statement, answer, into)

    async def _breaking(self, running: Awaitable[R]) -> R:
        """Await a statement; after its failure only rollback is left."""
        try:
            return await running
        except InvalidParameter:
            raise  # refused before it reached the backend
        except BaseException as error:
            self._break(f"{type(error).__name__}: {error}")
            raise

    async def write(self, call: Callable[[Execute], R]) -> R:
        """Run the kernel's own statements in it."""
        self.use()
        return await self._breaking(self.session.write(call))

    def use(self) -> None:
        """Raise unless the transaction may be used now, by this task."""
        over = self.over or self.root.over
        if over:
            raise TransactionEnded(
                f"it was used after it had {over}.",
                subject=f"transaction of {self.holder}",
                hint="Keep what uses `tx` inside its `async with`.",
            )
        if not self.belongs_here():
            raise WrongTask(
                "it was used by another task; expected the one that opened it.",
                subject=f"transaction of {self.holder}",
                hint="Use `tx` one statement after another; gather() has no place inside it.",
            )
        if self.session.ended is not None:
            raise self.session.ended()
        broken = self.root.innermost.broken or self.broken
        if broken:
            raise self.unusable(broken)

    def belongs_here(self) -> bool:
        """Whether the running task is the one that opened it."""
        return asyncio.current_task() is self.root.task

    def unusable(self, broken: str) -> TransactionEnded:
        """Return the error for use after a statement failed."""
        return TransactionEnded(
            f"a statement in it had failed ({broken}), so that only rollback was left.",
            subject=f"transaction of {self.holder}",
            hint="Put a statement that may fail in a `transaction()` of its own inside this one.",
        )

    def _break(self, reason: str) -> None:
        unit: Unit | None = self.root.innermost
        while unit is not None:
            unit.broken = unit.broken or reason
            # A savepoint contains the damage, unless the backend gave up the whole transaction.
            unit = None if self.session.alive else unit.outer

    async def end(self, error: BaseException | None) -> None:
        """Commit or roll back; over at once, before anything suspends."""
        if self.root.over:
            return  # an outer block was left before this one, and took it along
        session, broken = self.session, self.broken
        undo = error is not None or bool(broken)
        self.over = "been rolled back" if undo else "ended"
        if self.outer is not None:
            self.root.innermost = self.outer
            await (session.rewind(self.mark) if undo else session.keep(self.mark))
            if not undo:
                self.outer.published += self.published
        else:
            self.handle.units.discard(self)
            if not undo:
                await self._commit()
            elif error is None or isinstance(error, Exception):
                await session.rollback()
            else:  # cancelled, or thrown away: nobody hears of it
                session.undo()
        if broken and error is None:
            raise self.unusable(broken) if session.ended is None else session.ended()

    async def _commit(self) -> None:
        session, told = self.session, None
        if self.published:
            try:
                told = await conclude(session, self.handle.batch(self.published))
            except BaseException:
                session.undo()
                raise
        await session.commit(told)


class Block:
    """`async with db.transaction()`: decides between transaction, savepoint and refusal."""

    def __init__(self, handle: "Handle", hold_s: float | None) -> None:
        self._handle = handle
        self._hold_s = hold_s
        self._unit: Unit | None = None
        self._context: Context | None = None

    async def __aenter__(self) -> Transaction:
        if self._unit is not None:
            raise TransactionEnded("entered twice; expected one `async with` for each.")
        context = self._context = current.get()
        outer = self._enclosing(context)
        if outer is None:
            session = await self._handle.engine.begin(self._handle.grant.plugin, self._hold_s)
            unit = Unit(self._handle, session)
            self._handle.units.add(unit)
        else:
            unit = Unit(self._handle, outer.session, outer)
            await unit.session.mark(unit.mark)
            unit.root.innermost = unit
        self._unit = unit
        if context is not None:
            context.held = unit
        return unit

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._unit is not None
        try:
            await self._unit.end(error)
        finally:
            if self._context is not None:
                self._context.held = None

    def _enclosing(self, context: Context | None) -> Unit | None:
        """Return the transaction to set a savepoint in, or None; refuse what would deadlock."""
        if context is None:
            held: Hold | None = by_hand(self._handle.units)
        else:
            held = context.parent.held if context.parent is not None else None
        if held is None:
            return None
        plugin = self._handle.grant.plugin
        unit = held if isinstance(held, Unit) and held.handle.units is self._handle.units else None
        if unit is not None and unit.holder == plugin and unit.belongs_here():
            unit = unit.root.innermost
            unit.use()
            return unit
        raise TransactionHeld(
            f"{plugin} asked for a transaction inside the one that {held.holder} holds"
            f"{_why(unit, plugin)}.",
            subject=f"{self._handle.grant.instance}.transaction",
            hint="End that one first; what must happen together belongs to one plugin's one task.",
        )


def _why(unit: Unit | None, plugin: str) -> str:
    if unit is None:
        return ", on another database"
    return ", from another task" if unit.holder == plugin else ""


def by_hand(units: set[Unit]) -> Unit | None:
    """Return what this task holds, for work outside the kernel, where no context says it."""
    task = asyncio.current_task()
    return next((unit for unit in units if unit.task is task), None)

"""What every driver of `db` shares: the rules of transactions, and statements in and rows out.

A driver implements `Engine` and `Session`, which only transport; `Handles` makes the `Database`
that a plugin gets. Invariant: a context that holds a transaction never waits for another one, so
no plugin can wait for itself. Called by drivers; relies on the kernel's proxy for one thing, that
`transaction()` runs in a context of its own, whose `held` is set here.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol, TypeVar, overload

from ringfence.errors import TransactionHeld
from ringfence.kernel.ports import Context, Grant, Hold, current
from ringfence.tools.db.contract import (
    Database,
    InvalidParameter,
    Row,
    Transaction,
    TransactionEnded,
    WrongTask,
)
from ringfence.tools.db.rows import Answer, Shapes
from ringfence.tools.db.sql import Kind, Statement, Statements

T = TypeVar("T")
R = TypeVar("R")
Params = tuple[object, ...]
Shape = Callable[[Statement, Answer, T], R]

COMMITTED = "committed: the cancellation came after COMMIT had begun, and COMMIT succeeded"
NOT_COMMITTED = "not committed: the cancellation came after COMMIT had begun, and COMMIT failed"


class Session(Protocol):
    """A driver's open transaction. After `commit` or `rollback`, whatever they raise, it is over
    and the next one goes ahead."""

    @property
    def alive(self) -> bool:
        """Whether the backend still has the transaction; a full disk may have ended it."""
        ...

    async def run(self, statement: Statement, params: Params) -> Answer: ...

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

    async def rollback(self) -> None: ...


class Engine(Protocol):
    """A driver, as this module sees it."""

    async def read(self, statement: Statement, params: Params) -> Answer:
        """Run a reading statement against the last commit."""
        ...

    async def begin(self) -> Session:
        """Wait for the right to write, in order of asking, and open a transaction."""
        ...


class Handles:
    """One database's handles and the transactions open on it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._open: set[Unit] = set()
        self._statements: dict[Grant, Statements] = {}
        self._shapes = Shapes()

    def handle(self, grant: Grant) -> Database:
        """Return the `Database` of one plugin."""
        made = Statements(grant.domain, grant.plugin)
        statements = self._statements.setdefault(grant, made)
        return Handle(self._engine, grant, statements, self._shapes, self._open)


class Handle:
    """The `Database` of one plugin."""

    def __init__(
        self,
        engine: Engine,
        grant: Grant,
        statements: Statements,
        shapes: Shapes,
        units: "set[Unit]",
    ) -> None:
        self.engine = engine
        self.grant = grant
        self.statements = statements
        self.shapes = shapes
        self.units = units

    @overload
    async def fetch_all(self, sql: str, *params: object) -> list[Row]: ...

    @overload
    async def fetch_all(self, sql: str, *params: object, into: type[T]) -> list[T]: ...

    async def fetch_all(
        self, sql: str, *params: object, into: type[T] | None = None
    ) -> list[Row] | list[T]:
        return await self._run(sql, params, self.shapes.all_rows, into)

    @overload
    async def fetch_one(self, sql: str, *params: object) -> Row | None: ...

    @overload
    async def fetch_one(self, sql: str, *params: object, into: type[T]) -> T | None: ...

    async def fetch_one(
        self, sql: str, *params: object, into: type[T] | None = None
    ) -> Row | T | None:
        return await self._run(sql, params, self.shapes.first_row, into)

    @overload
    async def fetch_value(self, sql: str, *params: object) -> object: ...

    @overload
    async def fetch_value(self, sql: str, *params: object, into: type[T]) -> T: ...

    async def fetch_value(
        self, sql: str, *params: object, into: type[T] | None = None
    ) -> object | T:
        return await self._run(sql, params, self.shapes.first_value, into)

    async def execute(self, sql: str, *params: object) -> int:
        return await self._run(sql, params, self.shapes.changed, None)

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        return Block(self)

    async def _run(self, sql: str, params: Params, shape: Shape[T, R], into: T) -> R:
        statement = self.statements.of(sql)
        statement.expect(params)
        if statement.kind is Kind.READ:
            return shape(statement, await self.engine.read(statement, params), into)
        context = current.get()
        held = _by_hand(self.units) if context is None else context.held
        if held is not None:
            raise TransactionHeld(
                f"{self.grant.plugin} asked for a write of its own inside the transaction of "
                f"{held.holder}; it would wait for itself.",
                subject=statement.shown,
                hint="Run it through the transaction: `tx.execute(…)`.",
            )
        session = await self.engine.begin()
        try:
            result = shape(statement, await session.run(statement, params), into)
        except BaseException:
            await session.rollback()
            raise
        await session.commit()
        return result


class Unit:
    """The `Transaction` that a feature works with: a whole one, or a savepoint inside `outer`."""

    def __init__(self, handle: Handle, session: Session, outer: "Unit | None" = None) -> None:
        self.handle = handle
        self.session = session
        self.outer = outer
        self.root: Unit = self if outer is None else outer.root
        self.innermost = self  # of a root alone: where a failing statement does its damage
        self.depth: int = 0 if outer is None else outer.depth + 1
        self.task = asyncio.current_task()
        self.over = ""  # how it ended
        self.broken = ""  # the error after which only rollback is left

    @property
    def holder(self) -> str:
        """The plugin that opened it."""
        return self.handle.grant.plugin

    @property
    def mark(self) -> str:
        """The savepoint's name."""
        return f"ringfence_{self.depth}"

    @overload
    async def fetch_all(self, sql: str, *params: object) -> list[Row]: ...

    @overload
    async def fetch_all(self, sql: str, *params: object, into: type[T]) -> list[T]: ...

    async def fetch_all(
        self, sql: str, *params: object, into: type[T] | None = None
    ) -> list[Row] | list[T]:
        return await self._run(sql, params, self.handle.shapes.all_rows, into)

    @overload
    async def fetch_one(self, sql: str, *params: object) -> Row | None: ...

    @overload
    async def fetch_one(self, sql: str, *params: object, into: type[T]) -> T | None: ...

    async def fetch_one(
        self, sql: str, *params: object, into: type[T] | None = None
    ) -> Row | T | None:
        return await self._run(sql, params, self.handle.shapes.first_row, into)

    @overload
    async def fetch_value(self, sql: str, *params: object) -> object: ...

    @overload
    async def fetch_value(self, sql: str, *params: object, into: type[T]) -> T: ...

    async def fetch_value(
        self, sql: str, *params: object, into: type[T] | None = None
    ) -> object | T:
        return await self._run(sql, params, self.handle.shapes.first_value, into)

    async def execute(self, sql: str, *params: object) -> int:
        return await self._run(sql, params, self.handle.shapes.changed, None)

    async def _run(self, sql: str, params: Params, shape: Shape[T, R], into: T) -> R:
        self.use()
        statement = self.handle.statements.of(sql)
        statement.expect(params)
        try:
            answer = await self.session.run(statement, params)
        except InvalidParameter:
            raise  # refused before it reached the backend
        except BaseException as error:
            self._break(f"{type(error).__name__}: {error}")
            raise
        return shape(statement, answer, into)

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

    async def end(self, failed: bool) -> None:
        """Commit or roll back; over at once, before anything suspends."""
        if self.root.over:
            return  # an outer block was left before this one, and took it along
        broken = self.broken
        undo = failed or bool(broken)
        self.over = "been rolled back" if undo else "ended"
        if self.outer is not None:
            self.root.innermost = self.outer
            await (self.session.rewind(self.mark) if undo else self.session.keep(self.mark))
        else:
            self.handle.units.discard(self)
            await (self.session.rollback() if undo else self.session.commit())
        if broken and not failed:
            raise self.unusable(broken)


class Block:
    """`async with db.transaction()`: decides between transaction, savepoint and refusal."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._unit: Unit | None = None
        self._context: Context | None = None

    async def __aenter__(self) -> Transaction:
        if self._unit is not None:
            raise TransactionEnded("entered twice; expected one `async with` for each.")
        context = self._context = current.get()
        outer = self._enclosing(context)
        if outer is None:
            session = await self._handle.engine.begin()
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
            await self._unit.end(failed=kind is not None)
        finally:
            if self._context is not None:
                self._context.held = None

    def _enclosing(self, context: Context | None) -> Unit | None:
        """Return the transaction to set a savepoint in, or None; refuse what would deadlock."""
        if context is None:
            held: Hold | None = _by_hand(self._handle.units)
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


def _by_hand(units: set[Unit]) -> Unit | None:
    """Return what this task holds, for work outside the kernel, where no context says it."""
    task = asyncio.current_task()
    return next((unit for unit in units if unit.task is task), None)

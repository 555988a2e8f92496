"""What every driver of `db` shares: statements in and rows out, each in the transaction it needs.

A driver implements `engine.Engine`, which only transports; `Handles` makes the `Database` that a
plugin gets. `units.py` has the rules of transactions. Called by drivers.
"""

import math
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from types import CoroutineType, GeneratorType
from typing import TypeVar, overload

from ringfence.errors import TransactionHeld
from ringfence.kernel.ports import Begin, Grant, current
from ringfence.tools.db.contract import (
    Database,
    QueryError,
    Row,
    Rows,
    Sql,
    Transaction,
    UnitOfWork,
)
from ringfence.tools.db.engine import Engine, Session, alone
from ringfence.tools.db.prepared import Params, Prepared
from ringfence.tools.db.rows import Shapes
from ringfence.tools.db.sql import Kind, Statement, Statements
from ringfence.tools.db.streams import Cursor, Stream
from ringfence.tools.db.units import Block, Shape, Unit, by_hand
from ringfence.tools.db.work import Execute, Work

T = TypeVar("T")
R = TypeVar("R")
_NOT_RUN = (CoroutineType, GeneratorType)  # what a call returns of which nothing has run


class Handles:
    """One database's handles and the transactions open on it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._open: set[Unit] = set()
        self._statements: dict[Grant, Statements] = {}

    def handle(self, grant: Grant) -> Database:
        """Return the `Database` of one plugin."""
        made = Statements(grant.domain, grant.plugin)
        statements = self._statements.setdefault(grant, made)
        return Handle(self._engine, grant, statements, self._open)


class Handle:
    """The `Database` of one plugin."""

    def __init__(
        self,
        engine: Engine,
        grant: Grant,
        statements: Statements,
        units: "set[Unit]",
    ) -> None:
        self.engine = engine
        self.grant = grant
        self.statements = Prepared(statements, engine.dialect)
        self.shapes = Shapes()
        self.units = units
        self._run_subject = f"{grant.instance}.run"

    @overload
    async def fetch_all(self, sql: Sql, *params: object) -> list[Row]: ...

    @overload
    async def fetch_all(self, sql: Sql, *params: object, into: type[T]) -> list[T]: ...

    async def fetch_all(
        self, sql: Sql, *params: object, into: type[T] | None = None
    ) -> list[Row] | list[T]:
        return await self._run(sql, params, self.shapes.all_rows, into)

    @overload
    async def fetch_one(self, sql: Sql, *params: object) -> Row | None: ...

    @overload
    async def fetch_one(self, sql: Sql, *params: object, into: type[T]) -> T | None: ...

    async def fetch_one(
        self, sql: Sql, *params: object, into: type[T] | None = None
    ) -> Row | T | None:
        return await self._run(sql, params, self.shapes.first_row, into)

    @overload
    async def fetch_value(self, sql: Sql, *params: object) -> object: ...

    @overload
    async def fetch_value(self, sql: Sql, *params: object, into: type[T]) -> T: ...

    async def fetch_value(
        self, sql: Sql, *params: object, into: type[T] | None = None
    ) -> object | T:
        return await self._run(sql, params, self.shapes.first_value, into)

    async def execute(self, sql: Sql, *params: object) -> int:
        return await self._run(sql, params, self.shapes.changed, None)

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        statement, given = self.statements.many(sql, rows)

        async def run(session: Session) -> int:
            return await session.run_many(statement, given)

        return await self._alone(run, statement.shown)

    async def run(self, work: Callable[[UnitOfWork], R]) -> R:
        self._expect_alone(self._run_subject)

        def call(execute: Execute) -> R:
            unit = Work(execute, self.grant.plugin, self.statements, self.shapes)
            try:
                result = work(unit)
                if isinstance(result, _NOT_RUN):
                    result.close()
                    raise _not_plain(self._run_subject)
                if unit.broken:
                    raise unit.unusable()
                return result
            finally:
                unit.end()

        return await self.engine.work(self.grant.plugin, work, call)

    @overload
    def stream(self, sql: Sql, *params: object) -> Rows[Row]: ...

    @overload
    def stream(self, sql: Sql, *params: object, into: type[T]) -> Rows[T]: ...

    def stream(
        self,
        sql: Sql,
        *params: object,
        into: type[T] | None = None,
        begin: Begin | None = None,
    ) -> Rows[Row] | Rows[T]:
        return Stream(lambda: self._cursor(sql, params), self.shapes, into, begin)

    def _cursor(self, sql: Sql, params: Params) -> tuple[Statement, Cursor]:
        statement, params = self.statements.given(sql, params)
        if statement.kind is not Kind.READ:
            raise QueryError(
                "a stream only reads; expected SELECT.",
                subject=statement.shown,
                hint="Use fetch_all for the rows of RETURNING.",
            )
        return statement, self.engine.stream(statement, params)

    def transaction(
        self, *, hold_s: float | None = None
    ) -> AbstractAsyncContextManager[Transaction]:
        return Block(self, hold_s)

    async def _run(self, sql: Sql, params: Params, shape: Shape[T, R], into: T) -> R:
        statement, params = self.statements.given(sql, params)
        if statement.kind is Kind.READ:
            return shape(statement, await self.engine.read(statement, params), into)

        async def run(session: Session) -> R:
            return shape(statement, await session.run(statement, params), into)

        return await self._alone(run, statement.shown)

    async def _alone(self, run: Callable[[Session], Awaitable[R]], subject: str) -> R:
        """Run a statement in a transaction of its own."""
        self._expect_alone(subject)
        return await alone(self.engine.begin(self.grant.plugin, math.inf), run)

    def _expect_alone(self, subject: str) -> None:
        """Raise where a transaction is held, which a write of its own would wait for."""
        context = current.get()
        held = by_hand(self.units) if context is None else context.held
        if held is not None:
            raise TransactionHeld(
                f"{self.grant.plugin} asked for a write of its own inside the transaction of "
                f"{held.holder}; it would wait for itself.",
                subject=subject,
                hint="Run it through the transaction: `tx.execute(…)`.",
            )


def _not_plain(subject: str) -> QueryError:
    return QueryError(
        "expected a plain function, got an `async def` or a generator.",
        subject=subject,
        hint="Write it as `def`, without `yield`, or open a `transaction()`.",
    )

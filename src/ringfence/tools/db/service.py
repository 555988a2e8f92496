"""What every driver of `db` shares: statements in and rows out, each in the transaction it needs.

A driver implements `engine.Engine`, which only transports; `Handles` makes the `Database` that a
plugin gets. `units.py` has the rules of transactions. Called by drivers.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from types import CoroutineType, GeneratorType
from typing import TypeVar, overload

from ringfence.errors import TransactionHeld
from ringfence.kernel.ports import Begin, Clock, Envelope, Grant, Seal, current
from ringfence.tools.db.contract import (
    Database,
    NoEvents,
    QueryError,
    Row,
    Rows,
    Sql,
    Transaction,
    TransactionEnded,
    UnitOfWork,
)
from ringfence.tools.db.engine import Ending, Engine, Session, alone
from ringfence.tools.db.outbox import NONE, Batch, Lead, Outbox
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
    """One database's handles and the transactions open on it.

    Args:
        engine: The driver.
        seal: Makes an event an envelope, `ToolEnv.seal`; without it nothing can be published.
    """

    def __init__(self, engine: Engine, seal: Seal | None = None) -> None:
        self.engine = engine
        self.seal = seal
        self.open: set[Unit] = set()
        self.outbox: Outbox | None = None  # where this database keeps the application's events
        self._statements: dict[Grant, Statements] = {}

    def handle(self, grant: Grant) -> Database:
        """Return the `Database` of one plugin."""
        made = Statements(grant.domain, grant.plugin)
        statements = self._statements.setdefault(grant, made)
        return Handle(self, grant, statements)

    def events(self, grant: Grant, lead: Lead, clock: Clock) -> Outbox:
        """Return the store of the application's events, for a driver's `events()`.

        Args:
            grant: The kernel's.
            lead: What makes one process the only one that delivers.
            clock: The application's.
        """
        if self.outbox is None:
            made = Statements(grant.domain, grant.plugin)
            handle = Handle(self, grant, self._statements.setdefault(grant, made))
            self.outbox = Outbox(handle, Within(handle), lead, clock)
        return self.outbox

    async def stop(self) -> None:
        """Let another process deliver the events. For a driver that stops, before all else."""
        if self.outbox is not None:
            await self.outbox.close()


class Handle:
    """The `Database` of one plugin."""

    def __init__(self, handles: Handles, grant: Grant, statements: Statements) -> None:
        self.engine = handles.engine
        self.grant = grant
        self.statements = Prepared(statements, self.engine.dialect)
        self.shapes = Shapes()
        self.units = handles.open
        self._handles = handles
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
        self.expect_alone(self._run_subject)
        batch, context = self.batch([]), current.get()

        def publish(event: object, delay_s: float | None) -> str:
            before = current.set(context)  # on a thread there is none
            try:
                envelope = self.sealed(event, delay_s)
            finally:
                current.reset(before)
            batch.envelopes.append(envelope)
            return envelope.id

        def call(execute: Execute) -> R:
            unit = Work(execute, self.grant.plugin, self.statements, self.shapes, publish)
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

        return await self.engine.work(self.grant.plugin, work, call, batch)

    def sealed(self, event: object, delay_s: float | None) -> Envelope:
        """Return an event's envelope, spent from the budget; see `Transaction.publish`."""
        seal, outbox, grant = self._handles.seal, self._handles.outbox, self.grant
        if seal is None or outbox is None:
            raise NoEvents(
                f"{grant.plugin} published {type(event).__name__} in it; expected the database "
                "that keeps the application's events.",
                subject=grant.instance,
                hint="Publish in a transaction of that one, or with the tool `events`.",
            )
        outbox.expect_open()
        return seal(event, grant.plugin, grant.domain, delay_s)

    def batch(self, envelopes: list[Envelope]) -> Batch:
        """Return events to be written with the transaction that they were published in."""
        outbox = self._handles.outbox
        return NONE if outbox is None else outbox.batch(envelopes)

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
        self.expect_alone(subject)
        return await alone(self.engine.begin(self.grant.plugin, math.inf), run)

    def expect_alone(self, subject: str) -> None:
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


class Within:
    """What the outbox needs of the database beyond its contract. Serves `outbox.Writes`."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def run(
        self, steps: Iterable[Callable[[UnitOfWork], R]], ending: Ending | None = None
    ) -> list[R]:
        async def work(session: Session) -> list[R]:
            results: list[R] = []
            for step in steps:
                if results:
                    await asyncio.sleep(0)
                results.append(await session.write(self._call(step)))
            return results

        opening = self._handle.engine.begin(self._handle.grant.plugin, math.inf)
        return await alone(opening, work, ending)

    async def within(self, work: Callable[[UnitOfWork], R]) -> R:
        context, units = current.get(), self._handle.units
        held = by_hand(units) if context is None else context.held
        if not isinstance(held, Unit) or held.handle.units is not units:
            raise TransactionEnded("expected a transaction of this database.", subject="events")
        return await held.write(self._call(work))

    def expect_alone(self, subject: str) -> None:
        self._handle.expect_alone(subject)

    def unit(self, execute: Execute) -> UnitOfWork:
        handle = self._handle
        return Work(execute, handle.grant.plugin, handle.statements, handle.shapes, _never)

    def _call(self, work: Callable[[UnitOfWork], R]) -> Callable[[Execute], R]:
        return lambda execute: work(self.unit(execute))


def _never(event: object, delay_s: float | None) -> str:
    raise TransactionEnded("the kernel publishes nothing here.", subject="events")


def _not_plain(subject: str) -> QueryError:
    return QueryError(
        "expected a plain function, got an `async def` or a generator.",
        subject=subject,
        hint="Write it as `def`, without `yield`, or open a `transaction()`.",
    )

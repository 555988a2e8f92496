"""The contract of the `db` tool: what a feature may ask of a database, and what it is promised.

Owns `Database`, `Transaction` and the closed list of errors that they raise; no driver raises
another. Every driver keeps every guarantee written here, and `conformance.py` proves it.

    ToolError
    ├ ConstraintViolation   409   the data refused; the four below say which rule did
    │ ├ UniqueViolation   ├ ForeignKeyViolation   ├ CheckViolation   └ NotNullViolation
    ├ InvalidParameter      422   a value that the database cannot hold
    ├ ForeignTable          500   a table of another domain
    ├ QueryError · RowMismatch · NoRow · NoEvents       500   a mistake in a feature
    ├ TransactionEnded · HeldTooLong · WrongTask        500   likewise
    └ ToolUnavailable       503   SerializationFailure · Busy · StorageFailure: try again
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar, overload

from ringfence.errors import ToolError, ToolUnavailable
from ringfence.kernel.ports import contract, operation

T = TypeVar("T")
R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)
Row = dict[str, object]


class Clause(Protocol):
    """A statement of SQLAlchemy Core, as far as types tell; which are taken, `Queries` says."""

    @property
    def is_select(self) -> bool:
        """Whether it is a SELECT."""
        ...

    def compile(self) -> object:
        """Return its text and parameters, as SQLAlchemy writes them."""
        ...


Sql = str | Clause


class ConstraintViolation(ToolError, code="db.constraint_violation"):
    """The data refused the statement; its effect was undone. The subclasses say which rule."""

    status = 409


class UniqueViolation(ConstraintViolation, code="db.unique_violation"):
    """A row with that key is there already."""


class ForeignKeyViolation(ConstraintViolation, code="db.foreign_key_violation"):
    """A row that is referred to is missing, or a row that is still referred to was removed."""


class CheckViolation(ConstraintViolation, code="db.check_violation"):
    """A `CHECK`, a trigger, or the declared type of a strict table's column refused a value."""


class NotNullViolation(ConstraintViolation, code="db.not_null_violation"):
    """A column that must have a value was given none."""


class InvalidParameter(ToolError, code="db.invalid_parameter"):
    """A parameter that the database cannot hold: an integer past 64 bits, a NaN, a text with a
    NUL, something too large, an object that has no plain data. The error never shows the value."""

    status = 422


class QueryError(ToolError, code="db.query_error"):
    """The statement is wrong: syntax, a name, the number of its parameters, or its kind."""


class ForeignTable(ToolError, code="db.foreign_table"):
    """The statement uses a table that is not its domain's; the message names the owner. Nothing
    was read or written."""


class RowMismatch(ToolError, code="db.row_mismatch"):
    """A row does not fit the type that `into=` asks for. The error never shows the row."""


class NoRow(ToolError, code="db.no_row"):
    """`fetch_value` found no row to take a value from."""


class NoEvents(ToolError, code="db.no_events"):
    """An event was published in a transaction of a database that keeps none."""


class TransactionEnded(ToolError, code="db.transaction_ended"):
    """The transaction is over, or one of its statements failed and only rollback is left; or a
    stream's context is over."""


class HeldTooLong(ToolError, code="db.held_too_long"):
    """A transaction kept all others from writing for too long, and was rolled back."""


class WrongTask(ToolError, code="db.wrong_task"):
    """A transaction was used by another task than the one that opened it, or a stream by two; or
    a database on another event loop than the one that it was started on."""


class SerializationFailure(ToolUnavailable, code="db.serialization_failure"):
    """Another transaction was faster; nothing was done, and repeating the whole is safe."""


class Busy(ToolUnavailable, code="db.busy"):
    """Somebody else holds the database's lock and did not let go in time; nothing was done."""


class StorageFailure(ToolUnavailable, code="db.storage_failure"):
    """The disk is full or failing, or the file is damaged; the transaction was rolled back."""


class Queries(Protocol):
    """What a `Database` and a `Transaction` have in common: one statement at a time.

    Statements are SQL with parameters `$1`, `$2`, …, each of which may occur several times; or
    those of SQLAlchemy Core (`select`, `insert`, `update`, `delete`, `text`), which bring their
    values with them. Schema and session statements (`CREATE`, `PRAGMA`, `BEGIN`, …) are refused:
    the schema is made by migrations, a transaction by `transaction()`.

    Parameters are data, whatever is in them, and what goes in comes out where `into=` asks for it:

        bool  int (64 bits)  float (no NaN)  str (no NUL)  bytes  Decimal  UUID  Enum of these
        datetime (aware: comes back in UTC; microseconds)  date  time (without a zone)
        dict  list  Struct  dataclass  pydantic model (as JSON)  None (as NULL)

    The tables of a domain are those that its own migrations create, as are its views, which use
    these alone. Any other table raises ForeignTable, or is as if it were not there.
    """

    @overload
    async def fetch_all(self, sql: Sql, *params: object) -> list[Row]: ...

    @overload
    async def fetch_all(self, sql: Sql, *params: object, into: type[T]) -> list[T]: ...

    @operation(spends="queries")
    async def fetch_all(
        self, sql: Sql, *params: object, into: type[T] | None = None
    ) -> list[Row] | list[T]:
        """Return all rows of a statement, in its order.

        Args:
            sql: One statement that returns rows.
            params: The values of `$1`, `$2`, …, in that order.
            into: A Struct, dataclass, TypedDict or pydantic model to read each row as, columns by
                name; columns that it does not name are left out. A field that is itself a dict, a
                list or one of these is read from JSON. Without it each row is a dict of values as
                the database has them.

        Raises:
            RowMismatch: A row does not fit `into`, or two columns have one name.
            TransactionHeld: A writing statement on the `Database` while this context holds a
                transaction.
            ToolError: Any other error of this module, as the statement's fault may be.

        Guarantees:
            On a `Database` a reading statement sees the last commit and never waits for a writer;
            a writing one (`INSERT … RETURNING`) is a transaction of its own, as in `execute`.
            On a `Transaction` it sees what the transaction has written. Cancelled, it has no
            effect, or, where it was already committing, says `committed`.
        """
        ...

    @overload
    async def fetch_one(self, sql: Sql, *params: object) -> Row | None: ...

    @overload
    async def fetch_one(self, sql: Sql, *params: object, into: type[T]) -> T | None: ...

    @operation(spends="queries")
    async def fetch_one(
        self, sql: Sql, *params: object, into: type[T] | None = None
    ) -> Row | T | None:
        """Return the first row of a statement, or None when it has none.

        Args, errors and guarantees are those of `fetch_all`.
        """
        ...

    @overload
    async def fetch_value(self, sql: Sql, *params: object) -> object: ...

    @overload
    async def fetch_value(self, sql: Sql, *params: object, into: type[T]) -> T: ...

    @operation(spends="queries")
    async def fetch_value(
        self, sql: Sql, *params: object, into: type[T] | None = None
    ) -> object | T:
        """Return the first column of the first row.

        Args:
            sql: One statement that returns a row: `INSERT … RETURNING id`, `SELECT count(*) …`.
            params: The values of `$1`, `$2`, …, in that order.
            into: The type of the value, one that is made of others being read from JSON; without
                it, the value as the database has it.

        Raises:
            NoRow: The statement returned no row. Where that is expected, use `fetch_one`.
            RowMismatch: The value is not an `into`; a NULL is none, unless by `COALESCE`.
            ToolError: As for `fetch_all`.

        Guarantees: Those of `fetch_all`.
        """
        ...

    @operation(spends="queries")
    async def execute(self, sql: Sql, *params: object) -> int:
        """Run a statement and return the number of rows that it inserted, updated or deleted.

        Args:
            sql: One statement; rows that it returns are dropped.
            params: The values of `$1`, `$2`, …, in that order.

        Returns:
            The rows changed by the statement itself, not by triggers or foreign keys; 0 for one
            that only reads.

        Raises:
            TransactionHeld: On the `Database`, while this context holds a transaction: it would
                wait for itself. Use the transaction.
            ToolError: Any other error of this module.

        Guarantees:
            On a `Database` it is a transaction of its own, durable when this returns. It happens
            wholly or not at all. Cancelled before its commit has begun, it has no effect; after
            that its outcome is awaited, and the cancellation carries the note `committed`.
        """
        ...

    @operation(spends="queries")
    async def execute_many(self, sql: str, rows: Iterable[tuple[object, ...]]) -> int:
        """Run a writing statement once for each row of parameters, and return the rows changed.

        Args:
            sql: One statement that writes; rows that it returns are dropped.
            rows: The values of `$1`, `$2`, … of each run.

        Raises:
            QueryError: It only reads, or a row has too many values or too few; nothing was done.
            ToolError: As for `execute`.

        Guarantees:
            All runs are one unit: those of `execute`. It spends one query of the budget, however
            many rows there are.
        """
        ...


class UnitOfWork(Protocol):
    """What the function given to `run` works with: the methods of `Queries`, without `await`.

    It may run on the event loop or on a thread of the database, so it does nothing but its
    statements and what lies between them: it does not wait for anything, and is not to be used
    once it has ended.
    """

    @overload
    def fetch_all(self, sql: Sql, *params: object) -> list[Row]: ...

    @overload
    def fetch_all(self, sql: Sql, *params: object, into: type[T]) -> list[T]: ...

    def fetch_all(
        self, sql: Sql, *params: object, into: type[T] | None = None
    ) -> list[Row] | list[T]:
        """Return all rows; as `Queries.fetch_all`."""
        ...

    @overload
    def fetch_one(self, sql: Sql, *params: object) -> Row | None: ...

    @overload
    def fetch_one(self, sql: Sql, *params: object, into: type[T]) -> T | None: ...

    def fetch_one(self, sql: Sql, *params: object, into: type[T] | None = None) -> Row | T | None:
        """Return the first row, or None; as `Queries.fetch_one`."""
        ...

    @overload
    def fetch_value(self, sql: Sql, *params: object) -> object: ...

    @overload
    def fetch_value(self, sql: Sql, *params: object, into: type[T]) -> T: ...

    def fetch_value(self, sql: Sql, *params: object, into: type[T] | None = None) -> object | T:
        """Return the first column of the first row; as `Queries.fetch_value`."""
        ...

    def execute(self, sql: Sql, *params: object) -> int:
        """Run a statement and return the number of rows that it changed."""
        ...

    def execute_many(self, sql: str, rows: Iterable[tuple[object, ...]]) -> int:
        """Run a statement once for each row of parameters, and return the rows changed."""
        ...

    def publish(self, event: object, *, delay_s: float | None = None) -> str:
        """Publish an event if this unit of work is kept; as `Transaction.publish`."""
        ...


class Transaction(Queries, Protocol):
    """A unit of work: what is done through it becomes visible to others together, or never.

    Guarantees:
        Belongs to the task that opened it; another task that uses it gets WrongTask. Used after
        its end it raises TransactionEnded. After a statement fails in the database, only
        rollback is left; to carry on after an expected failure, put that statement in a
        `transaction()` of its own inside this one.
    """

    def publish(self, event: object, *, delay_s: float | None = None) -> str:
        """Publish an event with what the transaction writes: both are kept, or neither is.

        Args:
            event: An instance of a class under `@event`, of a topic of the plugin's own domain.
            delay_s: Seconds from now, before which it is not delivered.

        Returns:
            The event's id.

        Raises:
            NoEvents: Another database keeps the application's events.
            NotGranted: Its class is no event of the domain.
            BudgetExceeded: The context has published as many as it may.
            TransactionEnded: As for a statement; likewise WrongTask and HeldTooLong.
            ToolUnavailable: The application's subscriptions are not known yet.

        Guarantees:
            It is stored by the transaction's COMMIT, and delivered from then on at least once to
            each subscription. What a savepoint published is dropped with it when it is rolled
            back. Those of one transaction are delivered in the order of publishing, those of
            several in the order of their commits.
        """
        ...


class Rows(Protocol[T_co]):
    """The rows of a stream: an async iterator."""

    def __aiter__(self) -> AsyncIterator[T_co]: ...

    async def __anext__(self) -> T_co: ...

    async def aclose(self) -> None:
        """End it before its last row; one that has ended stays so."""
        ...


@contract("db")
class Database(Queries, Protocol):
    """A relational database: statements on their own, and transactions.

    A plugin asks for it by a field `db: Database`.
    """

    @operation(spends="queries")
    async def run(self, work: Callable[[UnitOfWork], R]) -> R:
        """Run a unit of work: a plain function of several statements, as one transaction.

        It is the fastest way to read, decide and write: nothing is awaited between its statements,
        and the database is held for no longer than they take.

        Args:
            work: A `def`, given a `UnitOfWork`. It runs once.

        Returns:
            What `work` returns.

        Raises:
            TransactionHeld: This context is inside a transaction.
            HeldTooLong: It took longer than a transaction may; nothing of it was kept.
            TransactionEnded: A failed statement's error was swallowed; nothing of it was kept.
            ToolError: Any other error of this module.
            Exception: What `work` raises; nothing of it was kept.

        Guarantees:
            Those of `transaction`. It spends one query of the budget. Cancelled, a statement in
            progress is ended and nothing is kept; but a function that computes is not stopped.
        """
        ...

    @overload
    def stream(self, sql: Sql, *params: object) -> Rows[Row]: ...

    @overload
    def stream(self, sql: Sql, *params: object, into: type[T]) -> Rows[T]: ...

    @operation(spends="queries", iterates=True)
    def stream(self, sql: Sql, *params: object, into: type[T] | None = None) -> Rows[Row] | Rows[T]:
        """Read a result of any size: `async for row in self.db.stream("SELECT …", into=Order)`.

        A transaction has no stream: while its rows were worked on, no other writer could go on.

        Args:
            sql: One statement that only reads.
            params: The values of `$1`, `$2`, …, in that order.
            into: As for `fetch_all`.

        Returns:
            The rows, in order, to be iterated once. It raises at its first step what `fetch_all`
            would raise at once, and RowMismatch at the row that does not fit.

        Raises:
            QueryError: The statement writes.
            Busy: As many streams are open as may be, and none has ended within the time that the
                driver waits for a lock.
            WrongTask: Two tasks step it at once.

        Guarantees:
            All rows are of one commit, the last one before the first step, whatever is written
            meanwhile. Rows come as they are found, and are never all in memory. It holds up
            neither writers nor other reads. Left before its end, by `break`, by an error or by
            cancellation, it is ended by whatever ends its last reference, and at the latest with
            the context of its first step. Spends one query.
        """
        ...

    @operation(yields=Transaction)
    def transaction(
        self, *, hold_s: float | None = None
    ) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction: `async with self.db.transaction() as tx`.

        Opened again by the same plugin in the same task, inside another, it is a savepoint: its
        failure undoes its own part alone.

        Args:
            hold_s: Seconds that it may last, as it may keep others from writing; by default what
                is configured, 0.25. Of a savepoint it is that of the transaction around it.

        Returns:
            A context manager that commits when the block ends, and rolls back when it raises.

        Raises:
            TransactionHeld: This context is inside a transaction of another plugin, of another
                database, or of the task that started this one.
            TransactionEnded: At the block's end, when a failed statement's error was swallowed.
            Busy: Another process holds the database's lock.
            HeldTooLong: It lasted too long and was rolled back; at its next use, or at its end.
            StorageFailure: At the block's end: the commit failed, and nothing was kept.
            SerializationFailure: At the block's end: what it shared a commit with made that fail.

        Guarantees:
            Transactions that write run one after another or as if they did (serializable), are
            granted in the order of asking, and are durable when the block has ended. Several may
            share one commit; nobody outside sees anything of them before it, and none of them
            ends before it, one that fails included: what it failed by may have been another's.
            Cancelled,
            it is rolled back and the next one goes ahead; once the commit has begun, its outcome
            is awaited, and the cancellation carries a note that says `committed`.
        """
        ...

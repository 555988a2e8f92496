"""The contract of the `db` tool: what a feature may ask of a database, and what it is promised.

Owns `Database`, `Transaction` and the closed list of errors that they raise; no driver raises
another. Every driver keeps every guarantee written here, and `conformance.py` proves it.

    ToolError
    ├ ConstraintViolation   409   the data refused; the four below say which rule did
    │ ├ UniqueViolation   ├ ForeignKeyViolation   ├ CheckViolation   └ NotNullViolation
    ├ InvalidParameter      422   a value that the database cannot hold
    ├ ForeignTable          500   a table of another domain
    ├ QueryError · RowMismatch · NoRow · TransactionEnded · WrongTask   500   a mistake in a feature
    └ ToolUnavailable       503   SerializationFailure · Busy · StorageFailure: try again
"""

from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar, overload

from ringfence.errors import ToolError, ToolUnavailable
from ringfence.kernel.ports import contract, operation

T = TypeVar("T")
Row = dict[str, object]


class ConstraintViolation(ToolError, code="db.constraint_violation"):
    """The data refused the statement; its effect was undone. The subclasses say which rule."""

    status = 409


class UniqueViolation(ConstraintViolation, code="db.unique_violation"):
    """A row with that key is there already."""


class ForeignKeyViolation(ConstraintViolation, code="db.foreign_key_violation"):
    """A row that is referred to is missing, or a row that is still referred to was removed."""


class CheckViolation(ConstraintViolation, code="db.check_violation"):
    """A `CHECK`, or the declared type of a strict table's column, refused a value."""


class NotNullViolation(ConstraintViolation, code="db.not_null_violation"):
    """A column that must have a value was given none."""


class InvalidParameter(ToolError, code="db.invalid_parameter"):
    """A parameter that the database cannot hold: an integer past 64 bits, a NaN, a list."""

    status = 422


class QueryError(ToolError, code="db.query_error"):
    """The statement is wrong: syntax, a name, the number of its parameters, or its kind."""


class ForeignTable(ToolError, code="db.foreign_table"):
    """The statement uses a table that is not its domain's; the message names the owner. Nothing
    was read or written."""


class RowMismatch(ToolError, code="db.row_mismatch"):
    """A row does not fit the type that `into=` asks for."""


class NoRow(ToolError, code="db.no_row"):
    """`fetch_value` found no row to take a value from."""


class TransactionEnded(ToolError, code="db.transaction_ended"):
    """The transaction is over, or one of its statements failed and only rollback is left."""


class WrongTask(ToolError, code="db.wrong_task"):
    """A transaction was used by another task than the one that opened it."""


class SerializationFailure(ToolUnavailable, code="db.serialization_failure"):
    """Another transaction was faster; nothing was done, and repeating the whole is safe."""


class Busy(ToolUnavailable, code="db.busy"):
    """Somebody else holds the database's lock and did not let go in time; nothing was done."""


class StorageFailure(ToolUnavailable, code="db.storage_failure"):
    """The disk is full or failing, or the file is damaged; the transaction was rolled back."""


class Queries(Protocol):
    """What a `Database` and a `Transaction` have in common: one statement at a time.

    Statements are SQL with parameters `$1`, `$2`, …, each of which may occur several times.
    Parameters are `None`, `bool`, `int`, `float`, `str`, `bytes`, `datetime`, `date`, `time`,
    `Decimal`, `UUID` or an `Enum` of these. Schema and session statements (`CREATE`, `PRAGMA`,
    `BEGIN`, …) are refused: the schema is made by migrations, a transaction by `transaction()`.

    The tables of a domain are those that its own migrations create, as are its views, which use
    these alone. Any other table raises ForeignTable, or is as if it were not there.
    """

    @overload
    async def fetch_all(self, sql: str, *params: object) -> list[Row]: ...

    @overload
    async def fetch_all(self, sql: str, *params: object, into: type[T]) -> list[T]: ...

    @operation(spends="queries")
    async def fetch_all(
        self, sql: str, *params: object, into: type[T] | None = None
    ) -> list[Row] | list[T]:
        """Return all rows of a statement, in its order.

        Args:
            sql: One statement that returns rows.
            params: The values of `$1`, `$2`, …, in that order.
            into: A Struct, dataclass or TypedDict to read each row as, columns by name; columns
                that it does not name are left out. Without it each row is a dict.

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
    async def fetch_one(self, sql: str, *params: object) -> Row | None: ...

    @overload
    async def fetch_one(self, sql: str, *params: object, into: type[T]) -> T | None: ...

    @operation(spends="queries")
    async def fetch_one(
        self, sql: str, *params: object, into: type[T] | None = None
    ) -> Row | T | None:
        """Return the first row of a statement, or None when it has none.

        Args, errors and guarantees are those of `fetch_all`.
        """
        ...

    @overload
    async def fetch_value(self, sql: str, *params: object) -> object: ...

    @overload
    async def fetch_value(self, sql: str, *params: object, into: type[T]) -> T: ...

    @operation(spends="queries")
    async def fetch_value(
        self, sql: str, *params: object, into: type[T] | None = None
    ) -> object | T:
        """Return the first column of the first row.

        Args:
            sql: One statement that returns a row: `INSERT … RETURNING id`, `SELECT count(*) …`.
            params: The values of `$1`, `$2`, …, in that order.
            into: The type of the value; without it, the value as the database has it.

        Raises:
            NoRow: The statement returned no row. Where that is expected, use `fetch_one`.
            RowMismatch: The value is not an `into`; a NULL is none, unless `COALESCE`d.
            ToolError: As for `fetch_all`.

        Guarantees: Those of `fetch_all`.
        """
        ...

    @operation(spends="queries")
    async def execute(self, sql: str, *params: object) -> int:
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


class Transaction(Queries, Protocol):
    """A unit of work: what is done through it becomes visible to others together, or never.

    Guarantees:
        Belongs to the task that opened it; another task that uses it gets WrongTask. Used after
        its end it raises TransactionEnded. After a statement fails in the database, only
        rollback is left; to carry on after an expected failure, put that statement in a
        `transaction()` of its own inside this one.
    """


@contract("db")
class Database(Queries, Protocol):
    """A relational database: statements on their own, and transactions.

    A plugin asks for it by a field `db: Database`.
    """

    @operation(yields=Transaction)
    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction: `async with self.db.transaction() as tx`.

        Opened again by the same plugin in the same task, inside another, it is a savepoint: its
        failure undoes its own part alone.

        Returns:
            A context manager that commits when the block ends, and rolls back when it raises.

        Raises:
            TransactionHeld: This context is inside a transaction of another plugin, of another
                database, or of the task that started this one.
            TransactionEnded: At the block's end, when a failed statement's error was swallowed.
            Busy: Another process holds the database's lock.
            StorageFailure: At the block's end: the commit failed, and nothing was kept.

        Guarantees:
            Transactions that write run one after another or as if they did (serializable), are
            granted in the order of asking, and are durable when the block has ended. Cancelled,
            it is rolled back and the next one goes ahead; once the commit has begun, its outcome
            is awaited, and the cancellation carries a note that says `committed`.
        """
        ...

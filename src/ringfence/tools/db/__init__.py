"""The tool `db`: a relational database behind one contract; driver `sqlite`.

A feature asks for it by a field `db: Database`, and takes a transaction by a parameter
`tx: Transaction`. Importing this package loads no driver.
"""

from ringfence.kernel.ports import ToolSpec
from ringfence.tools.db.contract import (
    Busy,
    CheckViolation,
    Clause,
    ConstraintViolation,
    Database,
    ForeignKeyViolation,
    ForeignTable,
    HeldTooLong,
    InvalidParameter,
    NoEvents,
    NoRow,
    NotNullViolation,
    Queries,
    QueryError,
    Row,
    RowMismatch,
    Rows,
    SerializationFailure,
    StorageFailure,
    Transaction,
    TransactionEnded,
    UniqueViolation,
    UnitOfWork,
    WrongTask,
)
from ringfence.tools.db.migrations import check

__all__ = [
    "SPEC",
    "Busy",
    "CheckViolation",
    "Clause",
    "ConstraintViolation",
    "Database",
    "ForeignKeyViolation",
    "ForeignTable",
    "HeldTooLong",
    "InvalidParameter",
    "NoEvents",
    "NoRow",
    "NotNullViolation",
    "Queries",
    "QueryError",
    "Row",
    "RowMismatch",
    "Rows",
    "SerializationFailure",
    "StorageFailure",
    "Transaction",
    "TransactionEnded",
    "UniqueViolation",
    "UnitOfWork",
    "WrongTask",
]

SPEC = ToolSpec(
    name="db",
    contract=Database,
    package="ringfence.tools.db",
    default_driver="sqlite",
    request_values={Transaction: "transaction"},
    check=check,
)

"""What a feature gives as a statement, and its parameters, made ready to be run.

Text goes to the domain's `Statements`, what SQLAlchemy Core has made to its compiler first. What is
learned of the latter belongs to one plugin, so that none of its tables outlives it. Called by
`service.py`.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ringfence.tools.db.contract import QueryError, Sql
from ringfence.tools.db.sql import Kind, Statement, Statements

if TYPE_CHECKING:
    from ringfence.tools.db.core import Compiler

Params = tuple[object, ...]


class Prepared:
    """The statements of one plugin.

    Args:
        statements: Those of its domain.
        dialect: SQLAlchemy's name for the database.
    """

    def __init__(self, statements: Statements, dialect: str) -> None:
        self._statements = statements
        self._dialect = dialect
        self._compiler: Compiler | None = None

    def given(self, sql: Sql, params: Params) -> tuple[Statement, Params]:
        """Return a statement and its parameters, of which there are as many as it takes.

        Raises:
            QueryError: It is none that a feature may run, or wants other parameters.
        """
        if not isinstance(sql, str):
            sql, params = self._compiled(sql, params)
        statement = self._statements.of(sql)
        if len(params) != statement.parameters:
            statement.expect(params)
        return statement, params

    def many(self, sql: str, rows: Iterable[object]) -> tuple[Statement, Sequence[Params]]:
        """Return a writing statement and its rows of parameters, each as many as it takes."""
        statement = self._statements.of(sql)
        if statement.kind is Kind.READ:
            raise QueryError(
                "it only reads; expected INSERT, UPDATE, DELETE or REPLACE.",
                subject=statement.shown,
                hint="Use fetch_all.",
            )
        given = [row if isinstance(row, tuple) else _row(row, statement) for row in rows]
        for row in given:
            statement.expect(row)
        return statement, given

    def _compiled(self, clause: object, params: Params) -> tuple[str, Params]:
        if sys.modules.get("sqlalchemy") is None:  # so that it is none of its statements either
            raise not_sql(clause)
        if self._compiler is None:
            from ringfence.tools.db.core import Compiler

            self._compiler = Compiler(self._dialect)
        if params:
            raise QueryError(
                f"a statement of SQLAlchemy brings its values with it; got {len(params)} more.",
                subject="db",
                hint="Use `.values(…)`, or `.params(name=value)` for a `bindparam`.",
            )
        return self._compiler.text_of(clause)


def not_sql(given: object) -> QueryError:
    """Return the error for what is no statement at all."""
    return QueryError(
        f"expected a statement as text or of SQLAlchemy Core, got a {type(given).__name__}.",
        subject="db",
    )


def _row(row: object, statement: Statement) -> Params:
    """Take a list, or a row of SQLAlchemy, for the tuple that it stands for."""
    if isinstance(row, Sequence) and not isinstance(row, (str, bytes, bytearray)):
        return tuple(row)
    raise QueryError(
        f"a row is a tuple of the values of $1, $2, …; got {type(row).__name__}.",
        subject=statement.shown,
        hint="Give a single value as `(value,)`.",
    )

"""A unit of work as the function given to `run` sees it: the same statements, without `await`.

Made by `service.py` for one run of the function, on whatever thread a driver chooses. Invariant:
when the function has ended, it refuses.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar, overload

from ringfence.errors import ToolError
from ringfence.tools.db.contract import InvalidParameter, Row, Sql, TransactionEnded
from ringfence.tools.db.prepared import Params, Prepared
from ringfence.tools.db.rows import Answer, Shapes
from ringfence.tools.db.sql import Statement

T = TypeVar("T")
R = TypeVar("R")
Execute = Callable[[Statement, Params], Answer]
Publish = Callable[[object, float | None], str]


class Work:
    """What a function under `run` works with."""

    __slots__ = ("_execute", "_holder", "_publish", "_shapes", "_statements", "broken")

    def __init__(
        self,
        execute: Execute,
        holder: str,
        statements: Prepared,
        shapes: Shapes,
        publish: Publish,
    ) -> None:
        self.broken = ""  # the error after which only rollback is left
        self._execute: Execute | None = execute
        self._holder = holder
        self._publish = publish
        self._statements = statements
        self._shapes = shapes

    @overload
    def fetch_all(self, sql: Sql, *params: object) -> list[Row]: ...

    @overload
    def fetch_all(self, sql: Sql, *params: object, into: type[T]) -> list[T]: ...

    def fetch_all(
        self, sql: Sql, *params: object, into: type[T] | None = None
    ) -> list[Row] | list[T]:
        return self._run(sql, params, self._shapes.all_rows, into)

    @overload
    def fetch_one(self, sql: Sql, *params: object) -> Row | None: ...

    @overload
    def fetch_one(self, sql: Sql, *params: object, into: type[T]) -> T | None: ...

    def fetch_one(self, sql: Sql, *params: object, into: type[T] | None = None) -> Row | T | None:
        return self._run(sql, params, self._shapes.first_row, into)

    @overload
    def fetch_value(self, sql: Sql, *params: object) -> object: ...

    @overload
    def fetch_value(self, sql: Sql, *params: object, into: type[T]) -> T: ...

    def fetch_value(self, sql: Sql, *params: object, into: type[T] | None = None) -> object | T:
        return self._run(sql, params, self._shapes.first_value, into)

    def execute(self, sql: Sql, *params: object) -> int:
        return self._run(sql, params, self._shapes.changed, None)

    def execute_many(self, sql: str, rows: Iterable[tuple[object, ...]]) -> int:
        _, given = self._statements.many(sql, rows)
        return sum(self.execute(sql, *params) for params in given)

    def publish(self, event: object, *, delay_s: float | None = None) -> str:
        self._use()
        return self._publish(event, delay_s)

    def end(self) -> None:
        """Refuse from now on."""
        self._execute = None

    def _run(
        self, sql: Sql, params: Params, shape: Callable[[Statement, Answer, T], R], into: T
    ) -> R:
        if self._execute is None:
            raise self._over()
        statement, params = self._statements.given(sql, params)
        if self.broken:
            raise self.unusable()
        try:
            answer = self._execute(statement, params)
        except InvalidParameter:
            raise  # refused before it reached the backend
        except ToolError as error:
            self.broken = f"{type(error).__name__}: {error}"
            raise
        return shape(statement, answer, into)

    def _use(self) -> None:
        if self._execute is None:
            raise self._over()
        if self.broken:
            raise self.unusable()

    def _over(self) -> TransactionEnded:
        return TransactionEnded(
            "it was used after its function had ended.",
            subject=f"unit of work of {self._holder}",
            hint="Return what you need of it.",
        )

    def unusable(self) -> TransactionEnded:
        """Return the error for going on after a statement has failed."""
        return TransactionEnded(
            f"a statement in it had failed ({self.broken}), so that only rollback was left.",
            subject=f"unit of work of {self._holder}",
            hint="Let the error out; what may fail and be gone on from belongs in a transaction().",
        )

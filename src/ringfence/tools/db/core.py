"""Statements of SQLAlchemy Core: compiled for the database's dialect into text and parameters.

Imported with the first such statement, so nothing else here needs SQLAlchemy. Only its compiler is
used: values go the way of all parameters, whatever their column's type. Invariant: what a default
or a type that is not SQLAlchemy's own would do to a value in Python is refused, not left out.
Called by `prepared.py`.
"""

from importlib import import_module

from sqlalchemy import Compiled, Dialect
from sqlalchemy.exc import InvalidRequestError, SQLAlchemyError
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.cache_key import CacheKey
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import JSON, TypeDecorator, TypeEngine

from ringfence.tools.db.contract import QueryError
from ringfence.tools.db.prepared import not_sql

# Shapes of statements that one database keeps compiled.
MOST_COMPILED = 512


class Compiler:
    """Compiles statements for one database.

    Args:
        dialect: SQLAlchemy's name for it, `sqlite`.
    """

    def __init__(self, dialect: str) -> None:
        module = import_module(f"sqlalchemy.dialects.{dialect}")
        self._dialect: Dialect = module.dialect(paramstyle="numeric_dollar")
        self._compiled: dict[object, SQLCompiler] = {}

    def text_of(self, clause: object) -> tuple[str, tuple[object, ...]]:
        """Return a statement's text, with `$1`, `$2`, …, and their values.

        Raises:
            QueryError: It is of the ORM, lacks a value, or would be changed in Python.
        """
        if not isinstance(clause, ClauseElement):
            raise not_sql(clause)
        if clause._propagate_attrs.get("compile_state_plugin") == "orm":
            raise QueryError(
                "it selects mapped classes; expected the tables and columns of SQLAlchemy Core.",
                subject="db",
                hint="Use `Class.__table__`, and into= for the rows.",
            )
        try:
            return self._rendered(clause)
        except SQLAlchemyError as error:
            # Only what is known to hold no value is told.
            text = f": {error.args[0]}" if isinstance(error, InvalidRequestError) else ""
            raise QueryError(
                f"SQLAlchemy cannot render it ({type(error).__name__}{text}).",
                subject=f"db: {type(clause).__name__}",
            ) from None

    def _rendered(self, clause: ClauseElement) -> tuple[str, tuple[object, ...]]:
        key = clause._generate_cache_key()
        compiled = None if key is None else self._compiled.get(key.key)
        if compiled is None:
            made = self._made(clause, key)
            if not isinstance(made, SQLCompiler):
                return str(made), ()  # a statement about the schema, which is refused as text
            _expect_no_work(made)
            compiled = made
            if key is not None:
                if len(self._compiled) >= MOST_COMPILED:
                    del self._compiled[next(iter(self._compiled))]
                self._compiled[key.key] = made
        # Those of `.params(…)` are beside the statement from 2.1 on.
        given: dict[str, object] = dict(getattr(key, "params", None) or {})
        binds = None if key is None else key.bindparams
        found = compiled.construct_params(given, extracted_parameters=binds)
        state = compiled.construct_expanded_state(found)
        return state.statement, tuple(state.positional_parameters)

    def _made(self, clause: ClauseElement, key: CacheKey | None) -> Compiled:
        if key is None:
            return clause.compile(dialect=self._dialect)
        return clause.compile(dialect=self._dialect, cache_key=key)


def _expect_no_work(compiled: SQLCompiler) -> None:
    """Refuse what SQLAlchemy would compute in Python when it executes the statement itself."""
    column = next(iter([*compiled.insert_prefetch, *compiled.update_prefetch]), None)
    if column is not None:
        raise QueryError(
            f"column {column.name} has a default that is made in Python; expected its value.",
            subject="db",
            hint="Give the value, or use server_default.",
        )
    for bind in compiled.binds.values():
        if _converts(bind.type):
            raise QueryError(
                f"{bind.key} is of the type {type(bind.type).__name__}, which changes values in "
                "Python; expected a type of SQLAlchemy's own.",
                subject="db",
                hint="Convert the value before, and the rows with into=.",
            )


def _converts(kind: TypeEngine[object]) -> bool:
    own = type(kind).__module__.startswith("sqlalchemy.")
    return isinstance(kind, TypeDecorator | JSON.JSONElementType) or not own

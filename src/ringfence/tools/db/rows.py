"""What a driver answers, and how rows become what `into=` asks for.

Owns the conversion: by msgspec, tolerant where a database has no type of its own (booleans as 0
and 1, times as text). Text is never taken for bytes. Called by `service.py` alone.
"""

from typing import TypeVar

import msgspec
from msgspec import Struct

from ringfence.tools.db.contract import NoRow, Row, RowMismatch
from ringfence.tools.db.sql import Statement

T = TypeVar("T")


class Answer(Struct):
    """What one run of a statement gave: the columns' names, the rows, the rows changed."""

    names: tuple[str, ...]
    rows: list[tuple[object, ...]]
    changed: int


def all_rows(statement: Statement, answer: Answer, into: type[T] | None) -> list[Row] | list[T]:
    """Return every row as a dict, or as an `into`."""
    dicts = _dicts(statement, answer.names, answer.rows)
    return dicts if into is None else [_convert(statement, row, into) for row in dicts]


def first_row(statement: Statement, answer: Answer, into: type[T] | None) -> Row | T | None:
    """Return the first row as a dict or as an `into`; None when there is none."""
    if not answer.rows:
        return None
    row = _dicts(statement, answer.names, answer.rows[:1])[0]
    return row if into is None else _convert(statement, row, into)


def first_value(statement: Statement, answer: Answer, into: type[T] | None) -> object | T:
    """Return the first row's first column."""
    if not answer.rows:
        raise NoRow(
            "it returned no row; expected one.",
            subject=statement.shown,
            hint="Where no row is a normal answer, use fetch_one, which returns None.",
        )
    value = answer.rows[0][0]
    return value if into is None else _convert(statement, value, into)


def changed_rows(statement: Statement, answer: Answer, into: None) -> int:
    """Return how many rows the statement changed."""
    return answer.changed


def _dicts(
    statement: Statement, names: tuple[str, ...], rows: list[tuple[object, ...]]
) -> list[Row]:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise RowMismatch(
            f"two columns are called {twice}; expected names that differ.",
            subject=statement.shown,
            hint=f"Give one another name: `… AS other_{twice}`.",
        )
    return [dict(zip(names, row, strict=True)) for row in rows]


def _convert(statement: Statement, value: object, into: type[T]) -> T:
    try:
        return msgspec.convert(value, into, strict=False, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        name = getattr(into, "__name__", str(into))
        raise RowMismatch(
            f"the row does not fit {name}: {error}.",
            subject=statement.shown,
            hint="Select what the type declares; a column that may be NULL is `… | None`.",
        ) from None

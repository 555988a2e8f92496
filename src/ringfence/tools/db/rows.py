"""What a driver answers, and how rows become what `into=` asks for.

Owns the conversion: strictly by msgspec, but for booleans, which some databases have as 0 and 1.
Invariant: no value is guessed; text is neither a number nor bytes. Called by `service.py` alone.
"""

from typing import TypeVar
from weakref import WeakKeyDictionary

import msgspec
from msgspec import Struct, inspect

from ringfence.tools.db.contract import NoRow, Row, RowMismatch
from ringfence.tools.db.sql import Statement

T = TypeVar("T")

_NONE: frozenset[str] = frozenset()
_FIELDED = (
    inspect.StructType,
    inspect.DataclassType,
    inspect.TypedDictType,
    inspect.NamedTupleType,
)


class Answer(Struct):
    """What one run of a statement gave: the columns' names, the rows, the rows changed."""

    names: tuple[str, ...]
    rows: list[tuple[object, ...]]
    changed: int


class Shapes:
    """Gives answers the shape that a caller asks for; remembers what it learns of types."""

    def __init__(self) -> None:
        # Weak, so that no class of a plugin that was replaced is kept alive.
        self._booleans: WeakKeyDictionary[type, frozenset[str]] = WeakKeyDictionary()

    def all_rows(
        self, statement: Statement, answer: Answer, into: type[T] | None
    ) -> list[Row] | list[T]:
        """Return every row as a dict, or as an `into`."""
        dicts = _dicts(statement, answer.names, answer.rows)
        if into is None:
            return dicts
        booleans = self._known(into)
        return [_row(statement, row, into, booleans) for row in dicts]

    def first_row(
        self, statement: Statement, answer: Answer, into: type[T] | None
    ) -> Row | T | None:
        """Return the first row as a dict or as an `into`; None when there is none."""
        if not answer.rows:
            return None
        row = _dicts(statement, answer.names, answer.rows[:1])[0]
        return row if into is None else _row(statement, row, into, self._known(into))

    def first_value(self, statement: Statement, answer: Answer, into: type[T] | None) -> object | T:
        """Return the first row's first column."""
        if not answer.rows:
            raise NoRow(
                "it returned no row; expected one.",
                subject=statement.shown,
                hint="Where no row is a normal answer, use fetch_one, which returns None.",
            )
        value = answer.rows[0][0]
        if into is None:
            return value
        if self._known(into):
            value = _boolean(value)
        return _convert(statement, value, into)

    def changed(self, statement: Statement, answer: Answer, into: None) -> int:
        """Return how many rows the statement changed."""
        return answer.changed

    def _known(self, into: type) -> frozenset[str]:
        known = self._booleans.get(into)
        if known is None:
            known = self._booleans[into] = _booleans(into)
        return known


def _booleans(into: type) -> frozenset[str]:
    """Return the columns that are booleans; for a type without columns, itself under ''."""
    info = inspect.type_info(into)
    if isinstance(info, _FIELDED):
        return frozenset(each.encode_name for each in info.fields if _is_boolean(each.type))
    return frozenset({""}) if _is_boolean(info) else _NONE


def _is_boolean(info: inspect.Type) -> bool:
    if isinstance(info, inspect.Metadata):
        return _is_boolean(info.type)
    if isinstance(info, inspect.UnionType):
        numeric = any(isinstance(each, inspect.IntType) for each in info.types)
        return not numeric and any(map(_is_boolean, info.types))
    return isinstance(info, inspect.BoolType)


def _boolean(value: object) -> object:
    return bool(value) if type(value) is int and value in (0, 1) else value


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


def _row(statement: Statement, row: Row, into: type[T], booleans: frozenset[str]) -> T:
    for name in booleans:
        if name in row:
            row[name] = _boolean(row[name])
    return _convert(statement, row, into)


def _convert(statement: Statement, value: object, into: type[T]) -> T:
    try:
        return msgspec.convert(value, into, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        name = getattr(into, "__name__", str(into))
        raise RowMismatch(
            f"the row does not fit {name}: {error}.",
            subject=statement.shown,
            hint="Select what the type declares; a column that may be NULL is `… | None`.",
        ) from None

"""What a driver answers, and how rows become what `into=` asks for.

Owns the conversion: strictly by msgspec, but for what databases have no type for: booleans may be 0
and 1, and text is JSON where a value is made of others.
Invariant: no value is guessed, and none is shown in an error; text is neither a number nor bytes,
and a float is no Decimal. Called by `service.py` alone.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import msgspec
from msgspec import Struct, inspect, json

from ringfence.contracts.payload import carry_in, describe, members
from ringfence.tools.db.contract import NoRow, Row, RowMismatch
from ringfence.tools.db.sql import Statement

T = TypeVar("T")
Values = Sequence[object]
Mend = Callable[[object], object]

# Types that one database reads as; what is made within a function must not pile up.
MOST_TYPES = 256
_COMPOSED = (
    inspect.StructType,
    inspect.DataclassType,
    inspect.TypedDictType,
    inspect.NamedTupleType,
    inspect.DictType,
    inspect.ListType,
    inspect.TupleType,
    inspect.VarTupleType,
    inspect.SetType,
    inspect.FrozenSetType,
)
# Beside these in a union, text is not JSON.
_PLAIN = (inspect.NoneType, inspect.BoolType, inspect.IntType, inspect.FloatType)
# msgspec shows the value where it is none of an Enum, of a Literal or of a tag.
_SHOWN_VALUE = re.compile(r"(Invalid (?:enum )?value) .*?(?= - at `|$)", re.DOTALL)


class Answer(Struct):
    """What one run of a statement gave: the columns' names, the rows, the rows changed."""

    names: tuple[str, ...]
    rows: list[tuple[object, ...]]
    changed: int


class _Unfit(ValueError):
    """A column's value is none that its field takes; the text says why, without the value."""


class Shapes:
    """Gives answers the shape that one plugin asks for; remembers what it learned of types."""

    def __init__(self) -> None:
        self._rows: dict[object, dict[str, Mend]] = {}
        self._values: dict[object, dict[str, Mend]] = {}

    def all_rows(
        self, statement: Statement, answer: Answer, into: type[T] | None
    ) -> list[Row] | list[T]:
        """Return every row as a dict, or as an `into`."""
        rows = self.each(statement, answer.names, answer.rows, into)
        return list(rows)  # type: ignore[return-value]

    def first_row(
        self, statement: Statement, answer: Answer, into: type[T] | None
    ) -> Row | T | None:
        """Return the first row as a dict or as an `into`; None when there is none."""
        return next(self.each(statement, answer.names, answer.rows, into), None)

    def each(
        self,
        statement: Statement,
        names: Sequence[str],
        rows: Sequence[tuple[object, ...]],
        into: type[T] | None,
    ) -> Iterator[Row | T]:
        """Return rows one after another, each made when it is asked for."""
        if len(set(names)) < len(names):
            raise _twice(statement, next(name for name in names if names.count(name) > 1))
        dicts = (dict(zip(names, row, strict=True)) for row in rows)
        if into is None:
            return dicts
        mends = _known(self._rows, into, _mends_of_fields, statement)
        return (_convert(statement, _mended(statement, row, mends), into) for row in dicts)

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
        mends = _known(self._values, into, _mends_of_value, statement)
        return _convert(statement, _mended(statement, {"": value}, mends)[""], into)

    def changed(self, statement: Statement, answer: Answer, into: None) -> int:
        """Return how many rows the statement changed."""
        return answer.changed


def _known(
    known: dict[object, dict[str, Mend]],
    into: type,
    learn: Callable[[type], dict[str, Mend]],
    statement: Statement,
) -> dict[str, Mend]:
    try:
        found = known.get(into)
    except TypeError:  # an annotation that cannot be hashed
        return learn(into)
    if found is None:
        try:
            found = learn(into)
        except (TypeError, NameError) as error:
            raise RowMismatch(
                f"into= is no type that rows can be read as: {error}.",
                subject=statement.shown,
                hint="Use a Struct, a dataclass, a TypedDict or a pydantic model.",
            ) from None
        if len(known) >= MOST_TYPES:
            del known[next(iter(known))]
        known[into] = found
    return found


def _mends_of_fields(into: type) -> dict[str, Mend]:
    """Return what has to be done to columns before a row is converted, by their names."""
    describe(into)
    mends = {each.key: _mend(each.hint) for each in members(into) or ()}
    return {name: mend for name, mend in mends.items() if mend is not None}


def _mends_of_value(into: type) -> dict[str, Mend]:
    mend = _mend(into)
    return {} if mend is None else {"": mend}


def _mend(hint: object) -> Mend | None:
    arms = list(_arms(describe(hint)))
    if _has(arms, inspect.BoolType) and not _has(arms, inspect.IntType):
        return _boolean
    if _has(arms, inspect.DecimalType) and not _has(arms, inspect.FloatType):
        return _exact
    if _has(arms, *_COMPOSED) and all(isinstance(arm, _COMPOSED + _PLAIN) for arm in arms):
        # Of a model's field only the description is known; the model reads what is in it.
        kind = None if isinstance(hint, inspect.Type) else hint
        decoder = json.Decoder() if kind is None else json.Decoder(kind, dec_hook=carry_in)
        return partial(_parsed, decoder.decode)
    return None


def _arms(info: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(info, inspect.Metadata):
        yield from _arms(info.type)
    elif isinstance(info, inspect.UnionType):
        for each in info.types:
            yield from _arms(each)
    else:
        yield info


def _has(arms: Sequence[inspect.Type], *kinds: type[inspect.Type]) -> bool:
    return any(isinstance(arm, kinds) for arm in arms)


def _boolean(value: object) -> object:
    return bool(value) if type(value) is int and value in (0, 1) else value


def _exact(value: object) -> object:
    if isinstance(value, float):
        raise _Unfit("a float is not exact; expected a decimal number as text, or an integer")
    return value


def _parsed(decode: Callable[[str], object], value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return decode(value)
    except (msgspec.DecodeError, RecursionError) as error:  # of it are ValidationErrors
        raise _Unfit(f"in its JSON: {_without_values(error)}") from None


def _mended(statement: Statement, row: Row, mends: dict[str, Mend]) -> Row:
    for name, mend in mends.items():
        if name in row:
            try:
                row[name] = mend(row[name])
            except _Unfit as error:
                at = f"column {name}: " if name else ""
                raise _mismatch(statement, f"{at}{error}") from None
    return row


def _convert(statement: Statement, value: object, into: type[T]) -> T:
    try:
        return msgspec.convert(value, into, builtin_types=(bytes,), dec_hook=carry_in)
    except msgspec.ValidationError as error:
        name = getattr(into, "__name__", str(into))
        what = f"the row does not fit {name}: {_without_values(error)}"
        raise _mismatch(statement, what) from None


def _without_values(error: Exception) -> str:
    return _SHOWN_VALUE.sub(r"\1", str(error))


def _mismatch(statement: Statement, what: str) -> RowMismatch:
    return RowMismatch(
        f"{what}.",
        subject=statement.shown,
        hint="Select what the type declares; a column that may be NULL is `… | None`.",
    )


def _twice(statement: Statement, name: str) -> RowMismatch:
    return RowMismatch(
        f"two columns are called {name}; expected names that differ.",
        subject=statement.shown,
        hint=f"Give one another name: `… AS other_{name}`.",
    )

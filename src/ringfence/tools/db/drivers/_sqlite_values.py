"""How values lie in SQLite, which has integers, floats, text and bytes, and nothing else.

What it has no type for is text that sorts as the value does. Decimals do not; their columns compare
by the collation `decimal`, which the sqlite3 command line has under that name as well.
Called by `_sqlite_line.py` and `_sqlite_migrations.py`.
"""

import sqlite3
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from uuid import UUID

from ringfence.tools.db.sql import Token, tokens
from ringfence.tools.db.values import LEAST, MOST, Settled, settled

_NATIVE = frozenset({bytes, bool, type(None)})
_EXACT = frozenset({"NUMERIC", "DECIMAL"})


def native(params: tuple[object, ...], shown: str) -> tuple[object, ...]:
    """Return parameters as SQLite holds them."""
    for value in params:
        kind = type(value)
        if kind is int:
            if LEAST <= value <= MOST:  # type: ignore[operator]
                continue
        elif kind is str:
            if "\0" not in value:  # type: ignore[operator]
                continue
        elif kind in _NATIVE:
            continue
        return tuple(_native(settled(at, value, shown)) for at, value in enumerate(params))
    return params


def _native(value: Settled) -> object:
    match value:
        case datetime():
            text = value.replace(tzinfo=None).isoformat(timespec="microseconds")
            return text if value.tzinfo is None else f"{text}Z"
        case date():
            return value.isoformat()
        case time():
            return value.isoformat("microseconds")
        case Decimal() | UUID():
            return str(value)
        case _:
            return value


# ---- decimals


def declared(command: str) -> str:
    """Return a statement of a migration in which exact numbers are text that compares as numbers.

    In a column that is called NUMERIC or DECIMAL, SQLite would turn them into floats.
    """
    pieces = list(tokens(command))
    words = [piece for piece in pieces if piece.kind not in ("space", "comment")]
    if not words or words[0].keyword not in ("CREATE", "ALTER"):
        return command
    gone = {piece.start: "" for piece in _exact_types(words)}
    for word in words:
        if word.keyword in _EXACT and word.start in gone:
            gone[word.start] = "TEXT COLLATE decimal"
    return "".join(gone.get(piece.start, piece.text) for piece in pieces)


def _exact_types(words: list[Token]) -> Iterator[Token]:
    """Yield the tokens of such types: after a column's name, with what is in parentheses."""
    for at in range(2, len(words)):
        named = words[at - 1].kind in ("word", "name")
        opens = words[at - 2].text in ("(", ",") or words[at - 2].keyword in ("ADD", "COLUMN")
        if words[at].keyword in _EXACT and named and opens:
            yield words[at]
            rest = words[at + 1 : at + 6]
            if rest and rest[0].text == "(":
                closed = next((n for n, word in enumerate(rest) if word.text == ")"), -1)
                yield from rest[: closed + 1]


def order_decimals(line: sqlite3.Connection) -> None:
    """Give a connection the collation `decimal`."""
    line.create_collation("decimal", _compared)


def _compared(one: str, other: str) -> int:
    try:
        a, b = Decimal(one), Decimal(other)
        if a.is_finite() and b.is_finite():
            return (a > b) - (a < b)
    except ArithmeticError:
        pass  # one of them is no number
    x, y = _ranked(one), _ranked(other)
    return (x > y) - (x < y)


def _ranked(text: str) -> tuple[bool, Decimal, str]:
    """Return what sorts numbers by value, and after them, as text, what is none."""
    try:
        value = Decimal(text)
    except ArithmeticError:
        return True, Decimal(0), text
    return (False, value, "") if value.is_finite() else (True, Decimal(0), text)

"""Exact numbers: text that compares as the number does, by the collation `decimal`.

In a column of the type NUMERIC or DECIMAL, SQLite would turn them into floats.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from ringfence.tools.db.sql import Token, tokens

_EXACT = ("NUMERIC", "DECIMAL")


def declared(command: str) -> str:
    """Return a statement of a migration with its exact columns declared so."""
    pieces = list(tokens(command))
    words = [piece for piece in pieces if piece.kind not in ("space", "comment")]
    if words[0].keyword not in ("CREATE", "ALTER"):
        return command
    types = {piece.start: piece for piece in _types(words)}
    return "".join(
        piece.text
        if piece.start not in types
        else "TEXT COLLATE decimal"
        if piece.keyword in _EXACT
        else ""
        for piece in pieces
    )


def _types(words: Sequence[Token]) -> Iterator[Token]:
    """Yield the tokens of such types: after a column's name, with what is in parentheses."""
    for at in range(2, len(words)):
        named = words[at - 1].kind in ("word", "name")
        opens = words[at - 2].text in ("(", ",") or words[at - 2].keyword in ("ADD", "COLUMN")
        if words[at].keyword not in _EXACT or not (named and opens):
            continue
        yield words[at]
        if words[at + 1].text == "(" if at + 1 < len(words) else False:
            end = next(n for n in range(at + 1, len(words)) if words[n].text == ")")
            yield from words[at + 1 : end + 1]


def compared(one: str, other: str) -> int:
    """Compare as SQLite wants it: numbers by value; what is none as text, after them."""
    a, b = _ranked(one), _ranked(other)
    return (a > b) - (a < b)


def _ranked(text: str) -> tuple[bool, Decimal, str]:
    try:
        value = Decimal(text)
    except ArithmeticError:
        return True, Decimal(0), text
    return (False, value, "") if value.is_finite() else (True, Decimal(0), text)

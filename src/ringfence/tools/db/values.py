"""What a parameter may be, whatever the database: `settled` before a driver writes it its own way.

Invariant: a value is stored as what it is or refused; no error shows it. Called by drivers.
"""

import dataclasses
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from uuid import UUID

from msgspec import Struct, json

from ringfence.contracts.payload import adapter_of, carry_out
from ringfence.tools.db.contract import InvalidParameter

Settled = None | bool | int | float | str | bytes | datetime | date | time | Decimal | UUID

LEAST, MOST = -(2**63), 2**63 - 1
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# What is often given by mistake, and what to do instead.
_INSTEAD: dict[type, str] = {
    tuple: "Give values one by one: execute(sql, *values). A JSON array is a list.",
    set: "A JSON array is a list.",
    frozenset: "A JSON array is a list.",
    timedelta: "Store its seconds, or its microseconds, as a number.",
}


def settled(at: int, value: object, shown: str) -> Settled:
    """Return a value as one of few types: aware times in UTC, the value of an Enum, JSON as text.

    Args:
        at: Its place among the parameters, from 0.
        value: What was given.
        shown: The statement, for the error.

    Raises:
        InvalidParameter: It cannot be held by each database, or not come back as it was.
    """
    match value:
        case Enum():
            return settled(at, value.value, shown)
        case float() if value != value:
            raise refused(at, "a NaN, which some databases store as NULL", shown)
        case int() if not LEAST <= value <= MOST:
            raise refused(at, "an integer past 64 bits", shown)
        case str() if "\0" in value:
            raise nul(at, shown)
        case None | int() | float() | str() | bytes() | UUID():
            return value
        case bytearray() | memoryview():
            return bytes(value)
        case Decimal() if not value.is_finite():
            raise refused(at, "no finite number", shown)
        case Decimal():
            return value
        case datetime():
            return _in_utc(at, value, shown)
        case time() if value.tzinfo is not None:
            raise refused(
                at, "a time of day with a zone, which means nothing without a date", shown
            )
        case date() | time():
            return value
        case _:
            return _json(at, value, shown)


def refused(at: int, what: str, shown: str, hint: str = "") -> InvalidParameter:
    """Return the error for the parameter in that place."""
    return InvalidParameter(
        f"${at + 1} is {what}; expected a value that the database can hold.",
        subject=shown,
        hint=hint,
    )


def nul(at: int, shown: str) -> InvalidParameter:
    """Return the error for text that not every database can hold."""
    return refused(at, "text with a NUL character", shown, "Store it as bytes, or without the NUL.")


def _in_utc(at: int, value: datetime, shown: str) -> datetime:
    try:
        return value if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise refused(at, "a time whose year in UTC is not within 1 and 9999", shown) from None


def _json(at: int, value: object, shown: str) -> str:
    kind = type(value)
    composed = isinstance(value, dict | list | Struct) or dataclasses.is_dataclass(kind)
    if not composed and adapter_of(kind) is None:
        hint = next((text for each, text in _INSTEAD.items() if isinstance(value, each)), "")
        raise refused(at, f"a {kind.__name__}", shown, hint)
    try:
        text = json.encode(value, enc_hook=carry_out).decode()
    except (TypeError, ValueError, RecursionError) as error:
        what = f"a {kind.__name__} that cannot be written as JSON ({type(error).__name__})"
        raise refused(at, what, shown) from None
    if _ESCAPED_NUL.search(text):
        raise nul(at, shown)
    return text

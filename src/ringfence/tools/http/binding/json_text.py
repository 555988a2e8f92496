"""JSON that a feature reads by itself: `read_json`, of a raw body or of a message."""

from collections.abc import Sequence
from typing import TypeVar

from msgspec import DecodeError, json

from ringfence.contracts.payload import carry_in, faults
from ringfence.errors import Fault, Invalid

T = TypeVar("T")


def read_json(content: bytes | str, into: type[T], *, subject: str = "body") -> T:
    """Read JSON that came from outside, a webhook's body once its signature is verified.

    Args:
        content: As it came.
        into: The type to read it as; fields that it does not have are ignored.
        subject: What it is, for the error.

    Raises:
        Invalid: It does not fit; `faults` lists every fault. Left to itself it answers 422.
    """
    try:
        return json.decode(content, type=into, dec_hook=carry_in)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        found = _faults(content, into) or [Fault("$", str(error))]
    raise Invalid(f"the {subject} does not fit", faults=found)


def _faults(content: bytes | str, into: type[object]) -> Sequence[Fault]:
    try:
        value: object = json.decode(content)
    except RecursionError:
        return [Fault("$", "it is nested too deeply")]
    except (DecodeError, UnicodeDecodeError) as error:
        return [Fault("$", f"it is not JSON: {error}")]
    return faults(value, into)

"""Whether the examples in a docstring are what a route takes.

Where there is a body, an example is one of it; elsewhere it names parameters. `misfits` says of
each one that would be refused why, so that a document never shows what does not work.
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import json

from ringfence.contracts.payload import faults
from ringfence.errors import Fault
from ringfence.tools.http.binding.arguments import (
    Argument,
    FromBody,
    FromCookie,
    FromForm,
    FromFormField,
    FromHeader,
    FromPath,
    FromQuery,
    FromWholeQuery,
    Parts,
)
from ringfence.tools.http.description.docstrings import Doc

_SINGLE = (FromPath, FromQuery, FromHeader, FromCookie, FromFormField)
_WHOLE = (FromWholeQuery, FromForm)


def misfits(arguments: Sequence[Argument], doc: Doc) -> Iterator[str]:
    """Yield what is wrong with the examples of an operation.

    Args:
        arguments: Where its arguments come from.
        doc: Its docstring.
    """
    for number, example in enumerate(doc.examples, start=1):
        if example.wrong:
            yield f"example {number} is not JSON: {example.wrong}"
            continue
        for fault in _faults(arguments, example.value):
            yield f"example {number} does not fit: {fault.path}: {fault.message}"


def _faults(arguments: Sequence[Argument], value: object) -> list[Fault]:
    for argument in arguments:
        if isinstance(argument, FromBody):
            return argument.faults(Parts(content=json.encode(value)))
    if not isinstance(value, Mapping):
        return [Fault("$", "names no parameters; expected an object")]
    return [fault for name, given in value.items() for fault in _named(arguments, name, given)]


def _named(arguments: Sequence[Argument], name: str, given: object) -> list[Fault]:
    for argument in arguments:
        if isinstance(argument, _SINGLE) and argument.parameter.name == name:
            found = faults(given, argument.parameter.annotation)
            return [Fault(name + fault.path.removeprefix("$"), fault.message) for fault in found]
        if isinstance(argument, _WHOLE) and any(field.name == name for field in argument.fields):
            found = faults({name: given}, argument.parameter.annotation)
            own = [fault for fault in found if fault.path.startswith(f"$.{name}")]
            return [Fault(fault.path.removeprefix("$."), fault.message) for fault in own]
    return [Fault(name, "no parameter is called so")]

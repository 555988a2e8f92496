"""Where a parameter comes from, said in its annotation: `Header[T]`, `Cookie[T]`, `Form[T]`.

    async def paid(self, body: bytes, x_signature: Header[str]) -> None: ...

`Header[T]` is `Annotated[T, mark]`: to type checkers and to msgspec it is `T`, so that a method
that is a service as well takes a plain value. `mark_of` finds the mark in a type hint.
"""

import types
from typing import Annotated, Literal, TypeVar, Union, get_args, get_origin

from msgspec import Struct

T = TypeVar("T")


class Mark(Struct, frozen=True):
    """The place that a value comes from, and its name there; empty: as the parameter says."""

    place: Literal["header", "cookie", "form"]
    name: str = ""


def header(name: str) -> Mark:
    """Name the header of a parameter: `Annotated[str, header("X-Signature")]`."""
    return Mark("header", name)


def cookie(name: str) -> Mark:
    """Name the cookie of a parameter: `Annotated[str, cookie("sid")]`."""
    return Mark("cookie", name)


def form(name: str) -> Mark:
    """Name the form field of a parameter: `Annotated[str, form("file-name")]`."""
    return Mark("form", name)


Header = Annotated[T, Mark("header")]
"""A header, named as the parameter is, with `-` for `_`; `Header[list[str]]` is each line that
bears the name, whole."""

Cookie = Annotated[T, Mark("cookie")]
"""A cookie, named as the parameter is."""

Form = Annotated[T, Mark("form")]
"""A field of a form, named as the parameter is; `Form[SomeStruct]` is all of the form."""


def mark_of(hint: object) -> Mark | None:
    """Return the mark of a type hint, also of one in `Header[T] | None`; the outermost counts."""
    if get_origin(hint) is Annotated:
        inner, *metadata = get_args(hint)
        marks = [part for part in metadata if isinstance(part, Mark)]
        return marks[-1] if marks else mark_of(inner)
    if get_origin(hint) in (Union, types.UnionType):
        found = [mark_of(arm) for arm in get_args(hint) if arm is not type(None)]
        return found[0] if len(found) == 1 else None
    return None

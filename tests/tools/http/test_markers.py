"""What marks a parameter as a header, a cookie or a part of a form."""

from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct, convert, inspect, json

from ringfence.tools.http import Cookie, Form, Header, cookie, form, header
from ringfence.tools.http.binding.markers import Mark, mark_of


@pytest.mark.parametrize(
    "hint, mark",
    [
        (Header[str], Mark("header")),
        (Cookie[int], Mark("cookie")),
        (Form[list[str]], Mark("form")),
        (Header[str] | None, Mark("header")),
        (Header[str | None], Mark("header")),  # type: ignore[misc]
        (Header[Annotated[int, Meta(ge=1)]], Mark("header")),
        (Annotated[str, header("X-Signature")], Mark("header", "X-Signature")),
        (Annotated[str, cookie("sid")], Mark("cookie", "sid")),
        (Annotated[str, form("file-name")], Mark("form", "file-name")),
        (Annotated[Header[str], header("X-Other")], Mark("header", "X-Other")),
        (str, None),
        (Annotated[int, Meta(ge=1)], None),
        (str | None, None),
        (Header[str] | Cookie[str], None),
    ],
)
def test_a_mark_is_found_in_a_type(hint: object, mark: Mark | None) -> None:
    """Alone, optional, beside a constraint; the outermost counts."""
    assert mark_of(hint) == mark


class Marked(Struct):
    quantity: Header[Annotated[int, Meta(ge=1)]]
    name: Cookie[str] = ""


@given(st.integers())
def test_a_marked_type_is_the_type_itself_to_msgspec(quantity: int) -> None:
    """It describes, reads and writes what it would without the mark."""
    assert inspect.type_info(Header[str]) == inspect.type_info(str)
    assert json.schema(Marked)["$defs"]["Marked"]["properties"]["quantity"] == {
        "type": "integer",
        "minimum": 1,
    }
    if quantity >= 1:
        assert convert(str(quantity), Marked.__annotations__["quantity"], strict=False) == quantity

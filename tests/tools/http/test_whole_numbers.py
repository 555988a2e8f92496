"""`2.0` in a body: an integer, as it is to JSON Schema, and nothing else is one."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct, ValidationError, json

from ringfence.tools.http import Header
from ringfence.tools.http.binding.body import whole_numbers
from ringfence.tools.http.doubles import endpoint
from tests.tools.http.conftest import Serve

pytestmark = pytest.mark.anyio


class Line(Struct):
    quantity: int
    price: float = 0.0
    note: str = ""


class Order(Struct):
    lines: list[Line]


async def take(order: Order) -> Order:
    return order


async def wide(order: Order, tag: Header[str] = "") -> Order:
    return order


async def item(id: int, line: Line, full: bool = False) -> list[object]:
    return [id, line.quantity, full]


@pytest.mark.parametrize("path", ["/hot", "/wide"])
async def test_a_number_with_nothing_after_its_point_is_an_integer(serve: Serve, path: str) -> None:
    """Wherever it stands; text that looks like one stays text."""
    client = serve(endpoint("POST", "/hot", take), endpoint("POST", "/wide", wide))
    body = b'{"lines":[{"quantity":2.0,"price":1.50,"note":"a \\"3.0\\" 4.0"},{"quantity":-7.000}]}'
    answer = await client.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.json(Order) == Order([Line(2, 1.5, 'a "3.0" 4.0'), Line(-7)])


async def test_all_that_a_request_gives_is_read_again(serve: Serve) -> None:
    """Path and query as well as the body."""
    client = serve(endpoint("POST", "/items/{id}", item))
    assert (await client.post("/items/5?full=true", json={"quantity": 2.0})).json() == [5, 2, True]


@pytest.mark.parametrize("quantity", ["2.5", "2.0e0", '"2.0"', "2.01", "[2.0]"])
async def test_what_is_no_integer_is_refused(serve: Serve, quantity: str) -> None:
    """And only what is wrong is listed."""
    client = serve(endpoint("POST", "/hot", take))
    body = f'{{"lines":[{{"quantity":3.0}},{{"quantity":{quantity}}}]}}'.encode()
    answer = await client.post("/hot", content=body, headers={"content-type": "application/json"})
    assert answer.status == 422
    assert [fault["path"] for fault in answer.json(dict)["errors"]] == ["$.lines[1].quantity"]


@pytest.mark.parametrize("rest", ['"' * 9, '"\\"' * 9, "1" * 99, ", {", '"a'])
async def test_what_is_malformed_behind_it_is_said_to_be(serve: Serve, rest: str) -> None:
    """Nothing is rewritten that is no JSON."""
    client = serve(endpoint("POST", "/hot", take))
    body = b'{"lines":[{"quantity":2.0}' + rest.encode()
    answer = await client.post("/hot", content=body, headers={"content-type": "application/json"})
    assert (answer.status, answer.json(dict)["code"]) == (400, "malformed_json")


leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(leaves, lambda v: st.lists(v) | st.dictionaries(st.text(), v))


@given(values)
def test_a_rewritten_body_says_the_same(value: Any) -> None:
    """Number by number and text by text, whatever the text looks like."""
    refused = ValidationError("Expected `int`, got `float`")
    for content in (json.encode([value, 2.0]), json.encode([value, ' 5.0, "'])):
        whole = whole_numbers(content, refused)
        if whole is not None:
            assert json.decode(whole) == json.decode(content)
            assert not re.search(
                rb"[\[,:]-?\d+\.0+[\],}]", re.sub(rb'"(?:[^"\\]|\\.)*"', b"", whole)
            )

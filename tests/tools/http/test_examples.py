"""Examples in docstrings."""

from typing import Annotated

import pytest
from msgspec import Meta, Struct

from ringfence.kernel.ports import REQUIRED, Parameter, Signature
from ringfence.tools.http.binding.plan import plan
from ringfence.tools.http.contract import Method
from ringfence.tools.http.description import docstrings
from ringfence.tools.http.description.examples import misfits

Quantity = Annotated[int, Meta(gt=0)]


class NewOrder(Struct):
    sku: str
    quantity: Quantity


class Search(Struct):
    color: str = ""
    sizes: list[int] = []


def found(method: Method, example: str, *parameters: Parameter) -> list[str]:
    bound = plan(method, ["order_id"], Signature(parameters, None))
    return list(misfits(bound.arguments, docstrings.read(f"Do it.\n\nExample: {example}")))


ORDER_ID = Parameter("order_id", int, REQUIRED)
BODY = Parameter("new", NewOrder, REQUIRED)
SEARCH = Parameter("search", Search, REQUIRED)


@pytest.mark.parametrize(
    "method, example, parameters",
    [
        ("POST", '{"sku": "tea", "quantity": 1}', (ORDER_ID, BODY)),
        ("GET", '{"order_id": 7}', (ORDER_ID, SEARCH)),
        ("GET", '{"color": "red", "sizes": [1, 2]}', (ORDER_ID, SEARCH)),
        ("GET", "{}", (ORDER_ID,)),
        ("GET", "as you like", (ORDER_ID,)),
    ],
)
def test_what_would_be_taken_is_an_example(
    method: Method, example: str, parameters: tuple[Parameter, ...]
) -> None:
    """Of the body or of parameters; and what is no JSON at all is prose."""
    assert found(method, example, *parameters) == []


@pytest.mark.parametrize(
    "method, example, parameters, said",
    [
        ("POST", '{"sku": "tea", "quantity": 0}', (ORDER_ID, BODY), "$.quantity"),
        ("POST", '{"sku": "tea"}', (ORDER_ID, BODY), "is missing"),
        ("POST", '{"sku": "tea", "quantity": 1, "to": 1}', (ORDER_ID, BODY), "unknown field"),
        ("POST", '{"sku": "tea", ', (ORDER_ID, BODY), "is not JSON"),
        ("GET", '{"order_id": "seven"}', (ORDER_ID,), "order_id"),
        ("GET", '{"sizes": [1, "two"]}', (ORDER_ID, SEARCH), "sizes[1]"),
        ("GET", '{"size": 1}', (ORDER_ID, SEARCH), "no parameter is called so"),
        ("GET", "[7]", (ORDER_ID,), "expected an object"),
    ],
)
def test_what_would_be_refused_is_none(
    method: Method, example: str, parameters: tuple[Parameter, ...], said: str
) -> None:
    """Each that does not fit is told of, with its place."""
    (message,) = found(method, example, *parameters)
    assert message.startswith("example 1 ")
    assert said in message

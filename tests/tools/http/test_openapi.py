"""The OpenAPI document."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from msgspec import Meta, Struct, defstruct, json

from ringfence.kernel.ports import Endpoint
from ringfence.tools.http.conformance import endpoint
from ringfence.tools.http.openapi import describe

Document = dict[str, Any]


class NewOrder(Struct):
    """What is ordered."""

    sku: Annotated[str, Meta(min_length=1)]
    quantity: Annotated[int, Meta(gt=0, le=1000)] = 1


class Order(Struct):
    id: int
    next: "Order | None" = None


@dataclass
class Page:
    limit: int = 10
    after: str | None = None


async def place(order: NewOrder) -> Order:
    """Take an order.

    It is pending until stock is held for it.
    """
    raise NotImplementedError


async def find(order_id: int, verbose: bool = False) -> Order | None:
    raise NotImplementedError


async def page(page: Page) -> list[Order]:
    raise NotImplementedError


async def forget(order_id: int) -> None:
    raise NotImplementedError


ENDPOINTS: list[Endpoint] = [
    endpoint("POST", "/orders", place, 201),
    endpoint("GET", "/orders/{order_id}", find),
    endpoint("GET", "/orders", page),
    endpoint("DELETE", "/orders/{order_id}", forget),
]


def described(endpoints: list[Endpoint]) -> Document:
    return json.decode(describe("shop", endpoints), type=Document)


def test_the_order_of_declarations_changes_no_byte() -> None:
    """It is sorted throughout."""
    assert describe("shop", ENDPOINTS) == describe("shop", ENDPOINTS[::-1])


def test_an_operation_is_described_by_its_docstring_and_types() -> None:
    """Constraints are those that are enforced."""
    document = described(ENDPOINTS)
    operation = document["paths"]["/orders"]["post"]
    assert operation["summary"] == "Take an order."
    assert operation["description"] == "It is pending until stock is held for it."
    assert operation["operationId"] == "orders.place"
    assert operation["tags"] == ["orders"]
    assert operation["requestBody"]["required"] is True
    assert operation["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/NewOrder",
        "unevaluatedProperties": False,
    }
    fields = document["components"]["schemas"]["NewOrder"]["properties"]
    assert fields["quantity"] == {
        "type": "integer",
        "exclusiveMinimum": 0,
        "maximum": 1000,
        "default": 1,
    }


def test_parameters_say_where_they_are_and_whether_they_must_be() -> None:
    """Of a path, of a query, and of a whole query."""
    paths = described(ENDPOINTS)["paths"]
    by_id = paths["/orders/{order_id}"]["get"]["parameters"]
    assert by_id == [
        {"name": "order_id", "in": "path", "required": True, "schema": {"type": "integer"}},
        {
            "name": "verbose",
            "in": "query",
            "required": False,
            "schema": {"type": "boolean", "default": False},
        },
    ]
    whole = paths["/orders"]["get"]["parameters"]
    assert [(p["name"], p["in"], p["required"]) for p in whole] == [
        ("limit", "query", False),
        ("after", "query", False),
    ]


def test_responses_are_those_that_are_sent() -> None:
    """A value, nothing, or a problem; a body can be refused for what a query cannot."""
    paths = described(ENDPOINTS)["paths"]
    always, taking, body = {"500", "503", "504", "default"}, {"400", "422"}, {"413", "415"}
    assert set(paths["/orders"]["post"]["responses"]) == {"201"} | always | taking | body
    found = set(paths["/orders/{order_id}"]["get"]["responses"])
    assert found == {"200", "204"} | always | taking
    forgotten = paths["/orders/{order_id}"]["delete"]["responses"]
    assert set(forgotten) == {"204"} | always | taking
    assert "content" not in forgotten["204"]
    for answer in described(ENDPOINTS)["components"]["responses"].values():
        assert "application/problem+json" in answer["content"]


def test_every_reference_leads_somewhere() -> None:
    """Also those of classes that are called alike, which are told apart by their domain."""

    async def first(body): ...  # type: ignore[no-untyped-def]
    async def second(body): ...  # type: ignore[no-untyped-def]

    for function, domain in ((first, "orders"), (second, "billing")):
        module = f"shop@3.domains.{domain}.take"
        function.__annotations__["body"] = defstruct("Line", [(domain, int)], module=module)
    text = describe("shop", [endpoint("PUT", "/a", first), endpoint("PUT", "/b", second)])
    schemas = json.decode(text, type=Document)["components"]["schemas"]
    assert set(schemas) == {"Fault", "Problem", "orders.take.Line", "billing.take.Line"}
    for name in re.findall(rb'"#/components/schemas/([^"]+)"', text):
        assert name.decode() in schemas


def test_an_operation_that_answers_two_routes_has_two_ids() -> None:
    """An operationId stands once in a document."""
    paths = described([endpoint("GET", "/a", place), endpoint("GET", "/b", place)])["paths"]
    assert paths["/a"]["get"]["operationId"] == "orders.place"
    assert paths["/b"]["get"]["operationId"] == "orders.place_2"


def test_paths_that_differ_in_names_alone_are_one() -> None:
    """Their parameters are called as in the first of them."""

    async def other(id: int) -> None: ...

    document = described([*ENDPOINTS, endpoint("PUT", "/orders/{id}", other)])
    assert "/orders/{id}" not in document["paths"]
    (parameter,) = document["paths"]["/orders/{order_id}"]["put"]["parameters"]
    assert parameter["name"] == "order_id"


@pytest.mark.parametrize("endpoints", [[], ENDPOINTS])
def test_it_is_openapi_3_1(endpoints: list[Endpoint]) -> None:
    """The parts that the specification requires are there, and paths name their parameters."""
    document = described(endpoints)
    assert document["openapi"] == "3.1.0"
    assert set(document["info"]) >= {"title", "version"}
    for path, item in document["paths"].items():
        for operation in item.values():
            names = {
                parameter["name"]
                for parameter in operation.get("parameters", [])
                if parameter["in"] == "path"
            }
            assert names == set(re.findall(r"{(\w+)}", path))
            for response in operation["responses"].values():
                assert set(response) & {"description", "$ref"}

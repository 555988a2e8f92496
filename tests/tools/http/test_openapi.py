"""The OpenAPI document."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct, convert, defstruct, json

from ringfence.errors import AppError, Conflict, Invalid
from ringfence.kernel.ports import Endpoint
from ringfence.tools.http.answers.conditional import IfMatch
from ringfence.tools.http.answers.files import File
from ringfence.tools.http.answers.reply import Reply
from ringfence.tools.http.binding.markers import Cookie, Form, Header
from ringfence.tools.http.binding.pages import Page, Paged
from ringfence.tools.http.binding.request import BodyStream
from ringfence.tools.http.binding.upload import UploadFile
from ringfence.tools.http.contract import Method, Route
from ringfence.tools.http.description import docstrings
from ringfence.tools.http.description.openapi import About, describe
from ringfence.tools.http.doubles import Operation, Served, endpoint
from ringfence.tools.http.live.sockets import WebSocket
from ringfence.tools.http.live.streams import EventStream, Stream
from ringfence.tools.http.problem import Problem

Document = dict[str, Any]


class NewOrder(Struct):
    """What is ordered."""

    sku: Annotated[str, Meta(min_length=1)]
    quantity: Annotated[int, Meta(gt=0, le=1000)] = 1


class Order(Struct):
    id: int
    next: "Order | None" = None


@dataclass
class Window:
    limit: int = 10
    after: str | None = None


async def place(order: NewOrder) -> Order:
    """Take an order.

    It is pending until stock is held for it.
    """
    raise NotImplementedError


async def find(order_id: int, verbose: bool = False) -> Order | None:
    raise NotImplementedError


async def page(page: Window) -> list[Order]:
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


# ---- all that a route may take


class Contact(Struct):
    email: str
    age: int = 0


class Listed(Paged):
    color: Literal["red", "blue"] | None = None


async def wide_header(x_request_id: Header[str | None] = None, sid: Cookie[str] = "") -> None: ...
async def form_fields(title: Form[str], tags: Form[list[str]]) -> None: ...
async def whole_form(contact: Form[Contact]) -> None: ...
async def upload(photo: UploadFile, title: Form[str] = "") -> None: ...
async def raw(body: bytes) -> None: ...
async def streamed(body: BodyStream) -> None: ...
async def guarded(order_id: int, match: IfMatch) -> None: ...
async def listed(search: Listed) -> Page[Order]:
    raise NotImplementedError


def one(method: Method, path: str, function: Operation, status: int = 200) -> Document:
    """Describe a single route."""
    item = described([endpoint(method, path, function, status)])["paths"][path]
    return cast("Document", item[method.lower()])


def test_headers_and_cookies_are_parameters() -> None:
    """Under the names that they have in a request."""
    parameters = one("GET", "/a", wide_header)["parameters"]
    found = [(p["name"], p["in"], p["required"]) for p in parameters]
    assert found == [("x-request-id", "header", False), ("sid", "cookie", False)]


def test_a_version_to_be_changed_is_the_header_if_match() -> None:
    """It may be left out, as far as the document knows."""
    (_, match) = one("PUT", "/a/{order_id}", guarded)["parameters"]
    assert (match["name"], match["in"], match["required"]) == ("If-Match", "header", False)


@pytest.mark.parametrize(
    "function, required, closed",
    [(form_fields, ["title", "tags"], False), (whole_form, ["email"], True)],
)
def test_a_form_may_come_in_either_encoding(
    function: Operation, required: list[str], closed: bool
) -> None:
    """Its fields are those of the parameters, or of the Struct that is all of it."""
    body = one("POST", "/a", function)["requestBody"]
    assert set(body["content"]) == {"application/x-www-form-urlencoded", "multipart/form-data"}
    schema = body["content"]["multipart/form-data"]["schema"]
    assert schema["required"] == required
    assert body["required"] is True
    assert (schema.get("additionalProperties", True) is False) is closed


def test_a_form_with_a_file_is_multipart() -> None:
    """Files are binary, in the words of 3.1 and of before."""
    content = one("POST", "/a", upload)["requestBody"]["content"]
    assert set(content) == {"multipart/form-data"}
    schema = content["multipart/form-data"]["schema"]
    photo = schema["properties"]["photo"]
    assert (photo["format"], photo["contentMediaType"]) == ("binary", "application/octet-stream")
    assert schema["required"] == ["photo"]


async def several(orders: list[NewOrder]) -> None: ...


async def mapped(orders: dict[str, NewOrder] | None) -> None: ...


@pytest.mark.parametrize("function", [several, mapped])
def test_the_items_of_a_body_have_no_fields_that_are_not_named(function: Operation) -> None:
    """As they are read."""
    content = one("POST", "/a", function)["requestBody"]["content"]
    schema = content["application/json"]["schema"]
    items = schema["anyOf"][0] if "anyOf" in schema else schema
    item = items.get("items") or items["additionalProperties"]
    assert item == {"$ref": "#/components/schemas/NewOrder", "unevaluatedProperties": False}


@pytest.mark.parametrize("function", [raw, streamed])
def test_a_raw_body_may_be_anything(function: Operation) -> None:
    """Its content type is the client's choice."""
    assert one("POST", "/a", function)["requestBody"]["content"] == {"*/*": {}}


# ---- all that a route may answer


async def feed() -> EventStream[Order]:
    raise NotImplementedError


async def export() -> Stream:
    raise NotImplementedError


async def download() -> File:
    raise NotImplementedError


async def replied() -> Reply[Order]:
    raise NotImplementedError


async def sent_raw() -> Reply[bytes]:
    raise NotImplementedError


def test_pages_are_components_named_after_what_they_hold() -> None:
    """A name that tools make a class of."""
    document = described([endpoint("GET", "/a", listed)])
    answer = document["paths"]["/a"]["get"]["responses"]["200"]
    schema = answer["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Page_Order"}
    items = document["components"]["schemas"]["Page_Order"]["properties"]["items"]
    assert items["items"] == {"$ref": "#/components/schemas/Order"}
    names = [p["name"] for p in document["paths"]["/a"]["get"]["parameters"]]
    assert set(names) == {"limit", "cursor", "color"}


def test_an_event_stream_tells_what_its_events_hold() -> None:
    """OpenAPI 3.1 has no word for that; `itemSchema` is the one of its successor."""
    media = one("GET", "/a", feed)["responses"]["200"]["content"]["text/event-stream"]
    assert media["x-itemSchema"] == {"$ref": "#/components/schemas/Order"}


@pytest.mark.parametrize("function", [export, download, sent_raw])
def test_what_says_its_own_type_may_be_of_any(function: Operation) -> None:
    """The type of a stream, a file and raw bytes is known when they are sent."""
    assert set(one("GET", "/a", function)["responses"]["200"]["content"]) == {"*/*"}


def test_a_file_may_come_in_part_or_not_again() -> None:
    """Ranges and conditional requests are the file's."""
    assert {"200", "206", "304"} <= set(one("GET", "/a", download)["responses"])


def test_a_reply_may_have_another_status() -> None:
    """What it holds is known, the status is its own."""
    responses = one("POST", "/a", replied, 201)["responses"]
    assert responses["2XX"] == responses["201"]
    assert responses["201"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/Order"
    }
    assert "3XX" in responses


def test_head_is_described_where_get_is() -> None:
    """With the same parameters, and without content."""
    item = described(ENDPOINTS)["paths"]["/orders/{order_id}"]
    assert item["head"]["parameters"] == item["get"]["parameters"]
    assert item["head"]["operationId"] == "orders.find.head"
    assert not [answer for answer in item["head"]["responses"].values() if "content" in answer]
    assert "head" not in described([endpoint("PUT", "/a", place)])["paths"]["/a"]


class OutOfStock(Conflict, code="orders.out_of_stock"):
    """Fewer pieces are there than were ordered.

    The rest of what is said of it.
    """


class TooEarly(Conflict, code="orders.too_early"):
    """Nothing is sold yet."""


class Declaring(Served):
    """An endpoint whose feature declares errors."""

    @property
    def errors(self) -> tuple[type[AppError], ...]:
        return (TooEarly, OutOfStock, Invalid)


async def declaring(order: NewOrder) -> Order:
    """Take an order.

    Raises:
        TooEarly: Before the shop opens.
    """
    raise NotImplementedError


def test_declared_errors_are_told_by_status_with_their_codes() -> None:
    """The operation's docstring says it best, else the error's own; the kernel's stay."""
    subject = Declaring(Route("POST", "/a"), declaring)
    responses = described([subject])["paths"]["/a"]["post"]["responses"]
    assert responses["409"]["x-codes"] == {
        "orders.out_of_stock": "Fewer pieces are there than were ordered.",
        "orders.too_early": "Before the shop opens.",
    }
    content = responses["409"]["content"]["application/problem+json"]
    assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
    for code, example in content["examples"].items():
        problem = convert(example["value"], Problem)
        assert (problem.status, problem.code) == (409, code)
    assert "invalid" in responses["422"]["x-codes"]


# ---- all that a docstring may say


async def spoken(order_id: int, new: NewOrder) -> Order:
    """Change an order.

    Only while it is pending.

    Args:
        order_id: Its number, as `place`
            returned it.
        new: What is wanted
            instead.

    Returns:
        The order, changed.

    Deprecated: Use PATCH.

    Example: {"sku": "tea",
        "quantity": 2}

    Guarantees: Nothing is lost.
    """
    raise NotImplementedError


async def asked(order_id: int, verbose: bool = False) -> None:
    """Look.

    Examples:
        {"order_id": 7}
        {"order_id": 8, "verbose": true}
    """


def test_a_docstring_is_taken_apart() -> None:
    """What it says of a parameter, the result or the body stands there, and nowhere else."""
    operation = one("PUT", "/orders/{order_id}", spoken)
    assert operation["parameters"][0]["description"] == "Its number, as `place` returned it."
    assert operation["requestBody"]["description"] == "What is wanted instead."
    assert operation["responses"]["200"]["description"] == "The order, changed."
    assert operation["deprecated"] is True
    for said in ("Only while it is pending.", "Guarantees: Nothing is lost.", "Use PATCH."):
        assert said in operation["description"]
    for elsewhere in ("Args", "Returns", "Example", "order_id"):
        assert elsewhere not in operation["description"]


def test_an_example_of_a_docstring_is_one_of_the_body() -> None:
    """Over several lines, too."""
    media = one("PUT", "/orders/{order_id}", spoken)["requestBody"]["content"]["application/json"]
    assert media["examples"] == {"1": {"value": {"sku": "tea", "quantity": 2}}}


def test_without_a_body_an_example_names_parameters() -> None:
    """Each gets the first that is told of it."""
    parameters = one("GET", "/orders/{order_id}", asked)["parameters"]
    assert [p["example"] for p in parameters] == [7, True]


@given(st.text())
def test_any_docstring_is_read(text: str) -> None:
    """What is not understood is prose."""
    doc = docstrings.read(text)
    assert all(isinstance(part, str) for part in (doc.summary, doc.description, doc.returns))


# ---- the document as a whole


async def live(socket: WebSocket, room: str, since: int = 0) -> None:
    """Follow what happens in a room."""


def test_websockets_stand_beside_the_paths() -> None:
    """OpenAPI has no word for them."""
    document = described([endpoint("WEBSOCKET", "/rooms/{room}", live)])
    assert document["paths"] == {}
    told = document["x-websockets"]["/rooms/{room}"]
    assert told["summary"] == "Follow what happens in a room."
    assert [p["name"] for p in told["parameters"]] == ["room", "since"]


def test_the_application_and_its_domains_are_told_of() -> None:
    """As far as anything is known of them."""
    about = About(version="1.2.0", description="Sells tea.", domains={"orders": "Who wants what."})
    document = json.decode(describe("shop", ENDPOINTS, about), type=Document)
    assert document["info"] == {"title": "shop", "version": "1.2.0", "description": "Sells tea."}
    assert document["tags"] == [{"name": "orders", "description": "Who wants what."}]
    assert described(ENDPOINTS)["tags"] == [{"name": "orders"}]


EVERYTHING: list[Endpoint] = [
    *ENDPOINTS,
    endpoint("GET", "/wide", wide_header),
    endpoint("POST", "/fields", form_fields),
    endpoint("POST", "/form", whole_form),
    endpoint("POST", "/upload", upload),
    endpoint("POST", "/raw", raw),
    endpoint("PUT", "/guarded/{order_id}", guarded),
    endpoint("GET", "/listed", listed),
    endpoint("GET", "/feed", feed),
    endpoint("GET", "/export", export),
    endpoint("GET", "/download", download),
    endpoint("POST", "/replied", replied),
    endpoint("PUT", "/spoken/{order_id}", spoken),
    endpoint("WEBSOCKET", "/rooms/{room}", live),
    Declaring(Route("POST", "/declaring"), declaring),
]


def test_it_is_valid_by_the_schema_of_openapi() -> None:
    """All that can be declared, against the schema that the specification comes with."""
    from schemathesis.specs.openapi import definitions

    document = described(EVERYTHING)
    found = definitions.OPENAPI_31_VALIDATOR.iter_errors(document)
    assert [f"{error.instance_path}: {error.message}" for error in found] == []
    document["paths"]["/feed"]["get"]["responses"] = 5
    assert not definitions.OPENAPI_31_VALIDATOR.is_valid(document)


def test_every_schema_is_a_json_schema() -> None:
    """Of the draft that 3.1 takes over whole."""
    import jsonschema_rs

    schemas = described(EVERYTHING)["components"]["schemas"]
    assert len(schemas) > 4
    for schema in schemas.values():
        jsonschema_rs.meta.validate(schema)
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.meta.validate({"type": 5})

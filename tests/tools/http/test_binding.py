"""How a request becomes arguments, and how a request that does not fit is explained."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, TypedDict
from uuid import UUID

import pytest
from msgspec import Meta, Struct, convert, json

from ringfence.testing.http import HttpClient, HttpResponse
from ringfence.tools.http.conformance import endpoint

pytestmark = pytest.mark.anyio
Serve = Callable[..., HttpClient]
SKU = "c0a8012e-0000-4000-8000-000000000000"


class Color(Enum):
    RED = "red"


class Line(Struct):
    sku: str
    quantity: Annotated[int, Meta(gt=0)] = 1


class Renumbered(Struct):
    sku: str
    number: int


class Closed(Struct, forbid_unknown_fields=True):
    color: str = ""


class Bulk(Struct):
    tags: list[str] = []
    counts: dict[str, int] = {}


class Frozen(Struct, frozen=True):
    sku: str


class Renamed(Struct, rename="camel", kw_only=True):
    unit_price: int
    lines: list[Line] = []


class Card(Struct, tag="card"):
    number: str


class Cash(Struct, tag="cash"):
    amount: int


class Tree(Struct):
    value: int = 1
    below: list["Tree"] = []


@dataclass
class Plain:
    sku: str
    quantity: int = 1


class Loose(TypedDict):
    sku: str
    note: NotRequired[str]


class Search(Struct):
    q: str
    limit: Annotated[int, Meta(le=50)] = 10
    tag: list[str] = []
    price: float | None = None


def faults(response: HttpResponse) -> dict[str, str]:
    assert response.status == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    listed = json.decode(response.body)["errors"]
    return {fault["path"]: fault["message"] for fault in listed}


@pytest.mark.parametrize(
    "hint, text, value",
    [
        (str, "null", "null"),
        (str, "", ""),
        (int, "-7", -7),
        (float, "1.5", 1.5),
        (bool, "true", True),
        (bool, "0", False),
        *((bool, text, True) for text in ("on", "On", "YES")),
        *((bool, text, False) for text in ("off", "no", "NO")),
        (bool | None, "on", True),
        (Annotated[bool, Meta(title="x")], "off", False),
        (str, "on", "on"),
        (UUID, SKU, UUID(SKU)),
        (datetime, "2024-02-29T12:00:00Z", datetime(2024, 2, 29, 12, tzinfo=UTC)),
        (date, "2024-02-29", date(2024, 2, 29)),
        (Decimal, "1.10", Decimal("1.10")),
        (Color, "red", Color.RED),
        (Literal["up", "down"], "up", "up"),
        (Literal[1, 2], "2", 2),
        (int | None, "3", 3),
        (Annotated[int, Meta(ge=3)], "3", 3),
    ],
)
async def test_a_scalar_is_read_from_text(
    serve: Serve, hint: object, text: str, value: object
) -> None:
    """The operation gets a value of the type that it asks for."""
    seen: list[object] = []

    async def take(x) -> None:  # type: ignore[no-untyped-def]
        seen.append(x)

    take.__annotations__["x"] = hint
    client = serve(endpoint("GET", "/", take))
    assert (await client.get("/", params={"x": text})).status == 204
    assert seen == [value]
    assert type(seen[0]) is type(value)


@pytest.mark.parametrize(
    "hint, text",
    [
        *((int, "x"), (int, ""), (int, "9" * 5000), (int | None, "x"), (bool, "maybe")),
        *((float, "nan"), (float, "-Infinity"), (Decimal, "NaN")),
        *((UUID, "1"), (date, "2024-02-30"), (Color, "blue")),
    ],
)
async def test_text_that_is_no_such_scalar_is_a_fault(
    serve: Serve, hint: object, text: str
) -> None:
    """Its path says which parameter; text that JSON cannot write as a number is none."""

    async def take(x) -> None:  # type: ignore[no-untyped-def]
        pytest.fail("the operation ran")

    take.__annotations__["x"] = hint
    client = serve(endpoint("GET", "/", take))
    assert list(faults(await client.get("/", params={"x": text}))) == ["query.x"]


async def test_every_fault_of_path_query_and_body_is_listed(serve: Serve) -> None:
    """One answer tells all that is wrong, each with its place."""

    async def take(order_id: int, line: Line, limit: int, page: int = 1) -> None:
        pytest.fail("the operation ran")

    client = serve(endpoint("PUT", "/orders/{order_id}", take))
    found = faults(
        await client.put("/orders/x?page=y", json={"quantity": 0, "quantiti": 1, "sku": 5})
    )
    assert found["path.order_id"] == "Expected `int`, got 'x'"
    assert found["query.page"] == "Expected `int`, got 'y'"
    assert found["query.limit"] == "is missing"
    assert set(found) == {
        *("path.order_id", "query.page", "query.limit"),
        *("$.sku", "$.quantity", "$.quantiti"),
    }
    assert "did you mean 'quantity'?" in found["$.quantiti"]


async def test_the_path_wins(serve: Serve) -> None:
    """Neither query nor body can say what a path parameter is."""

    async def take(sku: str, line: Line) -> str:
        return f"{sku} {line.sku}"

    client = serve(endpoint("POST", "/lines/{sku}", take))
    response = await client.post("/lines/a?sku=b", json={"sku": "c"})
    assert response.json() == "a c"


async def test_a_body_field_named_like_a_path_parameter_is_a_body_field(serve: Serve) -> None:
    """It is read where it stands, also when it is all that differs, and changes nothing else."""

    async def take(sku: str, line: Renumbered) -> object:
        return [sku, line]

    client = serve(endpoint("PUT", "/lines/{sku}", take))
    response = await client.put("/lines/a?sku=b&_auth=admin", json={"sku": "c", "number": 1})
    assert response.json() == ["a", {"sku": "c", "number": 1}]
    found = faults(await client.put("/lines/a", json={"sku": 5, "number": 1}))
    assert set(found) == {"$.sku"}
    assert set(faults(await client.put("/lines/a", json={"number": 1, "_auth": "x"}))) == {
        *("$.sku", "$._auth"),
    }


async def test_a_query_that_forbids_unknown_names_refuses_them(serve: Serve) -> None:
    """With the name that was meant; what other parameters take is known."""

    async def search(search: Closed, page: int = 1) -> object:
        return [search, page]

    client = serve(endpoint("GET", "/", search))
    assert (await client.get("/?color=red&page=2")).json() == [{"color": "red"}, 2]
    assert faults(await client.get("/?colour=red&pge=2")) == {
        "query.colour": "unknown field; did you mean 'color'?",
        "query.pge": "unknown field",
    }


@pytest.mark.parametrize(
    "body",
    [
        {"tags": [1] * 20_000},
        {"tags": ["x"] * 20_000 + [1]},
        {"counts": {f"k{n}": "x" for n in range(20_000)}},
        {f"tagz{n}": 1 for n in range(20_000)},
    ],
)
async def test_a_body_of_many_faults_is_answered_with_few(serve: Serve, body: object) -> None:
    """What is looked for is bounded, since whoever sends a body decides how much there is."""

    async def take(bulk: Bulk) -> None:
        pytest.fail("the operation ran")

    response = await serve(endpoint("POST", "/", take)).post("/", json=body)
    listed = json.decode(response.body)["errors"]
    assert response.status == 422
    assert len(listed) in (1, 101)
    assert len(listed) == 1 or "and more" in listed[-1]["message"]


@pytest.mark.parametrize(
    "hint, sent, path",
    [
        (Line, {"sku": "a", "z" * 10_000: 1}, "$.zzz"),
        (list[Line], [{"sku": "a", "z" * 10_000: 1}], "$[0].zzz"),
        (Color, "z" * 5000, "query.x"),
    ],
)
async def test_what_is_echoed_is_cut(serve: Serve, hint: type, sent: object, path: str) -> None:
    """A fault says enough to find it, however long a name or a value is."""

    async def take(x) -> None:  # type: ignore[no-untyped-def]
        """Never called."""

    take.__annotations__["x"] = hint
    if isinstance(sent, str):
        answer = await serve(endpoint("GET", "/", take)).get("/", params={"x": sent})
    else:
        answer = await serve(endpoint("POST", "/", take)).post("/", json=sent)
    ((place, message),) = faults(answer).items()
    assert place.startswith(path)
    assert max(len(place), len(message)) <= 200
    assert place.endswith("z…") or message.endswith("z…"), (place, message)


async def test_a_fault_far_down_a_body_is_found_in_its_place(serve: Serve) -> None:
    """Before and after it are thousands that fit."""

    async def take(bulk: Bulk) -> None:
        pytest.fail("the operation ran")

    client = serve(endpoint("POST", "/", take))
    tags: list[object] = ["x"] * 5_000
    tags[4_321] = 7
    counts: dict[str, object] = {f"k{n}": n for n in range(1_000)} | {"k700": "x"}
    assert faults(await client.post("/", json={"tags": tags, "counts": counts})) == {
        "$.tags[4321]": "Expected `str`, got `int`",
        "$.counts.k700": "Expected `int`, got `str`",
    }


async def test_repeated_values_are_a_list(serve: Serve) -> None:
    """In the order of the query; one that is no list may stand once."""

    async def take(ids: list[int], limit: int = 1) -> list[int]:
        return [*ids, limit]

    client = serve(endpoint("GET", "/", take))
    assert (await client.get("/?ids=3&ids=1")).json() == [3, 1, 1]
    found = faults(await client.get("/?ids=3&ids=x&limit=1&limit=2"))
    assert set(found) == {"query.ids[1]", "query.limit"}
    assert "given 2 times" in found["query.limit"]


async def test_a_struct_is_the_query_where_there_is_no_body(serve: Serve) -> None:
    """Its fields are parameters; defaults hold; names that it lacks are tolerated."""

    async def search(search: Search) -> Search:
        assert type(search) is Search
        return search

    client = serve(endpoint("GET", "/", search))
    response = await client.get("/?q=two+words&tag=a&tag=b&utm=x")
    assert response.json(Search) == Search("two words", 10, ["a", "b"])
    assert set(faults(await client.get("/?limit=51&price=nan"))) == {
        *("query.q", "query.limit", "query.price"),
    }
    wrong = faults(await client.get("/?q=a&limit=many"))
    assert wrong == {"query.limit": "Expected `int`, got 'many'"}


@pytest.mark.parametrize("kind", [Line, Frozen, Plain, Loose])
async def test_a_body_has_its_declared_class_and_no_unknown_fields(
    serve: Serve, kind: type
) -> None:
    """Structs, frozen or not, dataclasses and TypedDicts alike."""
    seen: list[object] = []

    async def take(body) -> None:  # type: ignore[no-untyped-def]
        seen.append(body)

    take.__annotations__["body"] = kind
    client = serve(endpoint("POST", "/", take))
    assert (await client.post("/", json={"sku": "a"})).status == 204
    assert seen == [kind(sku="a")]
    assert type(seen[0]) is (dict if kind is Loose else kind)
    found = faults(await client.post("/", json={"sku": "a", "skuu": "b"}))
    assert list(found) == ["$.skuu"]
    assert "did you mean 'sku'?" in found["$.skuu"]


async def test_unknown_fields_are_tolerated_below_the_top(serve: Serve) -> None:
    """Only the top level of a body is closed; keys are those of the wire."""

    async def take(body: Renamed) -> Renamed:
        assert type(body.lines[0]) is Line
        return body

    client = serve(endpoint("POST", "/", take))
    sent = {"unitPrice": 1, "lines": [{"sku": "a", "color": "red"}]}
    assert (await client.post("/", json=sent)).status == 200
    assert list(faults(await client.post("/", json={"unit_price": 1}))) == [
        "$.unitPrice",
        "$.unit_price",
    ]


async def test_a_fault_deeper_than_can_be_explained_is_a_fault(serve: Serve) -> None:
    """Of a Struct that holds itself; it is the request that is wrong."""

    async def take(tree: Tree) -> None:
        """Never called."""

    content = b'{"below":[' * 300 + b'{"value":"x"}' + b"]}" * 300
    headers = {"content-type": "application/json"}
    client = serve(endpoint("POST", "/", take))
    found = faults(await client.post("/", content=content, headers=headers))
    assert list(found) == ["$"]
    assert found["$"].startswith("Expected `int`, got `str`")


async def test_a_union_of_tagged_structs_is_a_body(serve: Serve) -> None:
    """The tag picks the class; each is closed at the top."""

    async def pay(payment: Card | Cash) -> str:
        return type(payment).__name__

    client = serve(endpoint("POST", "/", pay))
    assert (await client.post("/", json={"type": "cash", "amount": 1})).json() == "Cash"
    response = await client.post("/", json={"type": "card", "number": "1", "amount": 1})
    assert response.status == 422


async def test_a_list_of_structs_is_a_body(serve: Serve) -> None:
    """Faults say which item."""

    async def take(lines: list[Line]) -> int:
        return len(lines)

    client = serve(endpoint("POST", "/", take))
    assert (await client.post("/", json=[{"sku": "a"}, {"sku": "b"}])).json() == 2
    found = faults(await client.post("/", json=[{"sku": "a"}, {"quantity": 0}]))
    assert set(found) == {"$[1].sku", "$[1].quantity"}


LINES: list[tuple[object, object, str]] = [
    (list[Line], [{"sku": "a"}, {"sku": "b"}], "$[1]"),
    (list[Frozen], [{"sku": "a"}, {"sku": "b"}], "$[1]"),
    (list[Line] | None, [{"sku": "a"}, {"sku": "b"}], "$[1]"),
    (list[Line | None], [None, {"sku": "b"}], "$[1]"),
    (Annotated[list[Line], Meta(min_length=2)], [{"sku": "a"}, {"sku": "b"}], "$[1]"),
    (dict[str, Line], {"one": {"sku": "a"}, "two": {"sku": "b"}}, "$.two"),
]


@pytest.mark.parametrize("hint, sent, last", LINES)
async def test_the_items_of_a_body_have_their_declared_class_and_no_unknown_fields(
    serve: Serve, hint: object, sent: Any, last: str
) -> None:
    """Where they are its top level."""
    seen: list[object] = []

    async def take(body) -> None:  # type: ignore[no-untyped-def]
        seen.append(body)

    take.__annotations__["body"] = hint
    client = serve(endpoint("POST", "/", take))
    assert (await client.post("/", json=sent)).status == 204
    assert seen == [convert(sent, hint)]
    sent[1 if isinstance(sent, list) else "two"]["skuu"] = "c"
    found = faults(await client.post("/", json=sent))
    assert found == {f"{last}.skuu": "unknown field; did you mean 'sku'?"}


async def test_items_may_be_of_tagged_structs(serve: Serve) -> None:
    """Each is closed; null is none of them, and no list at all where that may be."""

    async def pay(payments: list[Card | Cash] | None) -> list[str]:
        return [type(payment).__name__ for payment in payments or ()]

    client = serve(endpoint("POST", "/", pay))
    cash, card = {"type": "cash", "amount": 1}, {"type": "card", "number": "1"}
    assert (await client.post("/", json=[cash, card])).json() == ["Cash", "Card"]
    headers = {"content-type": "application/json"}
    assert (await client.post("/", content=b"null", headers=headers)).json() == []
    assert (await client.post("/", json=[cash, {**card, "amount": 1}])).status == 422


async def test_a_body_with_a_default_may_be_left_out(serve: Serve) -> None:
    """No content is no body; content is read."""

    async def take(line: Line | None = None) -> str:
        return line.sku if line else "none"

    client = serve(endpoint("POST", "/", take))
    assert (await client.post("/")).json() == "none"
    assert (await client.post("/", json={"sku": "a"})).json() == "a"


@pytest.mark.parametrize(
    "content, detail",
    [
        (b"", "the body is empty; expected JSON"),
        (b'{"sku":', "Input data was truncated (byte 7)"),
        (b'{"sku":"a"} x', "(byte 13)"),
        (b'{"sku":"\xff"}', "the body is not UTF-8"),
        (b"NaN", "(byte 0)"),
    ],
)
async def test_what_is_not_json_is_told_with_its_place(
    serve: Serve, content: bytes, detail: str
) -> None:
    """400, and not 422: there is nothing to validate."""

    async def take(line: Line) -> None:
        pytest.fail("the operation ran")

    client = serve(endpoint("POST", "/", take))
    headers = {"content-type": "application/json"}
    response = await client.post("/", content=content, headers=headers)
    assert (response.status, json.decode(response.body)["code"]) == (400, "malformed_json")
    assert detail in json.decode(response.body)["detail"]


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"sku":' + b"[" * 100_000, b'{"x":' + b'{"x":' * 100_000]
)
async def test_nesting_without_end_is_refused(serve: Serve, content: bytes) -> None:
    """Wherever in the body it is."""

    async def take(line: Line) -> None:
        pytest.fail("the operation ran")

    client = serve(endpoint("POST", "/", take))
    headers = {"content-type": "application/json"}
    response = await client.post("/", content=content, headers=headers)
    assert (response.status, json.decode(response.body)["code"]) == (400, "json_too_deep")


@pytest.mark.parametrize(
    "kind, status",
    [
        ("application/json; charset=utf-8", 204),
        ("Application/JSON", 204),
        ("application/vnd.api+json", 204),
        ("text/json", 415),
        ("application/jsonp", 415),
        ("", 415),
    ],
)
async def test_a_body_says_that_it_is_json(serve: Serve, kind: str, status: int) -> None:
    """By its media type, parameters aside."""

    async def take(line: Line) -> None:
        assert line.sku == "a"

    client = serve(endpoint("POST", "/", take))
    response = await client.post("/", content=b'{"sku":"a"}', headers={"content-type": kind})
    assert response.status == status


async def test_the_number_of_parameters_is_limited(serve: Serve) -> None:
    """One more than the limit is too many."""

    async def take(a: list[int]) -> int:
        return len(a)

    client = serve(endpoint("GET", "/", take), max_query_params=3)
    assert (await client.get("/?a=1&a=2&a=3")).json() == 3
    assert (await client.get("/?a=1&a=2&a=3&a=4")).status == 400


async def test_a_query_that_is_not_utf_8_is_refused(serve: Serve) -> None:
    """It is not read as something else."""

    async def take(q: str) -> str:
        return q

    client = serve(endpoint("GET", "/", take))
    assert (await client.get("/?q=%C3%A9+%2B")).json() == "é +"
    assert (await client.get("/?q=%ff")).status == 400


async def test_a_status_that_was_asked_for_stays_without_a_value(serve: Serve) -> None:
    """None is 204 only where the route says nothing else."""

    async def take() -> None:
        return None

    response = await serve(endpoint("POST", "/", take, 202)).post("/")
    assert (response.status, response.body) == (202, b"")


async def test_routes_of_one_shape_do_not_share_their_parts(serve: Serve) -> None:
    """Each has its own operation, names, defaults and types."""

    async def one(a: int = 1) -> object:
        return ["one", a]

    async def two(b: str = "2") -> object:
        return ["two", b]

    client = serve(endpoint("GET", "/one", one), endpoint("GET", "/two", two))
    assert (await client.get("/one?b=x")).json() == ["one", 1]
    assert (await client.get("/two?b=x")).json() == ["two", "x"]
    assert (await client.get("/two")).json() == ["two", "2"]

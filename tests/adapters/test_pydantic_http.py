"""Models as bodies, queries and answers of routes."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ringfence.testing import TestApplication
from tests.kernel.apps import feature, found, running

pytest.importorskip("pydantic", reason="pip install 'ringfence[pydantic]'")

from pydantic import BaseModel

pytestmark = pytest.mark.anyio

ORDERS = feature("""
    from datetime import date
    from decimal import Decimal
    from typing import Generic, Literal, TypeVar

    from pydantic import BaseModel, ConfigDict, Field, RootModel, computed_field, field_validator

    from ringfence.tools.http import get, post

    T = TypeVar("T")

    class Line(BaseModel):
        sku: str = Field(min_length=1)
        quantity: int = Field(gt=0)

    class Gift(BaseModel):
        kind: Literal["gift"]
        wish: str

        def __repr__(self) -> str:
            return f"Gift({self.wish!r})"

    class Sale(BaseModel):
        kind: Literal["sale"]
        price: Decimal

    class NewOrder(BaseModel):
        order_id: int = Field(alias="orderId")
        lines: list[Line]
        note: str = "none"
        what: Gift | Sale = Field(Gift(kind="gift", wish="joy"), discriminator="kind")

        @field_validator("note")
        @classmethod
        def short(cls, note: str) -> str:
            assert len(note) < 6, "a note is at most 5 letters"
            return note

    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        a: int = 1

    class Closed(BaseModel):
        model_config = ConfigDict(extra="forbid")
        amount: int = 1

    class Either(BaseModel):
        model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)
        order_id: int = Field(alias="orderId")

    class Exact(BaseModel):
        model_config = ConfigDict(strict=True)
        day: date
        count: int

    class Lines(RootModel[list[Line]]):
        pass

    class Skus(RootModel[list[str]]):
        pass

    class Basket(Struct):
        line: Line
        more: list[Line] = []

    class Order(BaseModel):
        order_id: int = Field(serialization_alias="orderId")
        price: Decimal = Decimal("1.50")
        day: date = date(2030, 1, 1)

        @computed_field
        @property
        def total(self) -> int:
            return self.order_id + 1

    class Box(BaseModel, Generic[T]):
        items: list[T]

    class Listed(Struct, Generic[T]):
        items: list[T]

    class Filter(BaseModel):
        model_config = ConfigDict(strict=True)
        page: int = Field(1, ge=1)
        tag: list[str] = []
        since: date | None = None
        long_name: str = Field("", alias="longName")

    class Orders(Plugin):
        @post("/orders", status=201)
        async def place(self, order: NewOrder) -> str:
            return str(order)

        @post("/optional")
        async def optional(self, order: Annotated[Open | None, Meta(title="An order")]) -> str:
            return repr(order)

        @post("/default")
        async def default(self, order: Open = Open(a=7)) -> str:
            return repr(order)

        @post("/open")
        async def open(self, order: Open) -> Open:
            return order

        @post("/closed")
        async def closed(self, order: Closed) -> str:
            return repr(order)

        @post("/either")
        async def either(self, order: Either) -> str:
            return repr(order)

        @post("/exact")
        async def exact(self, order: Exact) -> str:
            return repr(order)

        @post("/many")
        async def many(self, order: list[Exact]) -> str:
            return repr(order)

        @post("/lines")
        async def lines(self, lines: Lines) -> Lines:
            return lines

        @get("/skus")
        async def skus(self, skus: Skus) -> Skus:
            return skus

        @post("/basket")
        async def basket(self, basket: Basket) -> Basket:
            return basket

        @get("/order")
        async def order(self) -> Order:
            return Order(order_id=1)

        @get("/all")
        async def all(self) -> list[Order]:
            return [Order(order_id=1)]

        @get("/box")
        async def box(self) -> Box[Order]:
            return Box[Order](items=[Order(order_id=1)])

        @get("/listed")
        async def listed(self) -> Listed[Order]:
            return Listed([Order(order_id=1)])

        @get("/maybe")
        async def maybe(self) -> Order | None:
            return None

        @get("/filter")
        async def filter(self, wanted: Filter) -> str:
            return repr(wanted)

        @get("/own")
        async def own(self) -> Line:
            return Line(sku="", quantity=0)
""")


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[TestApplication]:
    """Return an application whose routes take and give models."""
    async with running(tmp_path, {"domains/orders/orders.py": ORDERS}, strict=True) as app:
        yield app


READ: dict[str, tuple[str, object, str]] = {
    "aliases and nested models": (
        "/orders",
        {"orderId": 1, "lines": [{"sku": "tea", "quantity": 1, "colour": "red"}]},
        "order_id=1 lines=[Line(sku='tea', quantity=1)] note='none' what=Gift('joy')",
    ),
    "a union told apart": (
        "/orders",
        {"orderId": 1, "lines": [], "what": {"kind": "sale", "price": "1.20"}},
        "order_id=1 lines=[] note='none' what=Sale(kind='sale', price=Decimal('1.20'))",
    ),
    "one that is optional": ("/optional", {"a": 2}, "Open(a=2)"),
    "by its name": ("/either", {"order_id": 1}, "Either(order_id=1)"),
    "by its alias": ("/either", {"orderId": 1}, "Either(order_id=1)"),
    "a strict one": (
        "/exact",
        {"day": "2030-01-01", "count": 1},
        "Exact(day=datetime.date(2030, 1, 1), count=1)",
    ),
    "a list of strict ones": (
        "/many",
        [{"day": "2030-01-01", "count": 1}],
        "[Exact(day=datetime.date(2030, 1, 1), count=1)]",
    ),
}


@pytest.mark.parametrize("case", READ.values(), ids=READ.keys())
async def test_a_body_is_read_as_its_model(
    app: TestApplication, case: tuple[str, object, str]
) -> None:
    """As pydantic reads JSON, with all that a model says."""
    path, body, expected = case
    answer = await app.http.post(path, json=body)
    assert (answer.status, answer.json()) == (201 if path == "/orders" else 200, expected)


REFUSED: dict[str, tuple[str, object, set[tuple[str, str]]]] = {
    "all that is wrong": (
        "/orders",
        {
            "orderId": "one",
            "lines": [{"sku": "", "quantity": 1}, {"quantity": 0}, 7],
            "note": "far too long",
            "what": {"kind": "sale"},
            "orderID": 1,
        },
        {
            ("$.orderID", "unknown field; did you mean 'orderId'?"),
            ("$.orderId", "Input should be a valid integer, unable to parse string as an integer"),
            ("$.lines[0].sku", "String should have at least 1 character"),
            ("$.lines[1].sku", "is missing"),
            ("$.lines[1].quantity", "Input should be greater than 0"),
            ("$.lines[2]", "Input should be an object"),
            ("$.note", "a note is at most 5 letters"),
            ("$.what.price", "is missing"),
        },
    ),
    "an unknown field alone": (
        "/orders",
        {"orderId": 1, "lines": [], "nota": "x"},
        {("$.nota", "unknown field; did you mean 'note'?")},
    ),
    "what the model forbids itself": (
        "/closed",
        {"amuont": 1},
        {("$.amuont", "unknown field; did you mean 'amount'?")},
    ),
    "another kind of value": (
        "/orders",
        [1],
        {("$", "Input should be an object")},
    ),
    "of a strict one": (
        "/exact",
        {"day": "2030-01-01", "count": "1"},
        {("$.count", "Input should be a valid integer")},
    ),
    "below a list": (
        "/many",
        [{"day": "2030-01-01", "count": 1}, {"day": "soon"}],
        {
            (
                "$[1].day",
                "Input should be a valid date in the format YYYY-MM-DD, input is too short",
            ),
            ("$[1].count", "is missing"),
        },
    ),
    "below a struct": (
        "/basket",
        {"line": {"sku": "tea"}, "more": [{"sku": 1, "quantity": 1}], "les": 1},
        {
            ("$.line.quantity", "is missing"),
            ("$.more[0].sku", "Input should be a valid string"),
            ("$.les", "unknown field"),
        },
    ),
    "of a root model": ("/lines", [{"quantity": 1}], {("$[0].sku", "is missing")}),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
async def test_a_body_that_does_not_fit_is_told_every_fault(
    app: TestApplication, case: tuple[str, object, set[tuple[str, str]]]
) -> None:
    """422, in the shape that every refusal has; what is unknown is refused at the top."""
    path, body, expected = case
    answer = await app.http.post(path, json=body)
    problem: Any = answer.json()
    assert (answer.status, problem["code"]) == (422, "invalid")
    assert {(e["path"], e["message"]) for e in problem["errors"]} == expected


async def test_a_body_of_very_many_faults_is_looked_at_twice_at_most(
    app: TestApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once to read it, and a part of it to explain it."""
    sizes: list[int] = []
    validate = BaseModel.model_validate.__func__  # type: ignore[attr-defined]

    def counted(cls: type[BaseModel], value: Any, /, **how: Any) -> BaseModel:
        sizes.append(len(value["lines"]))
        made: BaseModel = validate(cls, value, **how)
        return made

    monkeypatch.setattr(BaseModel, "model_validate", classmethod(counted))
    answer = await app.http.post("/orders", json={"orderId": 1, "lines": [{}] * 5000})
    problem: Any = answer.json()
    assert answer.status == 422
    assert problem["errors"][0] == {"path": "$.lines[0].sku", "message": "is missing"}
    assert len(problem["errors"]) == 101
    assert sizes == [5000, 100]


@pytest.mark.parametrize("content", [b"", b"{", b'{"orderId": NaN}', b"\xff"])
async def test_what_is_no_json_is_refused_as_ever(app: TestApplication, content: bytes) -> None:
    """400, before any model sees it."""
    headers = {"content-type": "application/json"}
    answer = await app.http.post("/orders", content=content, headers=headers)
    assert answer.status == 400


async def test_a_model_may_keep_what_it_does_not_know(app: TestApplication) -> None:
    """`extra="allow"` is its own word."""
    answer = await app.http.post("/open", json={"a": 1, "b": [2]})
    assert answer.json() == {"a": 1, "b": [2]}


async def test_a_default_stands_for_no_body(app: TestApplication) -> None:
    """As for a Struct."""
    assert (await app.http.post("/default")).json() == "Open(a=7)"


ORDER = {"orderId": 1, "price": "1.50", "day": "2030-01-01", "total": 2}


@pytest.mark.parametrize(
    "path, expected",
    [
        ("/order", ORDER),
        ("/all", [ORDER]),
        ("/box", {"items": [ORDER]}),
        ("/listed", {"items": [ORDER]}),
    ],
)
async def test_a_result_is_written_as_its_model_says(
    app: TestApplication, path: str, expected: object
) -> None:
    """By its serialization aliases, with computed fields; alone, in lists, in generic types."""
    answer = await app.http.get(path)
    assert (answer.status, answer.json()) == (200, expected)


async def test_a_body_that_goes_through_comes_back_the_same(app: TestApplication) -> None:
    """Through a Struct that holds models, and through a root model."""
    basket = {"line": {"sku": "tea", "quantity": 1}, "more": [{"sku": "pot", "quantity": 2}]}
    assert (await app.http.post("/basket", json=basket)).json() == basket
    assert (await app.http.post("/lines", json=basket["more"])).json() == basket["more"]


async def test_a_root_model_comes_from_where_its_root_would(app: TestApplication) -> None:
    """A list of scalars is read from a query."""
    assert (await app.http.get("/skus?skus=a&skus=b")).json() == ["a", "b"]


async def test_null_is_none_where_a_model_is_optional(app: TestApplication) -> None:
    """As for a Struct."""
    headers = {"content-type": "application/json"}
    answer = await app.http.post("/optional", content=b"null", headers=headers)
    assert answer.json() == "None"


async def test_no_result_is_no_content(app: TestApplication) -> None:
    """`Order | None` as for a Struct."""
    assert (await app.http.get("/maybe")).status == 204


async def test_a_whole_query_is_read_as_a_model(app: TestApplication) -> None:
    """Text becomes numbers and dates, whatever the model says of strictness elsewhere."""
    answer = await app.http.get("/filter?page=2&tag=a&tag=b&since=2030-01-01&longName=x")
    assert answer.json() == (
        "Filter(page=2, tag=['a', 'b'], since=datetime.date(2030, 1, 1), long_name='x')"
    )
    assert (await app.http.get("/filter")).json() == (
        "Filter(page=1, tag=[], since=None, long_name='')"
    )


async def test_a_query_that_does_not_fit_is_told_every_fault(app: TestApplication) -> None:
    """Under `query`."""
    answer = await app.http.get("/filter?page=0&since=soon")
    problem: Any = answer.json()
    assert answer.status == 422
    assert [e["path"] for e in problem["errors"]] == ["query.page", "query.since"]


async def test_what_a_features_own_code_fails_to_validate_is_its_bug(app: TestApplication) -> None:
    """500, and nothing of it is told."""
    answer = await app.http.get("/own")
    assert (answer.status, answer.json()["code"]) == (500, "internal")  # type: ignore[index]
    assert "sku" not in answer.text


def test_a_query_model_with_an_object_is_a_finding(tmp_path: Path) -> None:
    """As of a Struct: a query has no nested fields."""
    text = ORDERS.replace("tag: list[str] = []", "tag: Line | None = None")
    findings = found(tmp_path, {"domains/orders/orders.py": text})
    assert [(f.rule, "field 'tag' of parameter 'wanted'" in f.message) for f in findings] == [
        ("RF306", True)
    ]


async def test_the_document_describes_models_as_pydantic_does(app: TestApplication) -> None:
    """As they are read, and as they are written, where that differs; every reference is there."""
    answer = await app.http.get("/openapi.json")
    document: Any = answer.json()
    schemas = document["components"]["schemas"]
    body = document["paths"]["/orders"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"] == {
        "$ref": "#/components/schemas/NewOrder",
        "unevaluatedProperties": False,
    }
    assert schemas["NewOrder"]["required"] == ["orderId", "lines"]
    assert schemas["Line"]["properties"]["quantity"]["exclusiveMinimum"] == 0
    assert list(schemas["Order"]["properties"]) == ["orderId", "price", "day", "total"]
    parameters = document["paths"]["/filter"]["get"]["parameters"]
    assert [p["name"] for p in parameters] == ["page", "tag", "since", "longName"]
    assert {"Basket", "Box_Order", "Listed_Order", "Lines", "Skus"} <= set(schemas)
    assert not [name for name in schemas if name.endswith("-Output")]
    referred = set(re.findall(r'"#/components/schemas/([^"]+)"', answer.text))
    assert referred | {"Filter"} == set(schemas)
    assert "~" not in answer.text


BOTH_WAYS = feature("""
    from decimal import Decimal

    from pydantic import BaseModel

    from ringfence.tools.http import get, post

    class Price(BaseModel):
        amount: Decimal = Decimal(1)

    class Sku(BaseModel):
        text: str

    class Offer(Struct):
        price: Price
        sku: Sku

    class Offers(Plugin):
        @post("/NAME")
        async def give(self, offer: Offer) -> Offer:
            return offer
""")


async def test_what_is_read_otherwise_than_written_has_two_schemas(tmp_path: Path) -> None:
    """And so has whatever holds it; classes of one name in two domains are told apart."""
    files = {
        "domains/sales/offer.py": BOTH_WAYS.replace("NAME", "a"),
        "domains/stock/offer.py": BOTH_WAYS.replace("NAME", "b").replace("amount", "cents"),
    }
    async with running(tmp_path, files, strict=True) as app:
        document: Any = (await app.http.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    given = document["paths"]["/a"]["post"]
    name = given["requestBody"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
    (answered,) = given["responses"]["200"]["content"]["application/json"]["schema"].values()
    assert answered.split("/")[-1] == f"{name}-Output"
    amounts = [
        schema["properties"]["amount"]["anyOf" if "Output" not in key else "type"]
        for key, schema in sorted(schemas.items())
        if "amount" in schema.get("properties", {})
    ]
    assert amounts[0][0] == {"type": "number"}
    assert amounts[1] == "string"
    assert len([key for key in schemas if "Price" in key]) == 4
    assert len([key for key in schemas if "Sku" in key]) == 1

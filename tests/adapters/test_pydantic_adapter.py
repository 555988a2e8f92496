"""The adapter of pydantic models: what it reads, explains, writes and describes."""

import re
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Struct, ValidationError, inspect

from ringfence.contracts.payload import (
    adapter_of,
    conform,
    describe,
    faults,
    is_carried,
    members,
    to_plain,
)
from ringfence.errors import Fault

pydantic = pytest.importorskip("pydantic", reason="pip install 'ringfence[pydantic]'")

from pydantic import (  # noqa: E402 - where it is there
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    model_validator,
)

from ringfence.adapters import pydantic as adapter  # noqa: E402
from ringfence.contracts.payload import MOST_FAULTS, Adapter  # noqa: E402
from ringfence.tools.http.binding import body  # noqa: E402

ADAPTER: Adapter = adapter  # what the kernel needs is what the module has


class Line(BaseModel):
    sku: str
    quantity: int = Field(1, gt=0)


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


class Node(BaseModel):
    value: int
    below: list["Node"] = []


class Colour(Enum):
    RED = "red"


class All(BaseModel):
    line: Line
    either: int | Line
    pet: Cat | Dog = Field(discriminator="kind")
    by_key: dict[str, Line] = {}
    by_number: dict[int, Colour] = {}
    node: Node | None = None
    pair: tuple[int, str] = (1, "a")
    day: date = date(2030, 1, 1)
    moment: datetime | None = None
    span: timedelta = timedelta(1)
    id: UUID | None = None
    anything: Any = None

    @model_validator(mode="after")
    def consistent(self) -> "All":
        if self.line.sku == "no":
            raise ValueError("no such line")
        return self


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    day: date
    count: int = 0


class Named(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    first: int = Field(1, alias="one")
    second: int = Field(2, validation_alias=AliasChoices("two", AliasPath("deux", 0)))


class Skus(RootModel[list[str]]):
    pass


class Holder(Struct):
    line: Line
    lines: list[Line] = []
    maybe: Strict | None = None


GOOD = {
    "line": {"sku": "a"},
    "either": 1,
    "pet": {"kind": "cat", "lives": 9},
}
values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["a", "cat", "2030-01-01"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["sku", "quantity", "kind", "lives", "value", "below", "day", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
payloads = values | st.dictionaries(
    st.sampled_from([*sorted(All.model_fields), "lines", "maybe"]), values, max_size=4
).map(lambda given: {**GOOD, **given})
HINTS: list[Any] = [Line, Strict, All, Skus, Named, Holder, list[Line], Line | None, Node]


@settings(max_examples=400, deadline=None)
@example({**GOOD, "pair": []}, All, True)
@given(payloads, st.sampled_from(HINTS), st.booleans())
def test_there_are_faults_exactly_where_the_value_cannot_be_read(
    value: object, hint: type[object], strict: bool
) -> None:
    """And each is at a place of the payload, or right below one that is there."""
    try:
        conform(value, hint, strict=strict)
    except ValidationError:
        found = faults(value, hint, strict=strict)
        assert found
        for fault in found:
            assert is_place(value, fault.path), (value, fault)
    else:
        assert faults(value, hint, strict=strict) == []


def is_place(value: object, path: str) -> bool:
    steps = re.findall(r"\.([^.\[]+)|\[(\d+)\]", path.removeprefix("$"))
    for i, (key, index) in enumerate(steps):
        if index:
            if not isinstance(value, list):
                return False
            if int(index) >= len(value):  # an item that lacks
                return i == len(steps) - 1
            value = value[int(index)]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            return i == len(steps) - 1
    return True


@settings(max_examples=200, deadline=None)
@given(st.builds(Line, sku=st.text(), quantity=st.integers(1, 2**40)))
def test_what_is_written_is_read_back(line: Line) -> None:
    """Through plain data, alone and in a Struct."""
    assert conform(to_plain(line), Line) == line
    assert conform(to_plain(Holder(line, [line])), Holder) == Holder(line, [line])


def test_an_instance_passes_as_it_is() -> None:
    """So does one of a derived class; nothing is validated again."""

    class More(Line):
        pass

    for line in (Line.model_construct(sku="a", quantity=-1), More(sku="a", quantity=1)):
        assert conform(line, Line) is line
        assert conform([line], list[Line])[0] is line


@pytest.mark.parametrize(
    "payload, path, message",
    [
        ({"either": {"quantity": 1}}, "$.either.sku", "is missing"),
        ({"pet": {"kind": "dog"}}, "$.pet.name", "is missing"),
        ({"pet": {"kind": "cow"}}, "$.pet", "Input tag 'cow' found"),
        ({"by_key": {"a.b": {}}}, "$.by_key.a.b.sku", "is missing"),
        ({"by_number": {"x": "red"}}, "$.by_number.x", "Input should be a valid integer"),
        ({"by_number": {"1": "blue"}}, "$.by_number.1", "Input should be 'red'"),
        ({"node": {"value": 1, "below": [{}]}}, "$.node.below[0].value", "is missing"),
        ({"pair": [1]}, "$.pair[1]", "is missing"),
        ({"line": {"sku": "no"}}, "$", "no such line"),
    ],
)
def test_a_fault_is_told_where_it_is(payload: object, path: str, message: str) -> None:
    """The arms of a union and the validators that found it are no places of the payload."""
    assert isinstance(payload, dict)
    found = faults({**GOOD, **payload}, All)
    assert any(f.path == path and f.message.startswith(message) for f in found), found


def test_what_no_arm_of_a_union_takes_is_one_fault() -> None:
    """It says what each of them wants."""
    (fault,) = faults({**GOOD, "either": "x"}, All)
    assert fault.path == "$.either"
    assert fault.message.count("; or ") == 1


def test_a_strict_model_reads_json_and_not_more() -> None:
    """A date as text is JSON; a number as text is none, but in a query."""
    assert conform({"day": "2030-01-01"}, Strict) == Strict(day=date(2030, 1, 1))
    assert faults({"day": "2030-01-01", "count": "1"}, Strict) != []
    assert conform({"day": "2030-01-01", "count": "1"}, Strict, strict=False).count == 1
    assert conform({"day": date(2030, 1, 1)}, Strict).day == date(2030, 1, 1)


def test_a_bug_in_a_validator_is_no_fault_of_the_payload() -> None:
    """Whatever it raises beside ValueError and AssertionError is its own."""

    class Broken(BaseModel):
        count: int

        @model_validator(mode="after")
        def divide(self) -> "Broken":
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        conform({"count": 1}, Broken)


def test_the_keys_of_a_model_are_all_that_it_reads() -> None:
    """Names, aliases and the beginnings of paths; none where it keeps or forbids others itself."""
    assert adapter.keys(Named) == frozenset({"first", "one", "second", "two", "deux"})
    assert adapter.keys(Line) == frozenset({"sku", "quantity"})
    assert adapter.keys(Strict) is None
    assert adapter.keys(Skus) is None


def test_a_model_is_described_as_a_struct_would_be() -> None:
    """So that contracts, queries and bodies treat it as one."""
    described = describe(All)
    assert isinstance(described, inspect.StructType)
    fields = {field.encode_name: field.type for field in described.fields}
    assert isinstance(fields["line"], inspect.StructType)
    assert isinstance(fields["by_number"], inspect.DictType)
    assert isinstance(fields["by_number"].key_type, inspect.IntType)
    assert fields["by_number"].value_type == inspect.LiteralType(("red",))
    assert isinstance(fields["pair"], inspect.TupleType)
    assert isinstance(fields["day"], inspect.DateType)
    assert isinstance(fields["span"], inspect.TimeDeltaType)
    assert fields["id"] == inspect.UnionType((inspect.UUIDType(), inspect.NoneType()))
    assert isinstance(fields["anything"], inspect.AnyType)
    assert [f.encode_name for f in described.fields if f.required] == ["line", "either", "pet"]


def test_a_model_that_holds_itself_is_described_once() -> None:
    """Its description leads back to itself."""
    described = describe(Node)
    assert isinstance(described, inspect.StructType)
    below = described.fields[1].type
    assert isinstance(below, inspect.ListType)
    assert below.item_type is described


def test_only_models_are_carried() -> None:
    """What msgspec knows, and what nobody does, is none of the adapter's."""
    assert adapter_of(Line) is ADAPTER
    assert [adapter_of(cls) for cls in (Holder, int, Colour, object, list[Line])] == [None] * 5
    assert [is_carried(hint) for hint in (Line, list[Line], Holder, Line | None)] == [True] * 4
    assert not is_carried(dict[str, int])


def test_the_fields_of_a_model_are_its_members() -> None:
    """Under their aliases; a root model has those of its root."""
    known = members(Named)
    assert known is not None
    assert [(member.key, member.required) for member in known] == [("one", False), ("two", False)]
    assert members(Skus) is None


class Numbers(BaseModel):
    items: list[int] = Field([], min_length=200)
    last: int = 0
    needed: int


def test_no_more_is_explained_than_an_answer_has_room_for() -> None:
    """Whoever sends a payload decides how much is wrong with it, and not how long that takes."""
    found = ADAPTER.faults(Numbers, {"items": ["x"] * 5000}, True)
    assert [fault.path for fault in found[:2]] == ["$.items[0]", "$.items[1]"]
    assert MOST_FAULTS < len(found) < 200
    many = {f"item{n}": n for n in range(5000)}
    assert len(body.reader(Numbers).unknown(many)) == MOST_FAULTS + 1


def test_faults_beyond_the_part_that_is_looked_at_are_counted() -> None:
    """With those of the part; that a part lacks something is no fault of the data."""
    items = [*range(200), *["x"] * 5000]
    assert ADAPTER.faults(Numbers, {"items": items, "needed": 1}, True) == [
        Fault("$", "has 5000 faults")
    ]
    assert ADAPTER.faults(Numbers, {"items": items, "last": "x"}, True) == [
        Fault("$.last", "Input should be a valid integer, unable to parse string as an integer"),
        Fault("$.needed", "is missing"),
        Fault("$", "has 5002 faults"),
    ]
    keys = {f"key{n}": n for n in range(3000)}
    assert ADAPTER.faults(Numbers, {**keys, "items": items, "needed": 1}, True) == [
        Fault("$", "has 5000 faults")
    ]


def test_every_fault_of_much_data_is_listed_where_they_are_few() -> None:
    """Wherever they are."""
    found = ADAPTER.faults(Numbers, {"items": [*range(300), "x"], "needed": 1}, True)
    assert [fault.path for fault in found] == ["$.items[300]"]


def test_data_that_are_nested_deeply_are_explained() -> None:
    """However many errors pydantic finds in them."""
    payload: dict[str, object] = {"value": 1, "below": [{}] * 1500}
    for _ in range(60):
        payload = {"value": 1, "below": [payload]}
    assert ADAPTER.faults(Node, payload, True) == [Fault("$", "has 1500 faults")]


def test_an_error_is_no_longer_than_its_first_fault() -> None:
    """It holds neither the data nor all that is wrong with them."""
    for payload, said in (
        ({"items": ["x"] * 5000}, "has 5001 faults"),
        ({"items": [*range(300)], "x": "y" * 5000}, "$.needed: is missing"),
    ):
        with pytest.raises(adapter.Unfit) as caught:
            ADAPTER.read(Numbers, payload, True)
        assert str(caught.value) == said
        assert caught.value.__context__ is None

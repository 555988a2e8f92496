"""Reading a payload, and naming every fault of one that does not fit."""

import dataclasses
import enum
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Generic, Literal, NotRequired, TypedDict, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct, ValidationError, convert

from ringfence.contracts.payload import carry_out, conform, faults, read
from ringfence.errors import Fault, Invalid, did_you_mean

T = TypeVar("T")


class Line(Struct):
    sku: str
    quantity: Annotated[int, Meta(gt=0)]


class Address(TypedDict):
    city: str
    zip: NotRequired[int]


@dataclasses.dataclass
class Buyer:
    name: str
    address: Address | None = None


class Order(Struct, rename="camel"):
    order_id: int
    lines: list[Line]
    buyer: Buyer
    prices: dict[str, float] = {}
    due: date | None = None


class Closed(Struct, forbid_unknown_fields=True):
    quantity: int
    note: str = ""


class Page(Struct, Generic[T]):
    items: list[T]


GOOD = {
    "orderId": 1,
    "lines": [{"sku": "tea", "quantity": 1}, {"sku": "pot", "quantity": 2}],
    "buyer": {"name": "Ada", "address": {"city": "Paris", "zip": 1}},
    "prices": {"tea": 1.5, "pot": 2},
    "due": "2030-01-01",
}

# Where a fault can be put, what to put there, and what is then said.
BREAKS: dict[tuple[str | int, ...], tuple[object, str]] = {
    ("orderId",): ("one", "$.orderId"),
    ("lines", 0, "sku"): (7, "$.lines[0].sku"),
    ("lines", 0, "quantity"): (0, "$.lines[0].quantity"),
    ("lines", 1, "quantity"): (None, "$.lines[1].quantity"),
    ("buyer", "name"): (None, "$.buyer.name"),
    ("buyer", "address", "city"): (False, "$.buyer.address.city"),
    ("buyer", "address", "zip"): ("x", "$.buyer.address.zip"),
    ("prices", "tea"): ("much", "$.prices.tea"),
    ("prices", "pot"): ([], "$.prices.pot"),
    ("due",): ("soon", "$.due"),
}


def broken(payload: object, where: tuple[str | int, ...], value: object) -> object:
    """Return a copy of `payload` with `value` put at `where`."""
    if not where:
        return value
    first, rest = where[0], where[1:]
    if isinstance(payload, list):
        return [broken(item, rest, value) if i == first else item for i, item in enumerate(payload)]
    assert isinstance(payload, Mapping)
    return {k: broken(v, rest, value) if k == first else v for k, v in payload.items()}


def paths(found: list[Fault]) -> list[str]:
    return sorted(fault.path for fault in found)


@given(st.sets(st.sampled_from(sorted(BREAKS, key=str))))
def test_each_independently_broken_field_is_one_fault(places: set[tuple[str | int, ...]]) -> None:
    """However many fields are broken, each is listed once, at its path."""
    payload: object = GOOD
    for where in places:
        payload = broken(payload, where, BREAKS[where][0])
    assert paths(faults(payload, Order)) == sorted(BREAKS[where][1] for where in places)


@given(st.sets(st.sampled_from(["orderId", "lines", "buyer"])))
def test_each_missing_field_is_one_fault(missing: set[str]) -> None:
    """What must be there and is not is said for each, not for the first alone."""
    payload = {key: value for key, value in GOOD.items() if key not in missing}
    expected = sorted((Fault(f"$.{key}", "is missing") for key in missing), key=str)
    assert sorted(faults(payload, Order), key=str) == expected


json = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text("ab1"),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["sku", "quantity", "city", "name", "note", "1"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)
HINTS: list[Any] = [
    int,
    float,
    str | None,
    int | str,
    Annotated[list[int], Meta(max_length=1)],
    dict[int, str],
    dict[str, Line],
    tuple[int, str],
    tuple[int],
    set[int],
    Line,
    Line | None,
    list[Line],
    Closed,
    Address,
    Buyer,
    Page[Line],
    Order,
]


@settings(max_examples=400, deadline=None)
@given(json, st.sampled_from(HINTS), st.booleans())
def test_there_are_faults_exactly_where_the_value_cannot_be_read(
    value: object, hint: type[object], strict: bool
) -> None:
    """`faults` says something if and only if the conversion fails."""
    try:
        convert(value, hint, strict=strict, str_keys=True)
    except ValidationError:
        assert faults(value, hint, strict=strict)
    else:
        assert faults(value, hint, strict=strict) == []


@settings(max_examples=200, deadline=None)
@given(json, st.sampled_from(HINTS))
def test_what_cannot_be_read_is_refused_with_its_faults(value: object, hint: type[object]) -> None:
    """`read` returns a value or raises Invalid with at least one fault; never anything else."""
    if not faults(value, hint):
        read(value, hint, "orders.place")
        return
    with pytest.raises(Invalid) as refused:
        read(value, hint, "orders.place")
    assert refused.value.faults == tuple(faults(value, hint))
    assert refused.value.subject == "orders.place"


def test_an_object_of_another_class_is_examined_field_by_field() -> None:
    """A Struct or a dataclass in the place of a mapping has all of its faults listed."""

    class Loose(Struct):
        sku: object
        quantity: int

    @dataclasses.dataclass
    class Data:
        sku: object
        quantity: int

    for loose in (Loose(1, 0), Data(1, 0)):
        assert paths(faults(loose, Line)) == ["$.quantity", "$.sku"]
        assert paths(faults([loose], list[Line])) == ["$[0].quantity", "$[0].sku"]


def test_an_object_is_read_through_plain_data_where_it_has_no_attributes_to_read() -> None:
    """A TypedDict takes the fields of a Struct, and renamed fields meet under their names."""

    class Placed(Struct, rename="camel"):
        order_id: int
        city: str

    class Read(Struct, rename="camel"):
        order_id: int

    assert conform(Placed(1, "Paris"), Address) == {"city": "Paris"}
    assert conform(Placed(1, "Paris"), Read) == Read(1)


def test_a_value_of_no_known_kind_is_one_fault() -> None:
    """An object that has no plain data is refused, not tripped over."""
    assert [fault.path for fault in faults(object(), Line)] == ["$"]
    assert [fault.path for fault in faults({"sku": object(), "quantity": 1}, Line)] == ["$.sku"]


def test_unknown_fields_are_faults_only_where_the_type_forbids_them() -> None:
    """A tolerant type ignores them; one that forbids them names each, with the nearest field."""
    line = {"sku": "tea", "quantity": 1, "colour": "red"}
    assert faults(line, Line) == []
    found = faults({"quantity": 1, "noet": "x", "colour": 1}, Closed)
    assert Fault("$.noet", "unknown field; did you mean 'note'?") in found
    assert Fault("$.colour", "unknown field") in found


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Choice(Struct):
    status: Literal["open", "closed"] | None = None
    level: Literal[1, 2] = 1
    colour: Annotated[Colour, Meta(description="of the door")] = Colour.RED


def test_a_value_out_of_a_few_is_told_which_there_are() -> None:
    """An Enum's values and a Literal's are named; a wrong type is still told as such."""
    wrong = {"status": "opne", "level": 3, "colour": "green"}
    assert [(fault.path, fault.message) for fault in faults(wrong, Choice)] == [
        ("$.status", "Expected one of 'closed', 'open', got 'opne'"),
        ("$.level", "Expected one of 1, 2, got 3"),
        ("$.colour", "Expected one of 'red', 'blue', got 'green'"),
    ]
    assert [fault.path for fault in faults({"level": "1"}, Choice)] == ["$.level"]


def test_a_key_that_is_no_text_is_a_fault_like_any_other() -> None:
    """A mapping made in Python may have any key."""
    assert paths(faults({"quantity": 1, 7: 1}, Closed)) == ["$.7"]


def test_the_hint_is_close_or_absent() -> None:
    """A near miss is suggested, a far one is not."""
    assert did_you_mean("quantty", ["quantity", "sku"]) == "; did you mean 'quantity'?"
    assert did_you_mean("zzz", ["quantity", "sku"]) == ""


@pytest.mark.parametrize("value", [{"sku": "tea", "quantity": 1}, Line("tea", 1)])
def test_a_value_that_fits_is_read(value: object) -> None:
    """A mapping and an instance both give the Struct."""
    assert read(value, Line, "x") == Line("tea", 1)


def test_a_forgotten_await_is_named_where_its_coroutine_would_be_sent() -> None:
    """The type alone says little to whoever has forgotten it."""

    async def find() -> int:
        return 1

    forgotten = find()
    with pytest.raises(TypeError, match=r"find\(\) was called without `await`"):
        carry_out(forgotten)
    with pytest.raises(TypeError, match=r"type object is unsupported\.$"):
        carry_out(object())

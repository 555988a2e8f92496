"""Whether a consumer's view fits a provider: what is said to fit can always be read."""

import dataclasses
import enum
from collections import namedtuple
from collections.abc import Mapping
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NotRequired,
    Optional,
    TypedDict,
    Union,
)

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct, defstruct

from ringfence.contracts.compatibility import misfits, view_misfits
from ringfence.contracts.payload import conform, describe
from ringfence.kernel.ports import Parameter, Signature

NAMES = ("sku", "order_id", "lines")
SCALARS: dict[type, st.SearchStrategy[object]] = {
    int: st.integers(-(2**40), 2**40),
    float: st.floats(allow_nan=False),
    str: st.text(max_size=5),
    bool: st.booleans(),
    bytes: st.binary(max_size=5),
}


class Shape(Struct, frozen=True):
    """A type of the grammar, and its values."""

    hint: Any
    values: Any  # a strategy


def scalar(kind: type) -> Shape:
    return Shape(kind, SCALARS[kind])


def optional(inner: Shape) -> Shape:
    return Shape(Optional[inner.hint], st.none() | inner.values)  # noqa: UP045 - built at run time


def listed(inner: Shape) -> Shape:
    return Shape(list[inner.hint], st.lists(inner.values, max_size=2))  # type: ignore[name-defined]


def mapped(inner: Shape) -> Shape:
    keys = st.text(max_size=3)
    hint = dict[str, inner.hint]  # type: ignore[name-defined]
    return Shape(hint, st.dictionaries(keys, inner.values, max_size=2))


def paired(first: Shape, second: Shape) -> Shape:
    hint = tuple[first.hint, second.hint]  # type: ignore[name-defined]
    return Shape(hint, st.tuples(first.values, second.values))


def struct(members: Mapping[str, Shape], rename: Literal["camel", "upper"] | None) -> Shape:
    fields = [(name, shape.hint) for name, shape in members.items()]
    cls = defstruct("Made", fields, rename=rename)
    return Shape(cls, st.builds(cls, **{name: shape.values for name, shape in members.items()}))


def dataclass(members: Mapping[str, Shape]) -> Shape:
    cls = dataclasses.make_dataclass("Made", [(n, s.hint) for n, s in members.items()])
    return Shape(cls, st.builds(cls, **{name: shape.values for name, shape in members.items()}))


def typed_dict(members: Mapping[str, Shape], absent: frozenset[str]) -> Shape:
    hints = {n: NotRequired[s.hint] if n in absent else s.hint for n, s in members.items()}
    cls = TypedDict("Made", hints)  # type: ignore[misc]
    needed = {n: s.values for n, s in members.items() if n not in absent}
    rest = {n: s.values for n, s in members.items() if n in absent}
    return Shape(cls, st.fixed_dictionaries(needed, optional=rest))


def objects(inner: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    members = st.dictionaries(st.sampled_from(NAMES), inner, min_size=1, max_size=3)
    return st.one_of(
        st.builds(struct, members, st.sampled_from([None, "camel", "upper"])),
        st.builds(dataclass, members),
        st.builds(typed_dict, members, st.frozensets(st.sampled_from(NAMES), max_size=2)),
    )


shapes = st.recursive(
    st.sampled_from([scalar(kind) for kind in SCALARS]),
    lambda inner: st.one_of(
        inner.map(optional),
        inner.map(listed),
        inner.map(mapped),
        st.builds(paired, inner, inner),
        objects(inner),
    ),
    max_leaves=4,
)


def fit(source: object, target: object) -> list[str]:
    return misfits(describe(source), describe(target), "result")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_value_of_a_type_that_fits_can_be_read_as_the_other(data: st.DataObject) -> None:
    """No misfits between A and B means that each value of A converts to B."""
    source = data.draw(shapes, "source")
    target = data.draw(st.one_of(shapes, st.just(source), objects(shapes)), "target")
    if not fit(source.hint, target.hint):
        conform(data.draw(source.values, "value"), target.hint)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_subset_of_the_fields_always_fits(data: st.DataObject) -> None:
    """A view that has some of the provider's fields, in a class of any kind, fits it."""
    members = data.draw(st.dictionaries(st.sampled_from(NAMES), shapes, min_size=1), "members")
    chosen = data.draw(st.sets(st.sampled_from(sorted(members)), min_size=1), "chosen")
    some = {name: members[name] for name in chosen}
    kinds = [lambda m: struct(m, None), dataclass, lambda m: typed_dict(m, frozenset())]
    source = data.draw(st.sampled_from(kinds), "provider")(members)
    target = data.draw(st.sampled_from(kinds), "view")(some)
    assert fit(source.hint, target.hint) == []
    conform(data.draw(source.values, "value"), target.hint)


@settings(max_examples=100, deadline=None)
@given(shapes)
def test_every_type_fits_itself(shape: Shape) -> None:
    """A consumer that copies the provider's own type fits."""
    assert fit(shape.hint, shape.hint) == []


class Level(Struct):
    available: int


class Stock(Struct):
    sku: str
    available: int
    note: str | None = None


class Colour(enum.Enum):
    RED = "red"


class Paint(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(NamedTuple):
    x: int
    y: str


class Maybe(TypedDict):
    sku: NotRequired[str]


class Sku(Struct):
    sku: str


class Closed(Struct, forbid_unknown_fields=True):
    available: int


class Node(Struct):
    value: int
    below: "list[Node]"


class NodeView(Struct):
    below: "list[NodeView]"


Swapped = namedtuple("Swapped", ["x", "y"])

FITTING = [
    (Stock, Level),
    (int, float),
    (Literal["red"], str),
    (Literal["red"], Literal["red", "blue"]),
    (Colour, Paint),
    (list[Stock], tuple[Level, ...]),
    (Stock, object),
    (Stock, Level | None),
    (Annotated[int, Meta(gt=0)], int),
    (Annotated[int, Meta(description="cents")], int),
    (list[str], list[Annotated[str, Meta(title="sku", examples=["tea"])]]),
    (tuple[int, str], Point),
    (Node, NodeView),
]


@pytest.mark.parametrize("source, target", FITTING)
def test_what_a_tolerant_reader_may_declare(source: object, target: object) -> None:
    """Fewer fields, wider numbers, more alternatives and other kinds of arrays fit."""
    assert fit(source, target) == []


MISFITTING = [
    (Level, Stock, "result.sku: the provider's Level has no such field"),
    (int | None, int, "result: none does not fit int"),
    (float, int, "result: float does not fit int"),
    (str, Literal["red"], "result: str does not fit literal"),
    (Paint, Colour, "result: Paint does not fit Colour"),
    (list[Stock], list[Sku | int], None),
    (dict[str, Stock], dict[str, Closed], "result value: Closed forbids unknown fields"),
    (Maybe, Sku, "result.sku: the provider's Maybe may lack it"),
    (tuple[int, str], tuple[str, int], "result[0]: int does not fit str"),
    (tuple[int, int], tuple[int], "result: 2 items do not fit 1"),
    (Point, Sku, "result: Point does not fit Sku"),
    (Any, int, "result: any does not fit int"),
    (Stock, dict[str, int], "result: Stock does not fit dict"),
    (Union[int, str, None], int | str, "none"),  # noqa: UP007 - as an author may write it
]


@pytest.mark.parametrize("source, target, said", MISFITTING)
def test_a_misfit_names_its_place_and_both_types(
    source: object, target: object, said: str | None
) -> None:
    """What does not fit is said with its path in the result."""
    listed = fit(source, target)
    if said is None:  # a Struct among scalars: readable, so no misfit
        assert listed == []
    else:
        assert said in "\n".join(listed)


def test_a_near_miss_of_a_name_is_told() -> None:
    """A field that is spelled almost as the provider's own names it."""
    typo = defstruct("Typo", [("availabel", int)])
    assert "did you mean 'available'?" in fit(Stock, typo)[0]


def signature(result: object, **parameters: object) -> Signature:
    return Signature(tuple(Parameter(n, h) for n, h in parameters.items()), result)


def test_a_view_may_send_the_fields_of_a_lone_struct() -> None:
    """A provider with one Struct is called by the Struct's fields, or by the Struct."""
    offer = signature(int, order=Stock)
    assert view_misfits(signature(int, sku=str, available=int), offer) == []
    assert view_misfits(signature(int, order=Stock), offer) == []
    assert view_misfits(signature(int, sku=str), offer) == [
        "it needs parameter 'available', which the view does not send"
    ]


def test_every_misfit_of_a_view_is_listed() -> None:
    """Parameters that are unknown, missing or of another type, and the result, all at once."""
    offer = signature(Level, sku=str, quantity=int)
    listed = view_misfits(signature(Stock, skv=str, quantity=str), offer)
    assert listed == [
        "it takes no parameter 'skv'; did you mean 'sku'?",
        "quantity: str does not fit int",
        "it needs parameter 'sku', which the view does not send",
        "result.sku: the provider's Level has no such field",
    ]


def test_a_view_that_reads_nothing_fits_every_result() -> None:
    """`-> None` in a view means that the answer is of no interest."""
    assert view_misfits(signature(None), signature(Stock)) == []

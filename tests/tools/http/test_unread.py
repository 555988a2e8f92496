"""Constraints and defaults that are written for other frameworks, which nothing here would read."""

import enum
import types
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as data_field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NewType, TypedDict, TypeVar
from uuid import UUID

import annotated_types
import pydantic
import pytest
from msgspec import UNSET, Meta, Struct, UnsetType, field

from ringfence.errors import Finding
from ringfence.kernel.ports import Facts
from ringfence.tools.http import SPEC, Form, Header, Paged, UploadFile, header
from ringfence.tools.http.doubles import endpoint


class Line(Struct):
    sku: str


def found(function: Callable[..., Coroutine[object, None, None]]) -> list[Finding]:
    assert SPEC.check is not None
    return SPEC.check(Facts([endpoint("POST", "/", function).declared], {}, Path()))


def taking(hint: object, default: object) -> Callable[..., Coroutine[object, None, None]]:
    """A method whose parameter `a0` has this type and default."""

    async def method(a0: object = default) -> None: ...

    method.__annotations__["a0"] = hint
    return method


class Color(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    SMALL = 1


class Word(str):
    __slots__ = ()


class Model(pydantic.BaseModel):
    count: Annotated[int, pydantic.Field(ge=1)] = 1
    other: int = pydantic.Field(default=5, ge=1)


@dataclass
class Point:
    x: int = 0
    tags: list[str] = data_field(default_factory=list)


T = TypeVar("T")
Number = NewType("Number", int)
Count = Annotated[int, Meta(ge=1)]


class Boxed(Struct, Generic[T], frozen=True):
    value: T | None = None


class Full(Struct, kw_only=True):
    """A body of all that a field may be by default."""

    a: Count = 0
    b: int | UnsetType = UNSET
    c: Color = Color.RED
    d: list[int] = field(default_factory=list)
    e: tuple[Size, ...] = (Size.SMALL,)
    f: Line = field(default_factory=lambda: Line(""))
    g: Model = Model()
    h: Point | None = None
    i: dict[Color, int] = field(default_factory=dict)
    j: Boxed[int] = Boxed(1)
    k: str = field(default="", name="kay")
    lines: list[Line] = []
    loose: Any = None
    told: Annotated[str, "what it is called"] = ""


HONEST: list[tuple[object, object]] = [
    (int, 1),
    (int, True),
    (int, Size.SMALL),
    (float, 1),
    (float, float("inf")),
    (Decimal, Decimal("0.10")),
    (Decimal, 0),
    (str, Word("a")),
    (str | None, None),
    (int | UnsetType, UNSET),
    (Header[int] | UnsetType, UNSET),
    (Annotated[int | None, header("X-N")], None),
    (Header[int] | None, None),
    (Annotated[str, header("X-Name")], ""),
    (Count, 0),
    (Number, 5),
    (Color, Color.RED),
    (list[Color], [Color.RED]),
    (list[Color], (Color.RED,)),
    (Literal["a", "b"], "a"),
    (Literal[1], Size.SMALL),
    (datetime, datetime(2026, 1, 1, tzinfo=UTC)),
    (Annotated[datetime, Meta(tz=True)], datetime(2026, 1, 1)),  # noqa: DTZ001
    (date, date(2026, 1, 1)),
    (time, time(1)),
    (timedelta, timedelta(1)),
    (UUID, UUID(int=0)),
    (list[int], ()),
    (list[int], []),
    (tuple[int, ...], (1, 2)),
    (frozenset[str], frozenset({"a"})),
    (set[str], frozenset()),
    (Sequence[int], range(3)),
    (Mapping[str, int], types.MappingProxyType({"a": 1})),
    (bytes, b""),
    (Line, Line("a")),
    (Line | None, None),
    (Point, Point()),
    (Model, Model()),
    (Model | None, None),
    (list[Model], [Model()]),
    (Boxed[int], Boxed(1)),
    (UploadFile | None, None),
    (list[UploadFile], ()),
    (Paged, Paged()),
    (Full, Full()),
    (Form[Point], Point()),
    (Annotated[int, "seconds", Meta(ge=0), header("X-S")], 0),
    (Annotated[int, annotated_types.Unit("s")], 0),
]


@pytest.mark.parametrize("hint, default", HONEST)
def test_a_default_of_its_type_is_right(hint: object, default: object) -> None:
    """Whatever the type is, and however much a default is one that clients may not send."""
    rules = {finding.rule for finding in found(taking(hint, default))}
    assert not rules & {"RF315", "RF316"}


def of(name: str, module: str, **told: object) -> object:
    """An object of a class of a framework that is not installed."""
    return type(name, (), {"__module__": module, **told})()


QUERY = of("Query", "fastapi.params", default=1, metadata=[annotated_types.Ge(1)])
REQUIRED_HEADER = of("Header", "fastapi.params", default=..., alias=None)
ALIASED = of("Header", "fastapi.params", default=..., alias="X-Sig")
OPTIONAL = of("Cookie", "fastapi.params", default=None, alias=None)


@pytest.mark.parametrize(
    "hint, default, said, fix",
    [
        (int, QUERY, "is fastapi.params.Query; expected int", "`a0: Annotated[int, Meta(ge=1)] ="),
        (int, of("Depends", "fastapi.params"), "fastapi.params.Depends", "a field of the plugin"),
        (Any, of("Depends", "fastapi.params"), "fastapi.params.Depends", "a field of the plugin"),
        (str, REQUIRED_HEADER, "fastapi.params.Header", "write `a0: Header[str]`"),
        (str, ALIASED, "Header", 'write `a0: Annotated[str, header("X-Sig")]`'),
        (str, OPTIONAL, "Cookie", "write `a0: Cookie[str | None] = None`"),
        (UploadFile, of("File", "fastapi.params"), "File", "write `a0: UploadFile`"),
        (int, None, "is None; expected int", "write `a0: int | None = None`"),
        (Header[int], None, "is None", "write `a0: Header[int | None] = None`"),
        (int, ..., "is Ellipsis", "leave the default out"),
        (int, UNSET, "UnsetType; expected int", "give a value of int"),
        (int, "1", "is str; expected int", "give a value of int"),
        (list[int], ["a"], "is list", "give a value of list[int]"),
        (Model, {"count": 1}, "is dict; expected Model", "give a value of Model"),
        (Model, None, "is None", "write `a0: Model | None = None`"),
    ],
)
def test_a_default_of_another_type_is_found(
    hint: object, default: object, said: str, fix: str
) -> None:
    """It would reach the method as it is, and the constraint in it nobody."""
    findings = found(taking(hint, default))
    (finding,) = [each for each in findings if each.rule == "RF315"]
    assert "parameter 'a0'" in finding.message
    assert said in finding.message
    assert fix in finding.fix


class Moody(Struct):
    name: str

    def __post_init__(self) -> None:
        raise KeyError(self.name)


def test_a_class_that_checks_itself_ends_no_check() -> None:
    """What it raises says nothing of the default."""
    assert found(taking(Moody | None, {"name": "a"})) == []


class Habit(Struct):
    count: int = pydantic.Field(5, ge=1)


class Below(Struct):
    habits: list[Habit]


@dataclass
class Data:
    name: str = pydantic.Field("a", max_length=3)


@pytest.mark.parametrize(
    "hint, said, fix",
    [
        (Habit, "field 'count' of Habit", "`count: Annotated[int, Meta(ge=1)] = 5`"),
        (Below, "field 'count' of Habit", "`count: Annotated[int, Meta(ge=1)] = 5`"),
        (list[Habit], "field 'count' of Habit", "Meta(ge=1)"),
        (Form[Habit], "field 'count' of Habit", "Meta(ge=1)"),
        (Data | None, "field 'name' of Data", "`name: Annotated[str, Meta(max_length=3)] = 'a'`"),
    ],
)
def test_a_field_whose_default_is_of_another_type_is_found(
    hint: object, said: str, fix: str
) -> None:
    """In whatever the body is made of."""
    (finding,) = found(taking(hint | None, None))  # type: ignore[operator]
    assert finding.rule == "RF315"
    assert said in finding.message
    assert fix in finding.fix


class Constrained(Struct):
    count: Annotated[int, annotated_types.Ge(1)]


class Typed(TypedDict):
    name: Annotated[str, pydantic.StringConstraints(pattern="^a")]


@pytest.mark.parametrize(
    "hint, said, fix",
    [
        (Annotated[int, pydantic.Field(ge=1, lt=9)], "FieldInfo", "[int, Meta(ge=1, lt=9)]"),
        (Annotated[int, annotated_types.Ge(1)], "annotated_types.Ge", "[int, Meta(ge=1)]"),
        (
            Annotated[list[int], annotated_types.Len(1, 5)],
            "Len",
            "Meta(min_length=1, max_length=5)",
        ),
        (pydantic.PositiveInt, "annotated_types.Gt", "write `Annotated[int, Meta(gt=0)]`"),
        (list[pydantic.PositiveInt], "Gt", "write `Annotated[int, Meta(gt=0)]`"),
        (Header[Annotated[int, annotated_types.Ge(1)]], "Ge", "[Header[int], Meta(ge=1)]"),
        (Annotated[int, pydantic.AfterValidator(abs)], "AfterValidator", "check it yourself"),
        (Annotated[int, pydantic.Strict], "pydantic.types.Strict", "take it out"),
        (Annotated[str, REQUIRED_HEADER], "Header", "write `Header[str]`"),
        (Annotated[int, QUERY], "Query", "Meta(ge=1)"),
        (Annotated[int, of("Depends", "fastapi.params")], "Depends", "a field of the plugin"),
        (Constrained, "field 'count' of Constrained", "`Annotated[int, Meta(ge=1)]`"),
        (Typed, "field 'name' of Typed", "Meta(pattern='^a')"),
    ],
)
def test_metadata_that_nothing_reads_is_found(hint: object, said: str, fix: str) -> None:
    """A constraint of another framework would hold nothing back."""
    (finding,) = found(taking(hint | None, None))  # type: ignore[operator]
    assert finding.rule == "RF316"
    assert said in finding.message
    assert fix in finding.fix

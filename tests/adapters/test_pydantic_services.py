"""Models as the parameters and results of services, and as the views that others have of them.

Each test runs on the generated call path and on the plain one.
"""

from pathlib import Path

import pytest

from ringfence import Invalid
from ringfence.errors import PluginFailed
from tests.kernel.apps import feature, found, on_both_paths, running

pytest.importorskip("pydantic", reason="pip install 'ringfence[pydantic]'")
pytestmark = [pytest.mark.anyio, on_both_paths]

IMPORTS = """
import enum
from datetime import date
from decimal import Decimal

import pydantic
from pydantic import BaseModel, ConfigDict, Field, computed_field, field_serializer
from pydantic import field_validator, model_validator


"""

PROVIDER = feature("""
    {imports}

    class Colour(enum.Enum):
        RED = "red"

    class Line(BaseModel):
        sku: str
        quantity: int = Field(gt=0)

    class NewOrder(BaseModel):
        order_id: int = Field(alias="orderId")
        lines: list[Line]
        due: date | None = None
        note: str = "none"

        @field_validator("note")
        @classmethod
        def short(cls, note: str) -> str:
            if len(note) > 5:
                raise ValueError("a note is at most 5 letters")
            return note

    class Placed(BaseModel):
        order_id: int = Field(alias="orderId")
        lines: list[Line]
        price: Decimal = Decimal("1.50")
        colour: Colour = Colour.RED
        email: str = "ada@example.org"
        day: date = date(2030, 1, 1)

        @computed_field
        @property
        def count(self) -> int:
            return len(self.lines)

        @computed_field
        @property
        def year(self) -> int:
            return self.day.year

        @field_serializer("email")
        def masked(self, email: str) -> str:
            return "***"

    class Plain(Struct):
        sku: str
        quantity: int

    def placed() -> Placed:
        return Placed(orderId=7, lines=[Line(sku="tea", quantity=1)])

    class Provide(Plugin):
        @service("sales.place")
        async def place(self, order: NewOrder) -> str:
            return repr(order)

        @service("sales.lines")
        async def lines(self, lines: list[Line], first: Line | None = None) -> str:
            return f"{lines!r} {first!r}"

        @service("sales.placed")
        async def placed(self) -> Placed:
            return placed()

        @service("sales.all")
        async def all(self) -> list[Placed]:
            return [placed()]

        @service("sales.maybe")
        async def maybe(self, there: bool = False) -> Placed | None:
            return placed() if there else None

        @service("sales.plain")
        async def plain(self) -> Plain:
            return Plain("tea", 0)

        @service("sales.take")
        async def take(self, line: Plain) -> str:
            return repr(line)

        @service("sales.broken")
        async def broken(self) -> Placed:
            return Line(sku="tea", quantity=1)

        @service("sales.own")
        async def own(self) -> None:
            Line(sku="tea", quantity=0)
""").replace("{imports}", IMPORTS)


def consumer(asked: str, takes: str, result: str, arguments: str, classes: str = "") -> str:
    """Return a feature that requires `asked` in the view that is given, and calls it."""
    return f"""
{feature(IMPORTS)}
{classes}

@requires("sales.{asked}")
class Asked(Protocol):
    async def __call__(self{", " if takes else ""}{takes}) -> {result}: ...


class Ask(Plugin):
    asked: Asked

    @service("orders.ask")
    async def ask(self) -> Any:
        return await self.asked({arguments})
"""


def files(asking: str = "") -> dict[str, str]:
    both = {"domains/sales/provide.py": PROVIDER, "domains/orders/ask.py": asking}
    return {name: text for name, text in both.items() if text}


LINE = "class Seen(Struct):\n    sku: str\n    quantity: int"
SEEN = (
    "class Seen(Struct):\n    orderId: int\n    count: int\n    price: Decimal\n"
    "    email: str\n    year: int"
)
PAINT = "class Paint(enum.Enum):\n    RED = 'red'\n    BLUE = 'blue'\n\n"
COLOUR = PAINT + "class Seen(Struct):\n    colour: Paint"
MODEL = "class Seen(BaseModel):\n    id: int = Field(alias='orderId')\n    price: Decimal"
TYPED = (
    "class Row(TypedDict):\n    sku: str\n    quantity: int\n\n"
    "class Seen(TypedDict):\n    orderId: int\n    lines: list[Row]"
)
MODEL_LINE = "class Seen(BaseModel):\n    sku: str\n    quantity: int"
ANSWERS = {
    "a struct": (
        "placed",
        "Seen",
        SEEN,
        "Seen(orderId=7, count=1, price=Decimal('1.50'), email='***', year=2030)",
    ),
    "an enum": ("placed", "Seen", COLOUR, "Seen(colour=<Paint.RED: 'red'>)"),
    "another model": ("placed", "Seen", MODEL, "Seen(id=7, price=Decimal('1.50'))"),
    "a typed dict": (
        "placed",
        "Seen",
        TYPED,
        "{'orderId': 7, 'lines': [{'sku': 'tea', 'quantity': 1}]}",
    ),
    "a list": ("all", "list[Seen]", MODEL, "[Seen(id=7, price=Decimal('1.50'))]"),
    "nothing there": ("maybe", "Seen | None", MODEL, "None"),
    "a model of a struct": ("plain", "Seen", MODEL_LINE, "Seen(sku='tea', quantity=0)"),
}


@pytest.mark.parametrize("case", ANSWERS.values(), ids=ANSWERS.keys())
async def test_an_answer_is_read_into_the_consumers_own_view(
    tmp_path: Path, call_path: str, case: tuple[str, str, str, str]
) -> None:
    """A model is seen as its JSON says: by aliases, serialized, with computed fields."""
    asked, result, classes, expected = case
    asking = consumer(asked, "", result, "", classes)
    async with running(tmp_path, files(asking), call_path) as app:
        assert repr(await app.call("orders.ask")) == expected


GIVEN = {
    "fields of a sole model": (
        "place",
        "orderId: int, lines: list[Seen]",
        "1, [Seen('tea', 2)]",
        LINE,
        "NewOrder(order_id=1, lines=[Line(sku='tea', quantity=2)], due=None, note='none')",
    ),
    "a struct for a model": (
        "lines",
        "lines: list[Seen], first: Seen | None",
        "[Seen('tea', 2)], Seen('pot', 1)",
        LINE,
        "[Line(sku='tea', quantity=2)] Line(sku='pot', quantity=1)",
    ),
    "a model for a model": (
        "lines",
        "lines: list[Seen]",
        "[Seen(sku='tea', quantity=2)]",
        MODEL_LINE,
        "[Line(sku='tea', quantity=2)] None",
    ),
    "a model for a struct": (
        "take",
        "line: Seen",
        "Seen(sku='tea', quantity=2)",
        MODEL_LINE,
        "Plain(sku='tea', quantity=2)",
    ),
}


@pytest.mark.parametrize("case", GIVEN.values(), ids=GIVEN.keys())
async def test_what_a_consumer_gives_is_read_into_the_providers_classes(
    tmp_path: Path, call_path: str, case: tuple[str, str, str, str, str]
) -> None:
    """Whichever of the two is a model."""
    asked, takes, arguments, classes, expected = case
    asking = consumer(asked, takes, "str", arguments, classes)
    async with running(tmp_path, files(asking), call_path) as app:
        assert await app.call("orders.ask") == expected


async def test_every_fault_of_a_payload_is_listed(tmp_path: Path, call_path: str) -> None:
    """At its path, as of a Struct; a validator speaks for itself."""
    wrong = {
        "orderId": "one",
        "lines": [{"sku": "tea", "quantity": 0}, {"quantity": 1}],
        "note": "far too long",
    }
    async with running(tmp_path, files(), call_path) as app:
        with pytest.raises(Invalid) as refused:
            await app.call("sales.place", **wrong)
    assert [(fault.path, fault.message) for fault in refused.value.faults] == [
        (
            "$.orderId",
            "Input should be a valid integer, unable to parse string as an integer",
        ),
        ("$.lines[0].quantity", "Input should be greater than 0"),
        ("$.lines[1].sku", "is missing"),
        ("$.note", "a note is at most 5 letters"),
    ]


async def test_a_field_that_the_model_does_not_have_is_refused_from_outside(
    tmp_path: Path, call_path: str
) -> None:
    """With the nearest that it has, beside all else that is wrong."""
    async with running(tmp_path, files(), call_path) as app:
        with pytest.raises(Invalid) as refused:
            await app.call("sales.place", orderID=1, lines=[])
    assert {(fault.path, fault.message) for fault in refused.value.faults} == {
        ("$.orderID", "unknown parameter; did you mean 'orderId'?"),
        ("$.orderId", "is missing"),
    }


async def test_a_nested_model_is_explained_at_its_path(tmp_path: Path, call_path: str) -> None:
    """Below a parameter, and in a list."""
    async with running(tmp_path, files(), call_path) as app:
        with pytest.raises(Invalid) as refused:
            await app.call("sales.lines", lines=[{"sku": "tea"}], first={"sku": 1, "quantity": 1})
    assert {(fault.path, fault.message) for fault in refused.value.faults} == {
        ("$.lines[0].quantity", "is missing"),
        ("$.first.sku", "Input should be a valid string"),
    }


async def test_an_answer_of_another_class_is_the_providers_bug(
    tmp_path: Path, call_path: str
) -> None:
    """The consumer is told what is wrong with it."""
    asking = consumer("broken", "", "Seen", "", MODEL)
    async with running(tmp_path, files(asking), call_path) as app:
        with pytest.raises(PluginFailed, match=r"\$\.orderId: is missing; \$\.price: is missing"):
            await app.call("orders.ask")


async def test_what_a_features_own_code_fails_to_validate_is_its_bug(
    tmp_path: Path, call_path: str
) -> None:
    """It is no fault of whoever called."""
    async with running(tmp_path, files(), call_path) as app:
        with pytest.raises(PluginFailed) as failed:
            await app.call("sales.own")
        assert failed.value.status == 500
        assert type(failed.value.__cause__).__name__ == "ValidationError"


async def test_a_call_by_name_answers_plain_data(tmp_path: Path, call_path: str) -> None:
    """As JSON says it; or reads it into a type, which may be a model."""
    asking = feature(
        IMPORTS
        + MODEL
        + """

class Ask(Plugin):
    @service("orders.plain", calls=("sales.placed",))
    async def plain(self, ctx: Context) -> Any:
        return await ctx.call("sales.placed", {})

    @service("orders.into", calls=("sales.placed",))
    async def into(self, ctx: Context) -> Any:
        return await ctx.call("sales.placed", {}, into=Seen)

    @service("orders.give", calls=("sales.lines",))
    async def give(self, ctx: Context) -> Any:
        return await ctx.call("sales.lines", {"lines": [{"sku": "tea", "quantity": 1}]})
"""
    )
    async with running(tmp_path, files(asking), call_path) as app:
        assert await app.call("orders.plain") == {
            "orderId": 7,
            "lines": [{"sku": "tea", "quantity": 1}],
            "price": "1.50",
            "colour": "red",
            "email": "***",
            "day": "2030-01-01",
            "count": 1,
            "year": 2030,
        }
        assert repr(await app.call("orders.into")) == "Seen(id=7, price=Decimal('1.50'))"
        assert await app.call("orders.give") == "[Line(sku='tea', quantity=1)] None"


MISFITS = {
    "a field that is not there": (
        consumer("placed", "", "Seen", "", "class Seen(Struct):\n    conut: int"),
        "result.conut: the provider's Placed has no such field; did you mean 'count'?",
    ),
    "another type": (
        consumer("placed", "", "Seen", "", "class Seen(Struct):\n    orderId: str"),
        "result.orderId: int does not fit str",
    ),
    "a model without a schema": (
        consumer(
            "all",
            "",
            "list[Seen]",
            "",
            "class Seen(BaseModel):\n    model_config = ConfigDict(arbitrary_types_allowed=True)"
            "\n    lines: asyncio.Event",
        ),
        "its result has a type of no schema",
    ),
    "a model below": (
        consumer(
            "all",
            "",
            "list[Seen]",
            "",
            "class Row(BaseModel):\n    sku: int\n\nclass Seen(BaseModel):\n    lines: list[Row]",
        ),
        "result[].lines[].sku: str does not fit int",
    ),
    "what is not sent": (
        consumer("place", "orderId: int", "str", "1"),
        "it needs parameter 'lines', which the view does not send",
    ),
    "what is not taken": (
        consumer("place", "orderId: int, lines: list[Seen], nota: str", "str", "1, [], ''", LINE),
        "it takes no parameter 'nota'; did you mean 'note'?",
    ),
}


@pytest.mark.parametrize("case", MISFITS.values(), ids=MISFITS.keys())
def test_a_view_that_does_not_fit_is_found_before_the_start(
    tmp_path: Path, call_path: str, case: tuple[str, str]
) -> None:
    """By `ringfence check`, in the words that Structs get."""
    asking, expected = case
    told = [finding.message for finding in found(tmp_path, files(asking))]
    assert any(expected in message for message in told), told


@pytest.mark.parametrize("hint", ["Line | NewOrder", "Line | str"])
def test_a_union_that_cannot_be_told_apart_is_a_finding(
    tmp_path: Path, call_path: str, hint: str
) -> None:
    """Where it is used, before the start."""
    text = PROVIDER.replace("lines: list[Line], first", f"lines: {hint}, first")
    findings = found(tmp_path, {"domains/sales/provide.py": text})
    assert any("has a type of no schema" in finding.message for finding in findings)

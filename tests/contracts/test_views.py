"""What passes between a consumer and a provider: parameters on the way in, the view on the way out.

Each test runs on the generated call path and on the plain one.
"""

from pathlib import Path

import pytest
from msgspec import to_builtins

from ringfence import Invalid
from ringfence.errors import BootError, PluginFailed
from tests.kernel.apps import feature, on_both_paths, running, write

pytestmark = [pytest.mark.anyio, on_both_paths]

PROVIDER = feature("""
    import dataclasses, datetime, enum

    class Colour(enum.Enum):
        RED = "red"

    class Shelf(Struct):
        row: int
        name: str = "A"

    class Stock(Struct):
        sku: str
        available: int
        shelf: Shelf
        tags: list[str]
        colour: Colour = Colour.RED
        counted: datetime.date = datetime.date(2030, 1, 1)

    class Reservation(Struct):
        sku: str
        quantity: Annotated[int, Meta(gt=0)]
        note: str = "none"

    @dataclasses.dataclass
    class Sums:
        total: int
        mean: float

    class Renamed(Struct, rename="camel"):
        order_id: int

    def stock(sku: str) -> Stock:
        return Stock(sku, 7, Shelf(3), ["hot"])

    class Provide(Plugin):
        @service("inventory.stock")
        async def stock(self, sku: str) -> Stock:
            return stock(sku)

        @service("inventory.found")
        async def found(self, sku: str | None = None) -> Stock | None:
            return stock(sku) if sku else None

        @service("inventory.listed")
        async def listed(self) -> list[Stock]:
            return [stock("a"), stock("b")]

        @service("inventory.mapped")
        async def mapped(self) -> dict[str, Stock]:
            return {"a": stock("a")}

        @service("inventory.sums")
        async def sums(self) -> Sums:
            return Sums(2, 1.5)

        @service("inventory.renamed")
        async def renamed(self) -> Renamed:
            return Renamed(1)

        @service("inventory.count")
        async def count(self) -> int:
            return 7

        @service("inventory.echo")
        async def echo(self, sku: str, *, least: int = 0, most: int = 9) -> str:
            return f"{sku} {least} {most}"

        @service("inventory.only")
        async def only(self, *, sku: str, least: Annotated[int, Meta(ge=0)]) -> str:
            return f"{sku} {least}"

        @service("inventory.first")
        async def first(self, ctx: Context, sku: str, least: int = 3) -> str:
            return f"{ctx.operation} {sku} {least}"

        @service("inventory.reserve")
        async def reserve(self, wanted: Reservation) -> str:
            return f"{wanted!r}"

        @service("inventory.lines")
        async def lines(self, wanted: list[Reservation], sku: str = "") -> str:
            return f"{wanted!r}"
""")


def consumer(asked: str, parameters: str, result: str, arguments: str, classes: str = "") -> str:
    """Return a feature that requires `asked` in the view that is given, and calls it."""
    return f"""
{feature("import dataclasses, datetime, enum")}
{classes}

@requires("{asked}")
class Asked(Protocol):
    async def __call__(self, {parameters}) -> {result}: ...


class Ask(Plugin):
    asked: Asked

    @service("orders.ask")
    async def ask(self) -> Any:
        return await self.asked({arguments})
"""


def files(asking: str) -> dict[str, str]:
    return {"domains/inventory/provide.py": PROVIDER, "domains/orders/ask.py": asking}


LEVEL = "class Level(Struct):\n    available: int"
PAIR = "class Pair(Struct):\n    available: int\n    sku: str"
KEYWORDS = "class Pair(Struct, kw_only=True):\n    available: int\n    sku: str"
NESTED = (
    "class Row(Struct):\n    row: int\n\nclass At(Struct):\n    shelf: Row\n    tags: list[str]"
)
TYPED = (
    "class Row(TypedDict):\n    row: int\n\n"
    "class At(TypedDict):\n    shelf: Row\n    counted: datetime.date"
)
DATACLASS = "@dataclasses.dataclass\nclass At:\n    sku: str\n    note: str = 'none'"
PAINT = (
    "class Paint(enum.Enum):\n    RED = 'red'\n    BLUE = 'blue'\n\n"
    "class Seen(Struct):\n    colour: Paint"
)
TOTAL = "class Total(Struct):\n    total: float"
CAMEL = "class Placed(Struct, rename='camel'):\n    order_id: int"
CHECKED = (
    "class Few(Struct):\n    available: int\n\n    def __post_init__(self):\n"
    "        self.available += 1"
)

ANSWERS = {
    "one field": ("stock", "Level", LEVEL, "Level(available=7)"),
    "several fields in another order": ("stock", "Pair", PAIR, "Pair(available=7, sku='tea')"),
    "keyword-only fields": ("stock", "Pair", KEYWORDS, "Pair(available=7, sku='tea')"),
    "nested fields": ("stock", "At", NESTED, "At(shelf=Row(row=3), tags=['hot'])"),
    "a typed dict": (
        "stock",
        "At",
        TYPED,
        "{'shelf': {'row': 3}, 'counted': datetime.date(2030, 1, 1)}",
    ),
    "a dataclass": ("stock", "At", DATACLASS, "At(sku='tea', note='none')"),
    "an enum of its own": ("stock", "Seen", PAINT, "Seen(colour=<Paint.RED: 'red'>)"),
    "a view with a hook": ("stock", "Few", CHECKED, "Few(available=8)"),
    "nothing": ("stock", "None", "", "None"),
    "an optional that is there": ("found", "Level | None", LEVEL, "Level(available=7)"),
    "a list": ("listed", "list[Level]", LEVEL, "[Level(available=7), Level(available=7)]"),
    "a tuple": ("listed", "tuple[Level, ...]", LEVEL, "(Level(available=7), Level(available=7))"),
    "a dict": ("mapped", "dict[str, Level]", LEVEL, "{'a': Level(available=7)}"),
    "a dataclass read as a struct": ("sums", "Total", TOTAL, "Total(total=2.0)"),
    "renamed fields": ("renamed", "Placed", CAMEL, "Placed(order_id=1)"),
    "a scalar": ("count", "int", "", "7"),
    "a wider scalar": ("count", "float", "", "7.0"),
}


@pytest.mark.parametrize("case", ANSWERS.values(), ids=ANSWERS.keys())
async def test_an_answer_is_read_into_the_consumers_own_view(
    tmp_path: Path, call_path: str, case: tuple[str, str, str, str]
) -> None:
    """The consumer gets its own classes, with the fields that it declares and no more."""
    asked, result, classes, expected = case
    takes = {"stock": "sku: str", "found": "sku: str"}.get(asked, "")
    gives = "sku='tea'" if takes else ""
    asking = consumer(f"inventory.{asked}", f"*, {takes}" if takes else "", result, gives, classes)
    async with running(tmp_path, files(asking), call_path) as app:
        assert repr(await app.call("orders.ask")) == expected


async def test_an_optional_that_is_absent_is_none(tmp_path: Path, call_path: str) -> None:
    """None passes as None."""
    asking = consumer("inventory.found", "", "Level | None", "", LEVEL)
    async with running(tmp_path, files(asking), call_path) as app:
        assert await app.call("orders.ask") is None


PARAMETERS = {
    "by keyword": ("echo", "*, sku: str", "sku='a'", "a 0 9"),
    "by position": ("echo", "sku: str", "'a'", "a 0 9"),
    "an optional one": ("echo", "*, sku: str, most: int", "sku='a', most=5", "a 0 5"),
    "the view's default": ("echo", "*, sku: str, most: int = 4", "sku='a'", "a 0 4"),
    "a default before a required one": ("echo", "*, most: int = 4, sku: str", "sku='a'", "a 0 4"),
    "keyword-only in any order": ("only", "*, least: int, sku: str", "least=1, sku='a'", "a 1"),
    "after a request value": ("first", "*, sku: str", "sku='a'", "inventory.first a 3"),
    "the fields of a Struct": (
        "reserve",
        "*, sku: str, quantity: int",
        "sku='a', quantity=1",
        "Reservation(sku='a', quantity=1, note='none')",
    ),
    "a field that has a default": (
        "reserve",
        "*, sku: str, quantity: int, note: str = 'soon'",
        "sku='a', quantity=1",
        "Reservation(sku='a', quantity=1, note='soon')",
    ),
    "a Struct of the consumer's": (
        "reserve",
        "*, wanted: Mine",
        "wanted=Mine('a', 1)",
        "Reservation(sku='a', quantity=1, note='none')",
    ),
    "a list of the consumer's Structs": (
        "lines",
        "*, wanted: list[Mine]",
        "wanted=[Mine('a', 1)]",
        "[Reservation(sku='a', quantity=1, note='none')]",
    ),
    "a typed dict": (
        "reserve",
        "*, wanted: MineToo",
        "wanted={'sku': 'a', 'quantity': 1}",
        "Reservation(sku='a', quantity=1, note='none')",
    ),
}
MINE = (
    "class Mine(Struct):\n    sku: str\n    quantity: int\n\n"
    "class MineToo(TypedDict):\n    sku: str\n    quantity: int"
)


@pytest.mark.parametrize("case", PARAMETERS.values(), ids=PARAMETERS.keys())
async def test_parameters_reach_the_provider_as_it_declares_them(
    tmp_path: Path, call_path: str, case: tuple[str, str, str, str]
) -> None:
    """A view may order, leave out and default what the provider lets it."""
    asked, parameters, arguments, expected = case
    asking = consumer(f"inventory.{asked}", parameters, "str", arguments, MINE)
    async with running(tmp_path, files(asking), call_path) as app:
        assert await app.call("orders.ask") == expected


WRONG = {
    "by keyword": ("only", "*, sku: str, least: int", "sku=7, least=-1", ["$.least", "$.sku"]),
    "a Struct's fields": (
        "reserve",
        "*, sku: str, quantity: int",
        "sku=None, quantity=0",
        ["$.quantity", "$.sku"],
    ),
    "inside a list": (
        "lines",
        "*, wanted: list[Mine], sku: str",
        "wanted=[Mine('a', 0), Mine(2, 1)], sku=1",
        ["$.sku", "$.wanted[0].quantity", "$.wanted[1].sku"],
    ),
    "a Struct": (
        "reserve",
        "*, wanted: Mine",
        "wanted=Mine(7, -1)",
        ["$.wanted.quantity", "$.wanted.sku"],
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
async def test_values_of_a_wrong_type_are_refused_with_every_fault(
    tmp_path: Path, call_path: str, case: tuple[str, str, str, list[str]]
) -> None:
    """The provider is not run, and all that is wrong with the payload is said at once."""
    asked, parameters, arguments, paths = case
    asking = consumer(f"inventory.{asked}", parameters, "str", arguments, MINE)
    async with running(tmp_path, files(asking), call_path) as app:
        with pytest.raises(Invalid) as refused:
            await app.call("orders.ask")
        assert sorted(fault.path for fault in refused.value.faults) == paths
        assert refused.value.subject == f"inventory.{asked}"
        assert [span.operation for span in app.spans if "inventory" in span.operation] == []


async def test_a_call_with_other_arguments_than_the_view_has_is_a_bug_of_the_caller(
    tmp_path: Path, call_path: str
) -> None:
    """As with any function: a missing or an unknown argument is a TypeError in the consumer."""
    asking = consumer("inventory.echo", "*, sku: str", "str", "skv='a'")
    async with running(tmp_path, files(asking), call_path) as app:
        with pytest.raises(PluginFailed) as failed:
            await app.call("orders.ask")
        assert isinstance(failed.value.__cause__, TypeError)
        assert failed.value.subject == "orders.ask"


LIAR = feature("""
    class Stock(Struct):
        available: int
        sku: str = ""

    class Provide(Plugin):
        @service("inventory.stock")
        async def stock(self) -> Stock:
            return {answer}
""")
LIES = {
    "another class": "Plain('no', 7)",
    "nothing": "None",
    "a scalar": "7",
    "a mapping": "{'available': 'no', 'sku': 7}",
}
PLAIN = "class Plain(Struct):\n    available: object\n    sku: object"


@pytest.mark.parametrize("answer", LIES.values(), ids=LIES.keys())
@pytest.mark.parametrize("result", ["Level", "Pair", "At"])
async def test_an_answer_that_is_not_as_declared_is_the_providers_bug(
    tmp_path: Path, call_path: str, answer: str, result: str
) -> None:
    """The consumer is told which plugin broke its word; nothing of a wrong type gets to it."""
    at = "class At(Struct):\n    available: int | None"
    asking = consumer("inventory.stock", "", result, "", f"{LEVEL}\n\n{PAIR}\n\n{at}")
    provider = LIAR.replace("{answer}", answer) + "\n\n" + PLAIN
    written = {"domains/inventory/provide.py": provider, "domains/orders/ask.py": asking}
    async with running(tmp_path, written, call_path) as app:
        with pytest.raises(PluginFailed) as failed:
            await app.call("orders.ask")
        assert failed.value.subject == "inventory.stock"
        assert "inventory.provide answered what it does not declare" in failed.value.message


async def test_every_fault_of_a_broken_answer_is_named(tmp_path: Path, call_path: str) -> None:
    """As of a payload."""
    asking = consumer("inventory.stock", "", "Pair", "", PAIR)
    provider = LIAR.replace("{answer}", LIES["another class"]) + "\n\n" + PLAIN
    written = {"domains/inventory/provide.py": provider, "domains/orders/ask.py": asking}
    async with running(tmp_path, written, call_path) as app:
        with pytest.raises(PluginFailed, match=r"\$\.available: .*; \$\.sku: "):
            await app.call("orders.ask")


def optionally(asking: str) -> str:
    return asking.replace("asked: Asked", "asked: Asked | None")


async def test_an_optional_requirement_is_none_where_nobody_provides_it(
    tmp_path: Path, call_path: str
) -> None:
    """A field `X | None` is left empty instead of refusing the start."""
    asking = consumer("inventory.gone", "", "int", "").replace(
        "asked: Asked", "asked: Asked | None"
    )
    asking = asking.replace("return await self.asked()", "return self.asked is None")
    async with running(tmp_path, files(asking), call_path) as app:
        assert await app.call("orders.ask") is True


async def test_an_optional_requirement_is_filled_and_checked_where_somebody_does(
    tmp_path: Path, call_path: str
) -> None:
    """Optional is whether it is there, not whether it fits."""
    asking = consumer("inventory.count", "", "int", "").replace(
        "asked: Asked", "asked: Asked | None"
    )
    async with running(tmp_path / "good", files(asking), call_path) as app:
        assert await app.call("orders.ask") == 7
    asking = asking.replace("-> int", "-> str")
    with pytest.raises(BootError, match="int does not fit str"):
        async with running(tmp_path / "bad", files(asking), call_path):
            pass


async def test_the_callable_of_a_field_is_named_after_it(tmp_path: Path, call_path: str) -> None:
    """Tracebacks show the name that the author gave."""
    asking = consumer("inventory.count", "", "int", "").replace(
        "return await self.asked()", "return self.asked.__name__"
    )
    async with running(tmp_path, files(asking), call_path) as app:
        assert await app.call("orders.ask") == "asked"


async def test_an_outside_caller_gets_what_the_provider_returned(
    tmp_path: Path, call_path: str
) -> None:
    """A call from a test is not converted."""
    root = write(tmp_path, {"domains/inventory/provide.py": PROVIDER})
    async with running(root, {}, call_path) as app:
        stock = await app.call("inventory.stock", sku="tea")
        assert type(stock).__name__ == "Stock"
        assert to_builtins(stock)["shelf"] == {"row": 3, "name": "A"}

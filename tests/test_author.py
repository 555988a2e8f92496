"""A plugin in plain Python: made with fakes, called like any object, its decorators inert."""

from typing import ClassVar, Protocol, cast

import pytest
from msgspec import Struct

from ringfence import Budget, Plugin, Settings, requires, service
from ringfence.author import field_names
from ringfence.kernel.manifest import Service
from ringfence.tools.db import Database


class Level(Struct):
    available: int


@requires("stock.level")
class LevelOf(Protocol):
    async def __call__(self, *, sku: str) -> Level: ...


class Billing(Settings, section="billing"):
    currency: str = "EUR"


class Place(Plugin):
    level: LevelOf
    billing: Billing
    SIZE: ClassVar[int] = 3
    plain = 4

    @service("orders.place", timeout_s=2, budget=Budget(calls=5), calls=["stock.other"])
    async def place(self, sku: str) -> int:
        level = await self.level(sku=sku)
        return level.available

    @service("orders.count")
    def count(self) -> int:
        return 1


class Wide(Place):
    db: Database
    label: str = "none"


async def seven(*, sku: str) -> Level:
    return Level(7)


@pytest.mark.anyio
async def test_a_plugin_is_made_with_fakes_and_called_like_any_object() -> None:
    """No application, no kernel, no configuration."""
    plugin = Place(level=seven, billing=Billing(currency="CHF"))
    assert await plugin.place("tea") == 7
    assert plugin.count() == 1
    assert plugin.billing.currency == "CHF"


@pytest.mark.parametrize(
    "given, said",
    [
        ({"level": seven}, "missing billing; expected fields level, billing"),
        ({}, "missing level, billing"),
        ({"level": seven, "billing": Billing(), "clock": 1}, "no field 'clock'"),
        ({"level": seven, "billing": Billing(), "SIZE": 1}, "no field 'SIZE'"),
    ],
)
def test_a_missing_or_an_unknown_fake_is_a_type_error(given: dict[str, object], said: str) -> None:
    """Naming the class, the field, and the fields that there are."""
    with pytest.raises(TypeError, match=f"^Place: {said}"):
        Place(**given)  # type: ignore[arg-type]


def test_fields_are_given_by_name() -> None:
    """Never by position: their order says nothing."""
    with pytest.raises(TypeError):
        Place(seven, Billing())  # type: ignore[call-arg]


def test_fields_are_inherited_and_may_have_defaults() -> None:
    """The base's come first; class variables and plain attributes are no fields."""
    assert field_names(Wide) == ["level", "billing", "db", "label"]
    wide = Wide(level=seven, billing=Billing(), db=cast(Database, object()))
    assert wide.label == "none"


def test_postponed_annotations_name_the_same_fields() -> None:
    """Under `from __future__ import annotations` an annotation is text."""
    scope: dict[str, object] = {}
    exec(
        "from __future__ import annotations\n"
        "import typing\n"
        "from typing import ClassVar\n"
        "from ringfence import Plugin\n"
        "class Late(Plugin):\n"
        "    db: Database\n"
        "    size: ClassVar[int] = 3\n"
        "    other: typing.ClassVar[int] = 3\n",
        scope,
    )
    late = scope["Late"]
    assert isinstance(late, type)
    assert field_names(late) == ["db"]


def test_a_written_constructor_is_pythons_own() -> None:
    """The base class leaves it alone."""

    class Written(Plugin):
        def __init__(self, level: LevelOf) -> None:
            self.level = level

    assert Written(seven).level is seven


def test_decorators_only_leave_a_mark() -> None:
    """The method stays what it was; what is declared is a value beside it."""
    marks = getattr(Place.place, "__ringfence__")
    assert len(marks) == 1
    assert isinstance(marks[0], Service)
    assert marks[0].name == marks[0].key == "orders.place"
    assert marks[0].label == "service orders.place"
    assert marks[0].calls == ("stock.other",)
    assert marks[0].budget == Budget(calls=5, wall_s=2)
    assert getattr(Place.count, "__ringfence__")[0].budget is None
    assert getattr(LevelOf, "__ringfence_requires__") == "stock.level"


def test_a_decorator_goes_on_a_method() -> None:
    """On a class it says so at once, at its line."""
    with pytest.raises(TypeError, match="@service goes on a method"):
        service("orders.place")(Level)

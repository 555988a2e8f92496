"""Providers of every shape of contract, for features that are written to call them."""

PROVIDERS = {
    "domains/zoo/_shapes.py": """
from dataclasses import dataclass
from datetime import date as Day
from datetime import datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict
from uuid import UUID

from msgspec import Meta, Struct, field


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Point(NamedTuple):
    x: int
    y: float


@dataclass
class Keeper:
    name: str
    since: Day = Day(2020, 1, 1)


class Note(TypedDict):
    text: str
    author: NotRequired[str]


class Cat(Struct, tag="cat"):
    lives: int


class Dog(Struct, tag="dog"):
    tricks: list[str]


class Node(Struct):
    name: str
    parent: "Node | None" = None
    below: list["Node"] = []


class Pair(Struct, array_like=True):
    first: int
    second: str


class Animal(Struct):
    id: int
    name: Annotated[str, Meta(min_length=1)]
    colour: Colour
    size: Literal["small", "large"]
    weight: Decimal
    born: datetime
    fed_at: time
    asleep: timedelta
    tag: UUID
    place: Point
    keeper: Keeper
    note: Note
    friends: list[Cat | Dog]
    tree: Node
    pair: Pair
    seen: dict[str, int]
    names: set[str]
    marks: tuple[int, ...]
    both: tuple[int, str]
    rest: Any
    photo: bytes | None = None
    date: Day | None = None
    kind: str = field(name="kind-of", default="")
    list: str = ""


class NewAnimal(Struct):
    name: str
    colour: Colour
    keeper: Keeper
    friends: list[Cat | Dog]
    size: Literal["small", "large"] = "small"
    note: str = ""
""",
    "domains/zoo/show.py": '''
"""Show an animal."""

from domains.zoo._shapes import Animal
from ringfence import Plugin, service


class Show(Plugin):
    @service("zoo.show")
    async def show(self, animal_id: int) -> Animal:
        raise NotImplementedError
''',
    "domains/zoo/admit.py": '''
"""Admit an animal."""

from domains.zoo._shapes import Animal, NewAnimal
from ringfence import Plugin, service


class Admit(Plugin):
    @service("zoo.admit")
    async def admit(self, animal: NewAnimal) -> list[Animal]:
        raise NotImplementedError
''',
    "domains/zoo/feed.py": '''
"""Feed an animal."""

from ringfence import Plugin, service


class Feed(Plugin):
    @service("zoo.feed")
    async def feed(self, animal_id: int, food: str, grams: float = 10.0) -> None:
        raise NotImplementedError
''',
    "domains/zoo/list.py": '''
"""List the names of all animals."""

from ringfence import Plugin, service


class List(Plugin):
    @service("zoo.list")
    async def list(self, limit: int = 10) -> list[str]:
        return ["Ada"][:limit]
''',
    "domains/zoo/start.py": '''
"""Count, under names that a plugin has a use of its own for."""

from ringfence import Plugin, service


class Start(Plugin):
    @service("zoo.start")
    async def begin(self) -> int | None:
        return 1
''',
}

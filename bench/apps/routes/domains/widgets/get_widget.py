"""Show one widget, or the first one."""

from msgspec import Struct

from ringfence import Plugin
from ringfence.tools.http import get


class Widget(Struct):
    id: int
    name: str
    price: float
    tags: list[str]


class GetWidget(Plugin):
    @get("/widgets")
    async def first(self) -> Widget:
        return Widget(1, "widget 1", 9.5, ["new", "blue"])

    @get("/widgets/{id}")
    async def get_widget(self, id: int) -> Widget:
        return Widget(id, f"widget {id}", 9.5, ["new", "blue"])

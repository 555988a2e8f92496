"""Show one widget."""

from msgspec import Struct

from ringfence import Plugin
from ringfence.tools.http import get


class Widget(Struct):
    id: int
    name: str
    price: float
    tags: list[str]


class GetWidget(Plugin):
    @get("/widgets/{id}")
    async def get_widget(self, id: int) -> Widget:
        return Widget(id, f"widget {id}", 9.5, ["new", "blue"])

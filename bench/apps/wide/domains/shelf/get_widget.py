"""Show one widget: plainly, by a header, in a reply of its own."""

from msgspec import Struct

from ringfence import Plugin
from ringfence.tools.http import Header, Reply, get


class Widget(Struct):
    id: int
    name: str
    price: float
    tags: list[str]


class GetWidget(Plugin):
    @get("/widgets/{id}")
    async def get_widget(self, id: int) -> Widget:
        return Widget(id, f"widget {id}", 9.5, ["new", "blue"])

    @get("/headers/{id}")
    async def read_header(self, id: int, x_shelf: Header[str]) -> Widget:
        return Widget(id, x_shelf, 9.5, ["new", "blue"])

    @get("/replies/{id}")
    async def reply(self, id: int) -> Reply[Widget]:
        widget = Widget(id, f"widget {id}", 9.5, ["new", "blue"])
        return Reply(widget, headers={"x-shelf": "blue"})

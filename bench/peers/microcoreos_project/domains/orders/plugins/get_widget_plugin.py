"""GET /widgets/{id}."""

from microcoreos import BasePlugin
from pydantic import BaseModel


class Widget(BaseModel):
    id: int
    name: str
    price: float
    tags: list[str]


class GetWidgetPlugin(BasePlugin):
    def __init__(self, http):
        self.http = http

    async def on_boot(self):
        self.http.add_endpoint("/widgets/{id}", "GET", self.execute, response_model=Widget)

    async def execute(self, data: dict, context=None):
        number = int(data["id"])
        return {"id": number, "name": f"widget {number}", "price": 9.5, "tags": ["new", "blue"]}

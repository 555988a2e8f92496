"""POST /orders."""

from typing import Annotated

from microcoreos import BasePlugin
from pydantic import BaseModel, ConfigDict, Field


class NewOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sku: Annotated[str, Field(min_length=1, max_length=40)]
    quantity: Annotated[int, Field(gt=0, le=1000)]


class PlaceOrderPlugin(BasePlugin):
    def __init__(self, http):
        self.http = http

    async def on_boot(self):
        self.http.add_endpoint("/orders", "POST", self.execute, request_model=NewOrder)

    async def execute(self, data: dict, context=None):
        context.set_status(201)
        return {"id": 1, "sku": data["sku"], "quantity": data["quantity"]}

"""BlackSheep, with a pydantic model for the body, bound as its tutorial binds it."""

from dataclasses import dataclass
from typing import Annotated

from blacksheep import Application, FromJSON, Response, get, json, post
from pydantic import BaseModel, ConfigDict, Field


@dataclass
class Widget:
    id: int
    name: str
    price: float
    tags: list[str]


class NewOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sku: Annotated[str, Field(min_length=1, max_length=40)]
    quantity: Annotated[int, Field(gt=0, le=1000)]


@dataclass
class Order:
    id: int
    sku: str
    quantity: int


@dataclass
class StockLevel:
    sku: str
    available: int


@get("/widgets/{id}")
async def get_widget(id: int) -> Widget:
    return Widget(id, f"widget {id}", 9.5, ["new", "blue"])


@post("/orders")
async def place_order(order: FromJSON[NewOrder]) -> Response:
    return json(Order(1, order.value.sku, order.value.quantity), 201)


async def stock_level(sku: str) -> StockLevel:
    return StockLevel(sku, 7)


@get("/stock/{sku}")
async def get_stock(sku: str) -> StockLevel:
    return await stock_level(sku)


app = Application()

"""FastAPI, with pydantic models and return annotations, as its tutorial writes it."""

from typing import Annotated

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field


class Widget(BaseModel):
    id: int
    name: str
    price: float
    tags: list[str]


class NewOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sku: Annotated[str, Field(min_length=1, max_length=40)]
    quantity: Annotated[int, Field(gt=0, le=1000)]


class Order(BaseModel):
    id: int
    sku: str
    quantity: int


class StockLevel(BaseModel):
    sku: str
    available: int


app = FastAPI()


@app.get("/widgets/{id}")
async def get_widget(id: int) -> Widget:
    return Widget(id=id, name=f"widget {id}", price=9.5, tags=["new", "blue"])


@app.post("/orders", status_code=201)
async def place_order(order: NewOrder) -> Order:
    return Order(id=1, sku=order.sku, quantity=order.quantity)


async def stock_level(sku: str) -> StockLevel:
    return StockLevel(sku=sku, available=7)


@app.get("/stock/{sku}")
async def get_stock(sku: str) -> StockLevel:
    return await stock_level(sku)

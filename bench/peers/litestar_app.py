"""Litestar, with msgspec Structs, which it reads and writes itself."""

from litestar import Litestar, get, post

from bench.peers.model import NewOrder, Order, StockLevel, Widget, stock_level, widget


@get("/widgets/{id:int}")
async def get_widget(id: int) -> Widget:
    return widget(id)


@post("/orders")
async def place_order(data: NewOrder) -> Order:
    return Order(1, data.sku, data.quantity)


@get("/stock/{sku:str}")
async def get_stock(sku: str) -> StockLevel:
    return await stock_level(sku)


app = Litestar(route_handlers=[get_widget, place_order, get_stock])

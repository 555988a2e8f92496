"""Starlette, with msgspec for what it leaves to the application: checking a body."""

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bench.peers.model import NewOrder, Order, stock_level, widget


async def get_widget(request: Request) -> JSONResponse:
    return JSONResponse(msgspec.to_builtins(widget(request.path_params["id"])))


async def place_order(request: Request) -> JSONResponse:
    try:
        order = msgspec.convert(await request.json(), NewOrder)
    except msgspec.ValidationError as error:
        return JSONResponse({"detail": str(error)}, status_code=422)
    return JSONResponse(msgspec.to_builtins(Order(1, order.sku, order.quantity)), status_code=201)


async def get_stock(request: Request) -> JSONResponse:
    return JSONResponse(msgspec.to_builtins(await stock_level(request.path_params["sku"])))


app = Starlette(
    routes=[
        Route("/widgets/{id:int}", get_widget),
        Route("/orders", place_order, methods=["POST"]),
        Route("/stock/{sku}", get_stock),
    ]
)

"""Starlette, FastAPI and Litestar with many routes, those that are asked in the middle of the rest.

Starlette and FastAPI look through their routes one after another, so that place is the fair one.
`GET /widgets` and `GET /widgets/{id}` answer; `NAME_COUNT` is an application of so many routes.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec
from fastapi import FastAPI
from litestar import Litestar, get
from litestar.handlers import HTTPRouteHandler
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bench.peers.fastapi_app import Widget as WidgetModel
from bench.peers.model import Widget, widget

DOMAINS = 50
T = TypeVar("T")


def amid(asked: list[T], others: Iterator[T]) -> list[T]:
    listed = list(others)
    middle = len(listed) // 2
    return [*listed[:middle], *asked, *listed[middle:]]


def paths(count: int) -> Iterator[str]:
    """Name what there is beside the two that are asked, half of it with a parameter."""
    for index in range((count - 2) // 2):
        row, column = divmod(index, DOMAINS)
        yield f"/area{column}/part{row}"
        yield f"/area{column}/part{row}/{{id}}"


def starlette_app(count: int) -> Starlette:
    async def first(request: Request) -> JSONResponse:
        return JSONResponse(msgspec.to_builtins(widget(1)))

    async def show(request: Request) -> JSONResponse:
        return JSONResponse(msgspec.to_builtins(widget(request.path_params["id"])))

    others = (
        Route(path.replace("{id}", "{id:int}"), show if "{" in path else first)
        for path in paths(count)
    )
    asked = [Route("/widgets", first), Route("/widgets/{id:int}", show)]
    return Starlette(routes=amid(asked, others))


def fastapi_app(count: int) -> FastAPI:
    async def first() -> WidgetModel:
        return WidgetModel(id=1, name="widget 1", price=9.5, tags=["new", "blue"])

    async def show(id: int) -> WidgetModel:
        return WidgetModel(id=id, name=f"widget {id}", price=9.5, tags=["new", "blue"])

    app = FastAPI()
    for path in amid(["/widgets", "/widgets/{id}"], paths(count)):
        app.get(path)(show if "{" in path else first)
    return app


def litestar_app(count: int) -> Litestar:
    async def first() -> Widget:
        return widget(1)

    async def show(id: int) -> Widget:
        return widget(id)

    def handler(path: str) -> HTTPRouteHandler:
        return get(path.replace("{id}", "{id:int}"))(show if "{" in path else first)

    chosen = amid(["/widgets", "/widgets/{id}"], paths(count))
    return Litestar(route_handlers=[handler(path) for path in chosen])


MAKERS: dict[str, Callable[[int], object]] = {
    "starlette": starlette_app,
    "fastapi": fastapi_app,
    "litestar": litestar_app,
}


def __getattr__(name: str) -> object:
    maker, _, count = name.rpartition("_")
    if maker not in MAKERS:
        raise AttributeError(name)
    return MAKERS[maker](int(count))

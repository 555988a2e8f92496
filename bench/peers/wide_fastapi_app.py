"""FastAPI with what a request may carry beside path and JSON, as `bench/apps/wide` has it."""

from typing import Annotated

from fastapi import FastAPI, Form, Header, Response, WebSocket, WebSocketDisconnect

from bench.peers.fastapi_app import Order, Widget

app = FastAPI()


@app.get("/widgets/{id}")
async def get_widget(id: int) -> Widget:
    return Widget(id=id, name=f"widget {id}", price=9.5, tags=["new", "blue"])


@app.get("/headers/{id}")
async def read_header(id: int, x_shelf: Annotated[str, Header()]) -> Widget:
    return Widget(id=id, name=x_shelf, price=9.5, tags=["new", "blue"])


@app.get("/replies/{id}")
async def reply(id: int, response: Response) -> Widget:
    response.headers["x-shelf"] = "blue"
    return Widget(id=id, name=f"widget {id}", price=9.5, tags=["new", "blue"])


@app.post("/forms", status_code=201)
async def read_form(
    sku: Annotated[str, Form(min_length=1, max_length=40)],
    quantity: Annotated[int, Form(gt=0, le=1000)],
) -> Order:
    return Order(id=1, sku=sku, quantity=quantity)


@app.websocket("/echo")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect:
        pass

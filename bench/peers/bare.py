"""No framework: what an ASGI server alone allows, written by hand. The yardstick."""

from collections.abc import Awaitable, Callable, MutableMapping

import msgspec

from bench.peers.model import NewOrder, Order, stock_level, widget

Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

encode = msgspec.json.Encoder().encode
decode_order = msgspec.json.Decoder(NewOrder).decode
JSON = (b"content-type", b"application/json")


async def answer(send: Send, status: int, value: object) -> None:
    body = encode(value)
    headers = [JSON, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read(receive: Receive) -> bytes:
    body = b""
    more: object = True
    while more:
        message = await receive()
        part = message.get("body", b"")
        assert isinstance(part, bytes)
        body += part
        more = message.get("more_body")
    return body


async def app(scope: Message, receive: Receive, send: Send) -> None:
    path = scope["path"]
    assert isinstance(path, str)
    if scope["method"] == "POST" and path == "/orders":
        try:
            order = decode_order(await read(receive))
        except msgspec.ValidationError as error:
            await answer(send, 422, {"detail": str(error)})
            return
        await answer(send, 201, Order(1, order.sku, order.quantity))
    elif path.startswith("/widgets/"):
        await answer(send, 200, widget(int(path[9:])))
    elif path.startswith("/stock/"):
        await answer(send, 200, await stock_level(path[7:]))
    else:
        await answer(send, 404, {"detail": "not found"})

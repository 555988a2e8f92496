"""The ASGI callable, as other servers and other applications call it."""

from typing import cast

import pytest

from ringfence.kernel.ports import StaticName
from ringfence.testing.http import HttpClient
from ringfence.tools.http.asgi import App
from ringfence.tools.http.conformance import ENDPOINTS, endpoint, environment
from ringfence.tools.http.limits import Common
from ringfence.tools.http.live.sockets import WebSocket
from ringfence.tools.http.wire import Message, Receive, Scope, Send

pytestmark = pytest.mark.anyio


def app() -> App:
    built = App(Common(), environment())
    built.bind(ENDPOINTS, ())
    return built


async def test_it_is_mounted_below_a_prefix() -> None:
    """Its routes are below where it is mounted, with parameters and without."""
    inner = app()

    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await inner({**scope, "root_path": "/shop"}, receive, send)

    client = HttpClient(mounted)
    assert (await client.get("/shop/orders/3")).status == 200
    assert (await client.delete("/shop/nothing")).status == 204
    assert (await client.get("/shop")).status == 404


async def test_a_server_without_raw_paths_is_served() -> None:
    """ASGI leaves them optional."""
    inner = app()

    async def without(scope: Scope, receive: Receive, send: Send) -> None:
        del scope["raw_path"]
        await inner(scope, receive, send)

    assert (await HttpClient(without).get("/names/a%20b")).json() == "a b"


async def test_a_body_in_pieces_is_one_body() -> None:
    """Messages without a body or without `more_body` are as ASGI allows them."""
    pieces: list[Message] = [
        {"type": "http.request", "body": b'{"sku":"a",', "more_body": True},
        {"type": "http.request", "more_body": True},
        {"type": "http.request", "body": b'"quantity":3}'},
    ]

    async def receive() -> Message:
        return pieces.pop(0)

    inner = app()

    async def chunked(scope: Scope, _: Receive, send: Send) -> None:
        await inner(scope, receive, send)

    headers = {"content-type": "application/json"}
    assert (await HttpClient(chunked).post("/orders", headers=headers)).status == 201


async def test_other_protocols_are_not_served() -> None:
    """A server learns it by an exception, as ASGI says for lifespan."""

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    with pytest.raises(ValueError, match="lifespan"):
        await app()(cast("Scope", {"type": "lifespan"}), receive, send)


async def test_a_quarantined_plugin_takes_nothing_that_is_served() -> None:
    """Neither a route of another plugin nor a path of Ringfence's own."""
    built = app()
    lost = [("get", "/health/live"), ("get", "/orders/{id}"), ("get", "no path"), ("service", "/x")]
    built.bind([], [StaticName(word, name, "orders.Lost", "") for word, name in lost])
    client = HttpClient(built)
    assert (await client.get("/health/live")).status == 200
    assert (await client.get("/orders/1")).status == 200
    assert (await client.get("/x")).status == 404


async def test_a_result_that_is_no_json_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Its client is told nothing, its place is logged, and the next request is served."""

    async def odd() -> object:
        return object()

    built = App(Common(), environment())
    built.bind([endpoint("GET", "/odd", odd), *ENDPOINTS], ())
    client = HttpClient(built)
    response = await client.get("/odd")
    assert (response.status, b'"code":"internal"' in response.body) == (500, True)
    assert "orders.odd failed in trace " in caplog.text
    assert (await client.get("/orders/1")).status == 200


async def test_an_answer_that_has_no_body_says_no_length() -> None:
    """A 204 with Content-Length is one that a strict client or proxy refuses."""
    path = ENDPOINTS[0].declared.declaration.label.partition(" ")[2]
    answer = await HttpClient(app()).options(path)
    assert answer.status == 204
    assert answer.headers["allow"]
    assert "content-length" not in answer.headers


async def test_head_is_sent_on_from_a_final_slash_as_get_is() -> None:
    """A route is the same for both."""
    client = HttpClient(app())
    for method in ("GET", "HEAD"):
        answer = await client.request(method, "/orders/3/")
        assert (answer.status, answer.headers["location"]) == (307, "/orders/3")


async def test_a_method_is_no_way_into_a_websocket() -> None:
    """A server may pass on any word as a request's method."""

    async def talk(socket: WebSocket) -> None:
        await socket.accept()

    built = App(Common(), environment())
    built.bind([endpoint("WEBSOCKET", "/talk", talk)], ())
    assert (await HttpClient(built).request("WEBSOCKET", "/talk")).status == 405

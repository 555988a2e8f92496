"""The line that a request leaves in the log."""

import logging

import pytest

from ringfence.testing.http import HandshakeRefused, HttpClient
from ringfence.tools.http.asgi import App
from ringfence.tools.http.conformance import environment
from ringfence.tools.http.doubles import endpoint
from ringfence.tools.http.limits import Common
from ringfence.tools.http.live.sockets import WebSocket
from ringfence.tools.http.wire import Receive, Scope, Send
from tests.tools.http.conftest import Serve

pytestmark = pytest.mark.anyio
NAME = "ringfence.tools.http.beside.request_log"


async def show(name: str = "") -> str:
    return name


async def talk(socket: WebSocket) -> None:
    await socket.accept()


@pytest.mark.parametrize(
    "method, path, line",
    [
        ("GET", "/orders?token=secret", "GET /orders 200 "),
        ("DELETE", "/orders", "DELETE /orders 405 "),
        ("GET", "/%1b%5D0;", "GET /%1b%5D0; 404 "),
        ("GET", "/" + "a" * 300, f"GET /{'a' * 199} 404 "),
    ],
)
async def test_a_request_is_a_line_where_that_is_asked_for(
    serve: Serve, caplog: pytest.LogCaptureFixture, method: str, path: str, line: str
) -> None:
    """Method, path as it came in, status and time; no query, and nothing that a terminal heeds."""
    caplog.set_level(logging.INFO, NAME)
    await serve(endpoint("GET", "/orders", show), log_requests=True).request(method, path)
    assert [record.getMessage().startswith(line) for record in caplog.records] == [True]
    assert "secret" not in caplog.text


async def test_a_websocket_is_a_line_once_it_has_ended(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """101 where it was accepted, else what the handshake was answered."""
    caplog.set_level(logging.INFO, NAME)
    client = serve(endpoint("WEBSOCKET", "/feed", talk), log_requests=True)
    async with client.websocket("/feed"):
        pass
    with pytest.raises(HandshakeRefused):
        async with client.websocket("/nothing"):
            pass
    said = [record.getMessage() for record in caplog.records]
    assert [line.rpartition(" ")[0].rpartition(" ")[0] for line in said] == [
        "WEBSOCKET /feed 101",
        "WEBSOCKET /nothing 404",
    ]


async def test_nothing_is_logged_unless_it_is_asked_for(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """A proxy in front usually does it."""
    caplog.set_level(logging.INFO, NAME)
    await serve(endpoint("GET", "/orders", show)).get("/orders")
    assert caplog.records == []


async def test_a_path_cannot_write_a_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """Also where the server gives it decoded alone."""
    caplog.set_level(logging.INFO, NAME)
    inner = App(Common(log_requests=True), environment())

    async def decoded(scope: Scope, receive: Receive, send: Send) -> None:
        del scope["raw_path"]
        await inner({**scope, "path": "/a\nGET /orders 200"}, receive, send)

    await HttpClient(decoded).get("/")
    assert caplog.records[0].getMessage().startswith("GET /a%0AGET%20/orders%20200 404 ")

"""What a path is answered with: other methods, other ends, and what stands beside routes."""

import pytest

from ringfence.tools.http.doubles import endpoint
from ringfence.tools.http.live.sockets import WebSocket
from tests.tools.http.conftest import Serve

pytestmark = pytest.mark.anyio


async def show(name: str = "") -> str:
    return name


async def talk(socket: WebSocket) -> None:
    await socket.accept()


ROUTES = (
    endpoint("GET", "/orders", show),
    endpoint("POST", "/orders", show),
    endpoint("GET", "/orders/{name}", show),
    endpoint("WEBSOCKET", "/feed", talk),
)


@pytest.mark.parametrize(
    "path, allow",
    [("/orders", "GET, HEAD, POST, OPTIONS"), ("/orders/7", "GET, HEAD, OPTIONS")],
)
async def test_options_says_what_a_path_takes(serve: Serve, path: str, allow: str) -> None:
    """As 405 does for a method that it does not take."""
    client = serve(*ROUTES)
    options = await client.options(path)
    assert (options.status, options.headers["allow"], options.body) == (204, allow, b"")
    wrong = await client.delete(path)
    assert (wrong.status, wrong.headers["allow"]) == (405, allow)


async def test_a_slash_too_many_is_sent_to_the_path_without(serve: Serve) -> None:
    """With method and query kept, and to this host alone."""
    client = serve(*ROUTES)
    moved = await client.post("/orders/?a=1")
    assert (moved.status, moved.headers["location"]) == (307, "/orders?a=1")
    assert (await client.get("/orders/7/")).headers["location"] == "/orders/7"
    for path in ("//evil.example/", "/nothing/", "//"):
        assert (await client.get(path)).status == 404


async def test_a_request_where_only_a_websocket_is_served_is_told_so(serve: Serve) -> None:
    """426, with the protocol to change to."""
    answer = await serve(*ROUTES).get("/feed")
    assert (answer.status, answer.headers["upgrade"]) == (426, "websocket")


async def test_head_of_what_is_not_there_has_no_body(serve: Serve) -> None:
    """An answer to HEAD never has one, whatever it says."""
    client = serve(*ROUTES)
    for path in ("/nothing", "/orders/%ff"):
        assert (await client.head(path)).body == b""

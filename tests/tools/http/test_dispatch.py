"""What a path is answered with: other methods, other ends, and what stands beside routes."""

import pytest

from ringfence.tools.http.conformance import NewOrder
from ringfence.tools.http.doubles import endpoint
from ringfence.tools.http.live.sockets import WebSocket
from ringfence.tools.http.system import below
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


@pytest.mark.parametrize(
    "path",
    ["/..%2fsecret", "/..", "/%2e%2e", "/.", "/a%2Fb", "/a%5cb", "/a\\b", "/a%00", "/%2E%2E%5Ckey"],
)
async def test_a_parameter_is_a_single_name(serve: Serve, path: str) -> None:
    """What stands for it may be put together with a folder, and leads to no other."""
    client = serve(endpoint("GET", "/files/{name}", show))
    assert (await client.get(f"/files{path}")).status == 404
    assert (await client.get("/files/..a%20b..")).json() == "..a b.."


async def test_a_body_that_is_too_long_is_refused_before_it_comes(serve: Serve) -> None:
    """By its announcement alone: nothing waits for it, and no client is told to send it."""

    async def take(order: NewOrder) -> str:
        return order.sku

    async def raw(content: bytes) -> str:
        return str(len(content))

    client = serve(endpoint("POST", "/orders", take), endpoint("POST", "/raw", raw))
    for path in ("/orders", "/raw"):
        headers = {"content-length": "50000000000", "content-type": "application/json"}
        answer = await client.post(path, content=b"", headers=headers)
        assert answer.status == 413


async def test_the_document_says_where_it_is_mounted(serve: Serve) -> None:
    """So that clients made from it ask at the right place."""
    client = serve(*ROUTES)
    assert "servers" not in (await client.get("/openapi.json")).json(dict)
    assert b'"servers":[{"url":"/api%20v1"}]' in below("/api v1", b'{"openapi":"3.1.0"}')
    assert below("", b"{}") == b"{}"

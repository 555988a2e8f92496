"""The client that calls an application in the process."""

import pytest

from ringfence.testing.http import HttpClient
from ringfence.tools.http.wire import Receive, Scope, Send

pytestmark = pytest.mark.anyio


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what came in."""
    message = await receive()
    headers = [(b"x-path", scope["path"].encode()), (b"x-query", scope["query_string"])]
    headers += [(b"x-" + name, value) for name, value in scope["headers"]]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": message["body"], "more_body": True})
    await send({"type": "http.response.body", "body": scope["method"].encode()})


async def test_a_request_arrives_as_a_server_would_hand_it_over() -> None:
    """Path decoded, query encoded, headers in lower case, body as JSON."""
    client = HttpClient(echo, headers={"Authorization": "Bearer x"})
    response = await client.post("/a%2Fb/é?c=1", json={"n": 1}, params={"d": [True, "x y"]})
    assert response.headers["x-path"] == "/a/b/é".encode().decode("latin-1")
    assert response.headers["x-query"] == "c=1&d=true&d=x+y"
    assert response.headers["x-authorization"] == "Bearer x"
    assert response.headers["x-content-type"] == "application/json"
    assert response.headers["x-content-length"] == "7"
    assert response.text == '{"n":1}POST'


async def test_each_method_is_sent_as_itself() -> None:
    """And content as it is, without a type."""
    client = HttpClient(echo)
    assert (await client.get("/")).text == "GET"
    assert (await client.delete("/")).text == "DELETE"
    assert (await client.put("/", content=b"x")).text == "xPUT"
    patched = await client.patch("/", content=b"x")
    assert patched.text == "xPATCH"
    assert "x-content-type" not in patched.headers


async def test_an_answer_that_stays_away_is_an_error() -> None:
    """A test does not mistake it for an empty one."""

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    with pytest.raises(RuntimeError, match="without a whole answer"):
        await HttpClient(silent).get("/")


async def test_json_is_read_into_a_type() -> None:
    """Or into plain values."""

    async def one(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'["1"]'})

    response = await HttpClient(one).get("/")
    assert response.json() == ["1"]
    assert response.json(tuple[str]) == ("1",)

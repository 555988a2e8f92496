"""The client that calls an application in the process."""

import pytest

from ringfence.testing.http import HandshakeRefused, HttpClient, ReceivedEvent
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


async def test_a_form_is_sent_as_a_browser_sends_it() -> None:
    """Without files as text of one line, with files in parts."""
    client = HttpClient(echo)
    plain = await client.post("/", data={"name": "a b", "tag": ["x", "y"]})
    assert plain.headers["x-content-type"] == "application/x-www-form-urlencoded"
    assert plain.text == "name=a+b&tag=x&tag=yPOST"
    parts = await client.post(
        "/",
        data={"name": "a b"},
        files={"photo": ("a.png", b"\x89", "image/png"), "more": [("b", b"1"), ('c"', b"2")]},
    )
    kind, _, boundary = parts.headers["x-content-type"].partition("; boundary=")
    assert kind == "multipart/form-data"
    bodies = [
        b'Content-Disposition: form-data; name="name"\r\n\r\na b',
        (
            b'Content-Disposition: form-data; name="photo"; filename="a.png"\r\n'
            b"Content-Type: image/png\r\n\r\n\x89"
        ),
        (
            b'Content-Disposition: form-data; name="more"; filename="b"\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n1"
        ),
        (
            b'Content-Disposition: form-data; name="more"; filename="c%22"\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n2"
        ),
    ]
    line = b"--" + boundary.encode()
    sent = b"".join(line + b"\r\n" + body + b"\r\n" for body in bodies) + line + b"--\r\n"
    assert parts.body == sent + b"POST"
    assert parts.headers["x-content-length"] == str(len(sent))


async def test_cookies_are_sent_in_one_header() -> None:
    """And no others are kept from before."""
    client = HttpClient(echo)
    first = await client.get("/", cookies={"sid": "1", "lang": "de"})
    assert first.headers["x-cookie"] == "sid=1; lang=de"
    assert "x-cookie" not in (await client.get("/")).headers


async def test_head_and_options_are_methods_like_any_other() -> None:
    """Without a body."""
    client = HttpClient(echo)
    assert (await client.head("/")).text == "HEAD"
    assert (await client.options("/")).text == "OPTIONS"


async def test_headers_that_are_repeated_are_all_there() -> None:
    """In the order in which they were sent; by name, there is the last."""

    async def cookies(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    response = await HttpClient(cookies).get("/")
    assert response.header_list == (("set-cookie", "a=1"), ("set-cookie", "b=2"))
    assert response.headers == {"set-cookie": "b=2"}


async def test_a_stream_is_read_as_it_comes_or_at_once() -> None:
    """Leaving it tells the application that its client has gone."""
    over: list[str] = []

    async def drip(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b", "more_body": True})
        if scope["path"] == "/whole":
            await send({"type": "http.response.body", "body": b"c"})
        over.append((await receive())["type"])

    client = HttpClient(drip)
    async with client.stream("POST", "/", json=1) as answer:
        assert answer.status == 202
        assert await anext(answer.chunks()) == b"a"
    assert over == ["http.disconnect"]
    async with client.stream("GET", "/whole") as answer:
        assert (await answer.read()).body == b"abc"


async def test_events_are_read_whatever_pieces_they_come_in() -> None:
    """With any end of line, and without comments."""
    text = "id: 1\r\nevent: tick\rdata: a\ndata:b\n\n: ping\n\ndata\n\r\nid\ndata: é\n\ndata: cut"

    async def feed(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for byte in text.encode():
            await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async with HttpClient(feed).stream("GET", "/") as answer:
        assert [event async for event in answer.events()] == [
            ReceivedEvent("a\nb", "1", "tick"),
            ReceivedEvent("", "1"),
            ReceivedEvent("é", ""),
        ]


async def test_what_an_application_raises_reaches_the_test() -> None:
    """Also when it raises in the middle, or before it answers at all."""

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/late":
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise LookupError("of the application")

    client = HttpClient(broken)
    for path in ("/", "/late"):
        with pytest.raises(LookupError):
            async with client.stream("GET", path):
                pass
    with pytest.raises(LookupError):
        async with client.websocket("/"):
            pass


async def test_a_handshake_that_nobody_answers_is_an_error() -> None:
    """And one that is refused without a body is 403."""

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        assert {"method"}.isdisjoint(scope)
        if scope["path"] == "/closed":
            await send({"type": "websocket.close", "code": 1008})

    with pytest.raises(RuntimeError, match="without an answer to the handshake"):
        async with HttpClient(silent).websocket("/"):
            pass
    with pytest.raises(HandshakeRefused) as refused:
        async with HttpClient(silent).websocket("/closed"):
            pass
    assert refused.value.response.status == 403

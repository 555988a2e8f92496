"""Answers that are more than their value: status, headers, cookies, ETags, other content."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct, json

from ringfence.tools.http import File, Reply, SetCookie, Stream
from ringfence.tools.http.answers.reply import headers_of
from ringfence.tools.http.conformance import Order
from ringfence.tools.http.doubles import endpoint
from tests.tools.http.conftest import Serve

pytestmark = pytest.mark.anyio
ORDER = Order(7, "tea", 1)


class Cart(Struct):
    items: list[str]


async def test_a_reply_has_its_own_status_headers_and_cookies(serve: Serve) -> None:
    """The value is JSON as ever; each cookie is a header of its own."""

    async def create() -> Reply[Order]:
        return Reply(
            ORDER,
            status=201,
            headers={"Location": "/orders/7"},
            cookies={"sid": "abc", "theme": SetCookie("dark", max_age_s=60, secure=False)},
        )

    answer = await serve(endpoint("POST", "/orders", create)).post("/orders")
    assert (answer.status, answer.json(Order)) == (201, ORDER)
    assert answer.headers["location"] == "/orders/7"
    assert [value for name, value in answer.header_list if name == "set-cookie"] == [
        "sid=abc; Path=/; Secure; HttpOnly; SameSite=Lax",
        "theme=dark; Path=/; Max-Age=60; HttpOnly; SameSite=Lax",
    ]


async def test_a_cookie_of_none_is_removed(serve: Serve) -> None:
    """The browser is told that it is past its time."""

    async def leave() -> Reply[None]:
        return Reply(None, cookies={"sid": None})

    answer = await serve(endpoint("POST", "/leave", leave)).post("/leave")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["set-cookie"].startswith("sid=; Path=/; Max-Age=0")


@pytest.mark.parametrize(
    "value, media_type, sent, content",
    [
        (b"\x00\x01", None, "application/octet-stream", b"\x00\x01"),
        (b"\x89PNG", "image/png", "image/png", b"\x89PNG"),
        ("<p>é</p>", "text/html", "text/html; charset=utf-8", "<p>é</p>".encode()),
        ("text", None, "application/json", b'"text"'),
    ],
)
async def test_bytes_and_text_are_sent_as_they_are(
    serve: Serve, value: str | bytes, media_type: str | None, sent: str, content: bytes
) -> None:
    """Text without a media type stays a JSON string, as without a Reply."""

    async def show() -> Reply[object]:
        return Reply(value, media_type=media_type)

    answer = await serve(endpoint("GET", "/", show)).get("/")
    assert (answer.headers["content-type"], answer.body) == (sent, content)


async def test_what_the_client_has_is_not_sent_again(serve: Serve) -> None:
    """304 without a body, with the ETag; another tag gets all of it."""

    async def show() -> Reply[Order]:
        return Reply(ORDER, etag="v7", headers={"x-kind": "order"})

    client = serve(endpoint("GET", "/orders/7", show))
    first = await client.get("/orders/7")
    assert (first.status, first.headers["etag"]) == (200, '"v7"')
    again = await client.get("/orders/7", headers={"if-none-match": first.headers["etag"]})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", '"v7"')
    other = await client.get("/orders/7", headers={"if-none-match": '"v6"'})
    assert (other.status, other.json(Order)) == (200, ORDER)


async def test_an_older_copy_is_replaced(serve: Serve) -> None:
    """Last-Modified is compared to the second."""

    async def show() -> Reply[Order]:
        return Reply(ORDER, last_modified=datetime(2026, 5, 1, 12, tzinfo=UTC))

    client = serve(endpoint("GET", "/orders/7", show))
    since = {"if-modified-since": "Fri, 01 May 2026 12:00:00 GMT"}
    assert (await client.get("/orders/7", headers=since)).status == 304
    before = {"if-modified-since": "Fri, 01 May 2026 11:59:59 GMT"}
    assert (await client.get("/orders/7", headers=before)).status == 200


async def test_a_reply_sends_elsewhere(serve: Serve) -> None:
    """With a status of its own and no body."""

    async def moved() -> Reply[None]:
        return Reply(None, status=303, headers={"location": "/orders/7"})

    answer = await serve(endpoint("POST", "/orders", moved)).post("/orders")
    assert (answer.status, answer.headers["location"], answer.body) == (303, "/orders/7", b"")


async def test_a_stream_and_a_file_take_what_a_reply_adds(serve: Serve, tmp_path: Path) -> None:
    """Status, headers and cookies go with whatever is answered; one ETag is sent."""
    (tmp_path / "a.txt").write_text("content")

    async def pieces() -> AsyncIterator[str]:
        yield "one"
        yield "two"

    async def stream() -> Reply[Stream]:
        return Reply(Stream(pieces(), "text/plain"), status=202, cookies={"sid": "abc"})

    async def file() -> Reply[File]:
        return Reply(File(tmp_path / "a.txt"), etag="own", headers={"x-of": "reply"})

    client = serve(endpoint("GET", "/stream", stream), endpoint("GET", "/file", file))
    streamed = await client.get("/stream")
    assert (streamed.status, streamed.body) == (202, b"onetwo")
    assert streamed.headers["set-cookie"].startswith("sid=abc")
    sent = await client.get("/file")
    assert (sent.status, sent.body, sent.headers["x-of"]) == (200, b"content", "reply")
    assert [value for name, value in sent.header_list if name == "etag"] == ['"own"']
    known = await client.get("/file", headers={"if-none-match": '"own"'})
    assert (known.status, known.body) == (304, b"")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(None, status=404),
        Reply("text", status=204),
        Reply("text", status=205),
        Reply(None, status=99),
        Reply(None, headers={"x": "a\r\nset-cookie: stolen=1"}),
        Reply(None, headers={"x y": "a"}),
        Reply("text", headers={"Content-Length": "3"}),
        Reply("text", headers={"transfer-encoding": "chunked"}),
        Reply(None, headers={"x": "\u2026"}),
        Reply(None, cookies={"a": "b; Domain=evil.example"}),
        Reply(None, cookies={"a": SetCookie("b", path="/;\r\n")}),
        Reply(None, cookies={"a": SetCookie("b", same_site="none", secure=False)}),
        Reply(None, etag='a"b'),
        Reply(None, last_modified=datetime(2026, 5, 1)),  # noqa: DTZ001 - that it is naive
    ],
)
async def test_what_cannot_be_sent_is_a_bug_that_is_recorded(
    serve: Serve, reply: Reply[object], caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets 500 with a trace id and nothing of what was to be sent."""

    async def wrong() -> Reply[object]:
        return reply

    answer = await serve(endpoint("GET", "/", wrong)).get("/")
    assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")
    assert json.decode(answer.body)["trace_id"]
    assert "set-cookie" not in answer.headers
    assert "orders.wrong failed in trace" in caplog.text


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_text_ends_a_line(name: str, value: str) -> None:
    """Whatever becomes a header or a cookie, it is one line, or refused."""
    replies = [Reply(None, headers={name: value}), Reply(None, cookies={name: value})]
    for reply in replies:
        try:
            written = headers_of(reply)
        except ValueError:
            continue
        assert all(not set(b"\r\n\x00") & set(part) for pair in written for part in pair)
        assert len(written) == 1


async def test_head_of_a_reply_has_its_headers_alone(serve: Serve) -> None:
    """The length is that of what GET sends."""

    async def show() -> Reply[Cart]:
        return Reply(Cart(["tea"]), etag="1")

    client = serve(endpoint("GET", "/cart", show))
    head, got = await client.head("/cart"), await client.get("/cart")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(got.body))


async def test_a_header_of_a_reply_stands_in_the_place_of_its_values(serve: Serve) -> None:
    """Two types would be none."""

    async def report() -> Reply[Stream]:
        return Reply(Stream(["a"], "text/csv"), headers={"Content-Type": "text/plain"})

    answer = await serve(endpoint("GET", "/report", report)).get("/report")
    assert [value for name, value in answer.header_list if name == "content-type"] == ["text/plain"]

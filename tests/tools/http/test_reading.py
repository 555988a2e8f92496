"""How headers, cookies and raw bodies become arguments, and how those that do not fit are told."""

import asyncio
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Literal
from urllib.parse import unquote_to_bytes, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from ringfence.tools.http import BodyStream, Cookie, Header, Request, cookie, header
from ringfence.tools.http.answers.conditional import IfMatch
from ringfence.tools.http.binding import cookies, query
from ringfence.tools.http.binding.request import BodyCutShort, BodyTooLong
from ringfence.tools.http.path import Pattern, parse
from ringfence.tools.http.problem import Refused
from ringfence.tools.http.routes import Table
from ringfence.tools.http.wire import Disconnected
from tests.tools.http.arriving import Sent, arrived, faults_of, status_of

pytestmark = pytest.mark.anyio
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=";,\"'\\="))


class NewOrder(Struct):
    sku: str
    quantity: Annotated[int, Meta(gt=0)] = 1


async def test_a_header_is_named_as_its_parameter() -> None:
    """With dashes for underscores, in any case, and read as its type."""

    def take(x_request_id: Header[str], x_count: Header[int], absent: Header[str] = "none") -> None:
        """Headers."""

    headers = {"x-request-id": "a, b", "X-Count": "7"}
    async with arrived(take, Sent(headers=headers), method="GET") as args:
        assert args == ("a, b", 7, "none")


async def test_a_header_is_named_by_its_mark() -> None:
    """However it is written there."""

    def take(signature: Annotated[str, header("X-Signature")]) -> None:
        """A header."""

    async with arrived(take, Sent(headers={"x-signature": "é"})) as args:
        assert args == ("é",)


async def test_a_repeated_header_is_a_list_of_its_lines() -> None:
    """A line with commas is one value, since only its author knows what a comma means."""

    def take(tag: Header[list[str]]) -> None:
        """A header."""

    async with arrived(take, Sent(headers=[("tag", "a,b"), ("tag", "c")])) as args:
        assert args == (["a,b", "c"],)


async def test_a_cookie_is_read_by_its_name() -> None:
    """Quotes around it are no part of it; of several the first counts; others are ignored."""

    def take(sid: Annotated[str, cookie("__Host-sid")], visits: Cookie[int] = 0) -> None:
        """Cookies."""

    lines = [("cookie", 'junk; __Host-sid="a=b"; __Host-sid=late'), ("cookie", "visits=3;")]
    async with arrived(take, Sent(headers=lines), method="GET") as args:
        assert args == ("a=b", 3)


async def test_a_truth_may_be_said_in_words() -> None:
    """Where a client writes text; a word that is none is told as it was written."""

    def take(a: list[bool], b: Header[bool | None], c: Cookie[bool]) -> None:
        """Truths."""

    sent = Sent(query="a=on&a=No&a=1", headers={"b": "OFF", "cookie": "c=yes"})
    async with arrived(take, sent, method="GET") as args:
        assert args == ([True, False, True], False, True)
    wrong = Sent(query="a=on&a=Perhaps", headers={"b": "on", "cookie": "c=on"})
    with pytest.raises(Refused) as caught:
        async with arrived(take, wrong, method="GET"):
            pass
    assert list(faults_of(caught.value)) == ["query.a[1]"]


async def test_every_fault_of_a_request_is_listed() -> None:
    """Those of path, query, headers, cookies and body, each in its place; what a header or a cookie
    holds may be a secret, and is not repeated."""

    def take(
        n: int,
        q: int,
        x_n: Header[int],
        x_two: Header[str],
        color: Cookie[Literal["red"]],
        order: NewOrder,
    ) -> None:
        """All kinds."""

    sent = Sent(
        captures=("x",),
        query="q=y",
        headers=[
            *(("x-n", "z"), ("x-two", "a"), ("x-two", "b"), ("cookie", "color=blue")),
            ("content-type", "application/json"),
        ],
        pieces=[b'{"quantity": 0, "skv": ', b'"a"}'],
    )
    with pytest.raises(Refused) as caught:
        async with arrived(take, sent, "n"):
            pass
    found = faults_of(caught.value)
    assert list(found) == [
        *("path.n", "query.q", "header.x-n", "header.x-two", "cookie.color"),
        *("$.sku", "$.quantity", "$.skv"),
    ]
    assert found["query.q"] == "Expected `int`, got 'y'"
    assert found["header.x-n"] == "Expected `int`"
    assert found["cookie.color"] == "Expected one of 'red'"
    assert found["header.x-two"] == "is given 2 times; expected once"
    assert found["$.skv"] == "unknown field; did you mean 'sku'?"


async def test_the_faults_of_an_answer_are_bounded() -> None:
    """However many there are; the last one says that there are more."""

    def take(order: NewOrder, x: Header[str] = "") -> None:
        """A body."""

    body = b'{"sku": "a"' + b"".join(b', "skv%d": 1' % n for n in range(5_000)) + b"}"
    sent = Sent(headers={"content-type": "application/json"}, pieces=[body])
    with pytest.raises(Refused) as caught:
        async with arrived(take, sent):
            pass
    found = faults_of(caught.value)
    assert len(found) == 101
    assert found["$"] == "and more; the first 100 faults are listed"


async def test_what_is_missing_is_said() -> None:
    """By the name that the client knows."""

    def take(x_id: Header[str], sid: Cookie[str]) -> None:
        """Both required."""

    with pytest.raises(Refused) as caught:
        async with arrived(take, Sent(), method="GET"):
            pass
    assert faults_of(caught.value) == {"header.x-id": "is missing", "cookie.sid": "is missing"}


async def test_too_many_cookies_are_refused() -> None:
    """As too many parameters of a query are."""

    def take(a: Cookie[str]) -> None:
        """A cookie."""

    sent = Sent(headers=[("cookie", "a=1; b=2"), ("cookie", "c=3")])
    async with arrived(take, sent, max_query_params=3) as args:
        assert args == ("1",)
    with pytest.raises(Refused) as caught:
        async with arrived(take, sent, max_query_params=2):
            pass
    assert status_of(caught.value) == 400


async def test_a_raw_body_is_its_bytes_of_whatever_type() -> None:
    """So that a signature over it can be checked."""

    def take(body: bytes, x_signature: Header[str]) -> None:
        """A webhook."""

    sent = Sent(
        headers={"x-signature": "s", "content-type": "image/png"}, pieces=[b"\xff\0", b"", b"{"]
    )
    async with arrived(take, sent) as args:
        assert args == (b"\xff\0{", "s")


async def test_an_optional_raw_body_may_be_absent() -> None:
    """Its default is the argument then."""

    def take(body: bytes | None = None) -> None:
        """Maybe a body."""

    async with arrived(take, Sent()) as args:
        assert args == (None,)
    async with arrived(take, Sent(pieces=[b"x"])) as args:
        assert args == (b"x",)


@pytest.mark.parametrize("announced", [{}, {"content-length": "11"}])
async def test_a_raw_body_of_more_than_its_route_allows_is_refused(
    announced: dict[str, str],
) -> None:
    """Whether it says so beforehand or not."""

    def take(body: bytes) -> None:
        """A body."""

    sent = Sent(headers=announced, pieces=[b"x" * 6, b"x" * 5])
    async with arrived(take, sent, max_body_bytes=11) as args:
        assert args == (b"x" * 11,)
    with pytest.raises(Refused) as caught:
        async with arrived(take, sent, max_body_bytes=10):
            pass
    assert status_of(caught.value) == 413


def stream_of(argument: object) -> BodyStream:
    assert isinstance(argument, BodyStream)
    return argument


def by_stream(body: BodyStream) -> None:
    """A stream."""


async def test_a_streamed_body_comes_piece_by_piece() -> None:
    """Once: whoever asks again gets nothing, and does not wait."""
    async with arrived(by_stream, Sent(pieces=[b"ab", b"", b"c"])) as args:
        stream = stream_of(args[0])
        assert [piece async for piece in stream] == [b"ab", b"c"]
        assert [piece async for piece in stream] == []


async def test_a_streamed_body_ends_where_its_route_says() -> None:
    """What came before has been read, and no piece beyond the limit is given."""
    async with arrived(by_stream, Sent(pieces=[b"abc", b"def"]), max_body_bytes=5) as args:
        pieces = aiter(stream_of(args[0]))
        assert await anext(pieces) == b"abc"
        with pytest.raises(BodyTooLong) as caught:
            await anext(pieces)
    assert caught.value.status == 413


async def test_a_streamed_body_that_announces_too_much_is_refused_at_once() -> None:
    """Before the operation begins."""
    with pytest.raises(Refused) as caught:
        async with arrived(by_stream, Sent(headers={"content-length": "6"}), max_body_bytes=5):
            pass
    assert status_of(caught.value) == 413


async def test_a_client_that_goes_away_is_not_mistaken_for_the_end() -> None:
    """A streamed body raises; one that is read beforehand never reaches the operation."""

    def whole(body: bytes) -> None:
        """A body."""

    sent = Sent(pieces=[b"half"], lost=True)
    async with arrived(by_stream, sent) as args:
        with pytest.raises(BodyCutShort):
            [piece async for piece in stream_of(args[0])]
    with pytest.raises(Disconnected):
        async with arrived(whole, sent):
            pass


async def test_the_request_is_a_value() -> None:
    """All of it but the body; its headers have no case."""

    def take(request: Request) -> None:
        """The request."""

    headers = [("host", "shop.example"), ("x-a", "1"), ("x-a", "2"), ("cookie", "sid=s")]
    sent = Sent(headers=headers, query="q=%20&q=2")
    async with arrived(take, sent, method="PUT") as args:
        (request,) = args
        assert isinstance(request, Request)
        assert (request.method, request.path, request.query) == ("PUT", "/orders", "q=%20&q=2")
        assert request.headers["X-A"] == "1"
        assert request.headers.getlist("x-A") == ["1", "2"]
        assert "X-B" not in request.headers
        assert request.headers.get("x-b") is None
        assert len(request.headers) == 3
        assert set(request.headers) == {"host", "x-a", "cookie"}
        assert request.cookies == {"sid": "s"}
        assert request.client is None
        assert request.url == "http://shop.example/orders?q=%20&q=2"
        assert "sid=s" not in repr(request.headers)


async def test_the_version_that_a_request_is_for_is_read_from_if_match() -> None:
    """Several lines are one list; without the header there is none."""

    def take(match: IfMatch) -> None:
        """A version."""

    async with arrived(take, Sent(headers=[("if-match", '"a"'), ("if-match", '"b"')])) as args:
        assert args == (IfMatch('"a", "b"'),)
    async with arrived(take, Sent()) as args:
        assert args == (IfMatch(),)


def read_back(function: Callable[..., object], sent: Sent) -> tuple[object, ...]:
    async def run() -> tuple[object, ...]:
        async with arrived(function, sent, method="GET") as args:
            return args

    return asyncio.run(run())


@given(TEXT, st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_what_a_client_writes_is_what_the_operation_reads(
    text: str, count: int, ratio: float, flag: bool
) -> None:
    """In a header and in a cookie, as in a query."""

    def take(
        text: Cookie[str],
        count: Cookie[int],
        x_ratio: Header[float],
        x_text: Header[str],
        flag: Header[bool],
    ) -> None:
        """All scalars."""

    sent = Sent(
        headers={
            "cookie": f"text={text}; count={count}",
            "x-ratio": repr(ratio),
            "x-text": text,
            "flag": str(flag).lower(),
        }
    )
    assert read_back(take, sent) == (text, count, ratio, text, flag)


def broken(*fragments: bytes) -> st.SearchStrategy[bytes]:
    """Anything, and what looks as if it were meant."""
    return st.binary() | st.lists(st.sampled_from(fragments)).map(b"".join)


ANY_TEXT = st.text(st.characters(max_codepoint=255))


@given(st.lists(st.tuples(st.sampled_from(["cookie", "a", "b", "if-match"]), ANY_TEXT)))
def test_no_header_is_worse_than_refused(headers: list[tuple[str, str]]) -> None:
    """Whatever it holds: it is read, or the request is refused."""

    def take(
        a: Header[int] = 0,
        b: Header[list[float]] = [],  # noqa: B006 - never changed
        c: Cookie[bool] = False,
        match: IfMatch | None = None,
    ) -> None:
        """All kinds."""

    with suppress(Refused):
        read_back(take, Sent(headers=headers))


@given(
    st.binary() | st.lists(st.sampled_from([b"a=", b"&", b"%", b"%ff", b"+", b"="])).map(b"".join)
)
def test_no_query_is_worse_than_refused(raw: bytes) -> None:
    """Whatever stands after the question mark."""
    with suppress(Refused):
        query.parse(raw, 10)


@given(
    st.binary() | st.lists(st.sampled_from([b"%", b"%4", b"%e9", b"%C3%a9", b"x"])).map(b"".join)
)
def test_escapes_are_read_as_urllib_reads_them(raw: bytes) -> None:
    """And what only looks like one stands for itself."""
    raw = raw.replace(b"&", b"")
    try:
        expected = unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        with pytest.raises(Refused):
            query.parse(b"a=" + raw, 1)
    else:
        assert query.parse(b"a=" + raw, 1) == {"a": [expected]}


def test_what_is_no_escape_takes_no_memory() -> None:
    """Beside a few copies of the text."""
    raw = b"a=" + b"%" * 100_000
    tracemalloc.start()
    try:
        assert query.parse(raw, 1) == {"a": ["%" * 100_000]}
        assert tracemalloc.get_traced_memory()[1] < 10 * len(raw)
    finally:
        tracemalloc.stop()


@given(st.dictionaries(st.text(min_size=1), st.lists(st.text(), min_size=1), max_size=9))
def test_a_query_gives_back_what_a_client_encodes(given_: dict[str, list[str]]) -> None:
    """Every value of every name, in order."""
    assert query.parse(urlencode(given_, doseq=True).encode(), 1000) == given_


@given(
    st.binary() | st.lists(st.sampled_from([b"/", b"a", b"%", b"%2f", b"..", b"\0"])).map(b"".join)
)
def test_no_path_is_worse_than_refused(raw: bytes) -> None:
    """Whatever is asked for."""
    table: Table[str] = Table()
    for path in ("/", "/a/{b}/c", "/a/b/{c}"):
        pattern = parse(path)
        assert isinstance(pattern, Pattern)
        table.add("GET", pattern, path)
    with suppress(Refused):
        table.find("GET", b"/" + raw)


@given(st.lists(ANY_TEXT))
def test_no_cookie_is_worse_than_refused(lines: list[str]) -> None:
    """Whatever a browser kept; a name is never empty."""
    with suppress(Refused):
        assert "" not in cookies.parse(lines, 10)

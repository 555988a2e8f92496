"""What is not HTTP as it should be: refused, closed, written down once, and never repeated."""

import asyncio

import pytest
from msgspec import Struct

from .wire import Wire, answers, wired

pytestmark = pytest.mark.anyio

H = b"Host: localhost\r\n"
END = b"\r\n"
POST = b"POST /items HTTP/1.1\r\n" + H + b"Content-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SECRET = b"s3cr3t-canary"


class Case(Struct, frozen=True):
    """What is sent, and how it is refused."""

    name: str
    sent: bytes
    status: int = 400
    code: str = "malformed"


def get(*lines: bytes, target: bytes = b"/hello", version: bytes = b"HTTP/1.1") -> bytes:
    return b"GET " + target + b" " + version + END + b"".join(x + END for x in lines) + END


HOST = b"Host: localhost"
REFUSED = [
    Case("binary", b"\x00\x01\x02\xff" + SECRET + b"\r\n\r\n"),
    Case("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + SECRET),
    Case("a terminal escape as method", b"\x1b]0;" + SECRET + b"\x07 / HTTP/1.1\r\n\r\n"),
    Case("an unknown method", b"FROB /hello HTTP/1.1\r\n" + H + END),
    Case("a method in lower case", b"get /hello HTTP/1.1\r\n" + H + END),
    Case("no target", b"GET HTTP/1.1\r\n" + H + END),
    Case("HTTP/2 by prior knowledge", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Case("a version of tomorrow", get(HOST, version=b"HTTP/9.9")),
    Case("version 2.0 in the form of 1.1", get(HOST, version=b"HTTP/2.0")),
    Case("version 0.9", get(HOST, version=b"HTTP/0.9")),
    Case("another protocol", get(HOST, version=b"SMTP/1.1")),
    Case("NUL in the target", get(HOST, target=b"/hello\x00" + SECRET)),
    Case("an escape in the target", get(HOST, target=b"/\x1b[31m" + SECRET)),
    Case("a byte above ASCII in the target", get(HOST, target=b"/h\xc3\xa9llo")),
    Case("a fragment in the target", get(HOST, target=b"/hello#" + SECRET)),
    Case("a target without a slash", get(HOST, target=b"hello")),
    Case("a target of another scheme", get(HOST, target=b"ftp://localhost/hello")),
    Case("a target with a password", get(HOST, target=b"http://me:pw@localhost/hello")),
    Case("no Host", get()),
    Case("no Host beside an absolute target", get(target=b"http://localhost/hello")),
    Case("two Hosts", get(HOST, b"Host: example.com")),
    Case("the same Host twice", get(HOST, HOST)),
    Case("a Host that is no name", get(b"Host: local host")),
    Case("a Host with a path", get(b"Host: localhost/admin")),
    Case("a Host with a user", get(b"Host: me@localhost")),
    Case("a header without a colon", get(HOST, b"Nothing")),
    Case("a header without a name", get(HOST, b": value")),
    Case("a space before the colon", get(HOST, b"X-A : b")),
    Case("a continued line", get(HOST, b"X-A: b", b" " + SECRET)),
    Case("a continued first line", get(b" folded: 1", HOST)),
    Case("NUL in a value", get(HOST, b"X-A: a\x00b")),
    Case("a bare CR in a value", get(HOST, b"X-A: a\rInjected: b")),
    Case("an escape in a name", get(HOST, b"X-\x1b]0;" + SECRET + b"\x07: a")),
    Case("bare line feeds", b"GET /hello HTTP/1.1\nHost: localhost\n\n"),
    Case(
        "length and chunks",
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    Case(
        "chunks and length",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    ),
    Case("two lengths", POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    Case("the same length twice", POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}"),
    Case("two lengths in one", POST + b"Content-Length: 2, 2\r\n\r\n{}"),
    Case("a length below zero", POST + b"Content-Length: -1\r\n\r\n"),
    Case("a length with a sign", POST + b"Content-Length: +2\r\n\r\n{}"),
    Case("a length in hex", POST + b"Content-Length: 0x2\r\n\r\n{}"),
    Case("a length of 2**70", POST + b"Content-Length: 1180591620717411303424\r\n\r\n"),
    Case("an unknown coding", POST + b"Transfer-Encoding: gzip\r\n\r\n"),
    Case("two codings", POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    Case("chunked twice", POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    Case(
        "chunked in two headers",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    Case("chunked after another", POST + b"Transfer-Encoding: chunked, identity\r\n\r\n"),
    Case("chunks in HTTP/1.0", CHUNKED.replace(b"/1.1", b"/1.0", 1) + b"0\r\n\r\n"),
    Case("a chunk without a size", CHUNKED + b"\r\n{}\r\n0\r\n\r\n"),
    Case("a chunk size that is no number", CHUNKED + SECRET + b"\r\n{}\r\n0\r\n\r\n"),
    Case("a chunk size below zero", CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n"),
    Case("a chunk size of 2**80", CHUNKED + b"f" * 20 + b"\r\n{}\r\n"),
    Case("a chunk longer than its size", CHUNKED + b"2\r\n{}" + SECRET + b"\r\n0\r\n\r\n"),
    Case("a space after the chunk size", CHUNKED + b"2 \r\n{}\r\n0\r\n\r\n"),
    Case("CONNECT", b"CONNECT localhost:443 HTTP/1.1\r\n" + H + END, 405, "method_not_allowed"),
    Case("another Host", get(b"Host: evil.example"), 421, "host_not_served"),
    Case("an expectation", get(HOST, b"Expect: " + SECRET), 417, "expectation_failed"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name.replace(" ", "-"))
async def test_what_is_no_request_is_refused(
    case: Case, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A problem and a closed connection; a bystander is served; one record, with none of it."""
    async with wired() as wire, wire.connected() as (reader, writer):
        writer.write(case.sent)
        async with asyncio.timeout(10):
            (answer,) = answers(await reader.read())
        assert (answer.status, answer.code) == (case.status, case.code)
        assert answer.headers["connection"] == "close"
        await wire.ask_bystander()
    assert caplog.messages == [f"http: {case.code}: 127.0.0.1 was answered {case.status}"]
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name.replace(" ", "-"))
async def test_what_is_refused_is_refused_byte_by_byte(case: Case) -> None:
    """It does not matter how it is cut into pieces."""
    async with wired() as wire, wire.connected() as (reader, writer):
        for at in range(len(case.sent)):
            writer.write(case.sent[at : at + 1])
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            (answer,) = answers(await reader.read())
        assert (answer.status, answer.code) == (case.status, case.code)


SERVED = [
    ("leading empty lines", b"\r\n\r\n" + get(HOST), [200]),
    ("an absolute target", get(HOST, target=b"http://localhost:1/hello"), [200]),
    ("OPTIONS for the whole server", b"OPTIONS * HTTP/1.1\r\n" + H + END, [204]),
    ("TRACE", b"TRACE /hello HTTP/1.1\r\n" + H + END, [405]),
    ("an upgrade to HTTP/2", get(HOST, b"Connection: upgrade", b"Upgrade: h2c"), [200]),
    ("an upgrade nobody speaks", get(HOST, b"Connection: upgrade", b"Upgrade: websocket"), [200]),
    (
        "a request after an ignored upgrade",
        get(HOST, b"Connection: upgrade", b"Upgrade: h2c") + get(HOST),
        [200, 200],
    ),
    ("three at once", get(HOST) * 3, [200, 200, 200]),
    ("one that is refused behind one that is not", get(HOST) + b"\x00", [200, 400]),
    ("what follows the last", get(HOST, b"Connection: close") + b"\x00", [200]),
    ("HTTP/1.0", get(version=b"HTTP/1.0"), [200]),
    ("chunks with an extension", CHUNKED + b'd;a=b\r\n{"sku":"tea"}\r\n0\r\n\r\n', [200]),
    ("a trailer", CHUNKED + b'd\r\n{"sku":"tea"}\r\n0\r\nX-Late: 1\r\n\r\n', [200]),
]


@pytest.mark.parametrize(
    "sent, expected", [each[1:] for each in SERVED], ids=[each[0] for each in SERVED]
)
async def test_what_is_unusual_is_answered_in_order(sent: bytes, expected: list[int]) -> None:
    """Each request once, and none of what is none."""
    async with wired() as wire:
        assert await _statuses(wire, sent) == expected


async def _statuses(wire: Wire, sent: bytes) -> list[int]:
    """Send, and give the connection up as idle; return the answers' statuses."""
    async with wire.connected() as (reader, writer):
        writer.write(sent)
        received = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        await wire.ask_bystander()
        await wire.clock.elapse(7)
        received += await asyncio.wait_for(reader.read(), 10)
    return [answer.status for answer in answers(received)]

"""Who a request says that it is from: strangers are not believed, trusted proxies are."""

import json

import pytest

from ringfence.kernel.ports import Inbound
from ringfence.tools.http.wire import Receive, Scope, Send

from .wire import answers, wired

pytestmark = pytest.mark.anyio
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
FORWARDED = (
    b"X-Forwarded-For: 203.0.113.9, 198.51.100.7, 10.0.0.1\r\n"
    b"X-Forwarded-Proto: https\r\n"
    b"traceparent: 00-" + TRACE.encode() + b"-" + SPAN.encode() + b"-01\r\n"
    b"baggage: user=admin\r\n"
    b"X-Request-Deadline: 1\r\n"
)


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what the scope says of the client."""
    inbound = scope.get("inbound")
    assert inbound is None or isinstance(inbound, Inbound)
    said = {
        "client": scope["client"],  # type: ignore[typeddict-item]
        "scheme": scope.get("scheme"),
        "link": inbound.link if inbound else None,
        "trace": inbound.trace if inbound else None,
    }
    body = json.dumps(said).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _told(headers: bytes, **config: object) -> dict[str, object]:
    async with wired(serve=_echo, **config) as wire:
        sent = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + headers + b"\r\n"
        (answer,) = answers(await wire.say(sent))
    assert answer.status == 200
    told: dict[str, object] = json.loads(answer.body)
    return told


async def test_a_stranger_changes_neither_address_nor_scheme_nor_trace() -> None:
    """Its trace is linked, and nothing more."""
    told = await _told(FORWARDED)
    assert told["client"][0] == "127.0.0.1"  # type: ignore[index]
    assert (told["scheme"], told["link"], told["trace"]) == ("http", f"{TRACE}-{SPAN}", None)


async def test_a_trusted_proxy_is_believed() -> None:
    """The client is the rightmost address that is none of the proxies; the trace goes on."""
    told = await _told(FORWARDED, trusted_proxies=["127.0.0.0/8", "10.0.0.0/8"])
    assert told["client"] == ["198.51.100.7", 0]
    assert (told["scheme"], told["trace"]) == ("https", int(TRACE, 16))
    assert told["link"] == f"{TRACE}-{SPAN}"


async def test_what_a_client_writes_left_of_its_proxy_is_not_believed() -> None:
    """It forges an entry, the proxy appends the address that it sees."""
    told = await _told(b"X-Forwarded-For: 10.0.0.1, ::1\r\n", trusted_proxies=["127.0.0.1"])
    assert told["client"] == ["::1", 0]


@pytest.mark.parametrize(
    "forwarded, client",
    [
        (b"X-Forwarded-For: 198.51.100.7:4711\r\n", "198.51.100.7"),
        (b"X-Forwarded-For: [2001:db8::7]:4711\r\n", "2001:db8::7"),
        (b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 198.51.100.7\r\n", "198.51.100.7"),
        (b"X-Forwarded-For: 198.51.100.7, nonsense\r\n", "127.0.0.1"),
        (b"X-Forwarded-For: \r\n", "127.0.0.1"),
    ],
)
async def test_forwarded_addresses_are_read_as_proxies_write_them(
    forwarded: bytes, client: str
) -> None:
    """With a port, over several headers; and what is no address changes nothing."""
    told = await _told(forwarded, trusted_proxies=["127.0.0.1"])
    assert told["client"][0] == client  # type: ignore[index]


@pytest.mark.parametrize(
    "traceparent",
    [
        b"",
        b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01",
        b"00-" + b"1" * 32 + b"-" + b"0" * 16 + b"-01",
        b"ff-" + b"1" * 32 + b"-" + b"1" * 16 + b"-01",
        b"00-" + b"1" * 32 + b"-" + b"1" * 16 + b"-01-more",
        b"00-" + b"A" * 32 + b"-" + b"1" * 16 + b"-01",
        b'"; drop table',
    ],
)
async def test_a_malformed_traceparent_is_none(traceparent: bytes) -> None:
    """Not even from a trusted peer."""
    header = b"traceparent: " + traceparent + b"\r\n"
    told = await _told(header, trusted_proxies=["127.0.0.1"])
    assert (told["link"], told["trace"]) == (None, None)


async def test_two_traceparents_are_none() -> None:
    """Neither of them is right."""
    header = b"traceparent: 00-" + b"1" * 32 + b"-" + b"1" * 16 + b"-01\r\n"
    told = await _told(header * 2)
    assert told["link"] is None


@pytest.mark.parametrize("host", [b"evil.example", b"localhost.evil.example", b"169.254.169.254"])
async def test_another_host_is_not_served_on_loopback(
    host: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """421, with the key to set; a bystander is served; one record."""
    async with wired() as wire:
        sent = b"GET /hello HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
        (answer,) = answers(await wire.say(sent))
        await wire.ask_bystander()
    assert (answer.status, answer.code) == (421, "host_not_served")
    assert b"allowed_hosts" in answer.body
    assert caplog.messages == ["http: host_not_served: 127.0.0.1 was answered 421"]


async def test_hosts_that_are_allowed_are_served() -> None:
    """And then no others, `localhost` included."""
    async with wired(allowed_hosts=["shop.example", "localhost"]) as wire:
        for host, status in ((b"shop.example:8443", 200), (b"127.0.0.1", 421)):
            sent = b"GET /hello HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
            (answer,) = answers(await wire.say(sent))
            assert answer.status == status

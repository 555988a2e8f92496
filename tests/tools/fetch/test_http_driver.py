"""The driver `http`: connections, addresses, TLS, and what other sides do wrong."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ringfence.errors import StartRefused
from ringfence.settings import Seconds, Secret
from ringfence.tools.fetch import (
    BadResponse,
    LinkUnavailable,
    OutcomeUnknown,
    RefusedTarget,
    UnexpectedStatus,
)
from ringfence.tools.fetch.conformance import OtherSide, answer
from ringfence.tools.fetch.doubles import Recorded, Reply, StandingClock, served
from ringfence.tools.fetch.options import Config

from .support import GRANT, started

pytestmark = pytest.mark.anyio
TLS = Path(__file__).parent / "tls"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Raw:
    """A server that says what it is told to, on each connection."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0
        self.gone = asyncio.Event()  # a client has closed its connection

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@asynccontextmanager
async def raw(*said: bytes, close: bool = False) -> AsyncIterator[Raw]:
    """Serve: the nth request on a connection is answered with the nth text, the last for ever."""
    server = Raw()
    writers: list[asyncio.StreamWriter] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        writers.append(writer)
        number = 0
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(said[min(number, len(said) - 1)])
                number += 1
                if close:
                    writer.close()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            server.gone.set()
            writer.transport.abort()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # a transport closes its socket in the next turn of the loop


def config(base_url: str, **keys: object) -> Config:
    return Config(base_url=base_url, private=True, **keys)  # type: ignore[arg-type]


# ---- connections


async def test_a_connection_is_kept_for_the_next_request() -> None:
    """And closed when its time is up, by the clock, with nobody asking."""
    clock = StandingClock()
    async with raw(OK) as server, started(config(server.base_url), clock) as driver:
        link = driver.handle(GRANT)
        for _ in range(3):
            assert (await link.get("it")).body == b"ok"
        assert server.connections == 1
        await clock.elapse(5)
        async with asyncio.timeout(5):
            await server.gone.wait()
        await link.get("it")
        assert server.connections == 2


async def test_a_stop_closes_what_is_kept() -> None:
    """No connection outlives its driver."""
    async with raw(OK) as server:
        async with started(config(server.base_url), StandingClock()) as driver:
            await driver.handle(GRANT).get("it")
        async with asyncio.timeout(5):
            await server.gone.wait()


async def test_a_connection_that_was_closed_meanwhile_costs_nobody_an_error() -> None:
    """Even with no retries, whether its end was seen in time or not."""
    async with (
        raw(OK, close=True) as server,
        started(config(server.base_url, retries=0), StandingClock()) as driver,
    ):
        for _ in range(20):
            assert (await driver.handle(GRANT).get("it")).body == b"ok"
    assert server.connections == 20


@pytest.mark.parametrize("method, ends", [("GET", None), ("POST", OutcomeUnknown)])
async def test_a_kept_connection_that_dies_under_a_request(
    method: str, ends: type[Exception] | None
) -> None:
    """What may be repeated is, at once and for nothing; what must not be is not."""
    seen: list[str] = []

    async def respond(request: Recorded) -> Reply:
        seen.append(request.method)
        return Reply(broken="lost") if len(seen) == 2 else answer("ok")

    async with (
        served(respond) as base_url,
        started(config(base_url, retries=0), StandingClock()) as driver,
    ):
        link = driver.handle(GRANT)
        await link.get("first")
        if ends is None:
            assert await link.request(method, "second", into=str) == "ok"
            assert len(seen) == 3
        else:
            with pytest.raises(ends):
                await link.request(method, "second")
            assert len(seen) == 2


async def test_what_nobody_asked_for_ends_a_connection() -> None:
    """An answer too many is nobody's answer, neither at once nor later."""
    async with (
        raw(OK + OK.replace(b"ok", b"no")) as server,
        started(config(server.base_url), StandingClock()) as driver,
    ):
        for _ in range(3):
            assert (await driver.handle(GRANT).get("it")).body == b"ok"
    assert server.connections == 3


async def test_an_answer_that_comes_to_an_idle_connection_ends_it() -> None:
    """It would be taken for that of the next request."""
    opened: list[asyncio.StreamWriter] = []
    ended = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(OK)
        except (asyncio.IncompleteReadError, OSError):
            ended.set()
            writer.transport.abort()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with started(config(f"http://127.0.0.1:{port}/"), StandingClock()) as driver:
        link = driver.handle(GRANT)
        await link.get("it")
        opened[0].write(OK.replace(b"ok", b"no"))
        async with asyncio.timeout(5):
            await ended.wait()
        assert (await link.get("it")).body == b"ok"
    server.close()
    assert len(opened) == 2


async def test_connections_in_use_are_bounded() -> None:
    """Who waits too long for one is told so, and has sent nothing: a POST is repeatable then."""
    clock, release, entered = StandingClock(), asyncio.Event(), asyncio.Semaphore(0)

    async def respond(request: Recorded) -> Reply:
        entered.release()
        await release.wait()
        return answer("ok")

    async with (
        served(respond) as base_url,
        started(config(base_url, connections=2, retries=0), clock) as driver,
    ):
        link = driver.handle(GRANT)
        busy = [asyncio.ensure_future(link.get("it")) for _ in range(2)]
        await entered.acquire()
        await entered.acquire()
        waiting = asyncio.ensure_future(link.post("it"))
        await asyncio.sleep(0)
        await clock.elapse(2.5)
        with pytest.raises(LinkUnavailable, match="all 2 are in use"):
            await waiting
        release.set()
        assert [got.status for got in await asyncio.gather(*busy)] == [200, 200]


async def test_silence_in_the_middle_of_an_answer_is_not_waited_out() -> None:
    """`read_timeout` is for each piece, well before the whole time is up."""
    clock = StandingClock()
    begun = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun"
    async with (
        raw(begun) as server,
        started(config(server.base_url, retries=0), clock) as driver,
        driver.handle(GRANT).stream("GET", "it") as download,
    ):
        pieces = download.chunks()
        assert await anext(pieces) == b"begun"
        rest = asyncio.ensure_future(pieces.__anext__())
        await asyncio.sleep(0)
        await clock.elapse(5.5)
        with pytest.raises(LinkUnavailable, match="more of the answer within 5 s"):
            await rest


async def test_an_answer_before_the_end_of_the_request_is_taken() -> None:
    """The rest of a body that was refused is not sent."""
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(64 << 10)
            await asyncio.sleep(0)

    refusal = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n"
    async with raw(refusal) as server, started(config(server.base_url), StandingClock()) as driver:
        async with asyncio.timeout(20):
            got = await driver.handle(GRANT).post("it", content=endless(), expect={413})
    assert got.status == 413
    assert taken > 0


# ---- answers that are wrong


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nbad header: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 1\r\n\r\nx",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        b"\x00" * 1000 + b"\r\n\r\n",
    ],
)
async def test_what_cannot_be_read_is_a_bad_response(said: bytes) -> None:
    """It is said in plain words, and its connection is not used again."""
    async with raw(said) as server, started(config(server.base_url), StandingClock()) as driver:
        for _ in range(2):
            with pytest.raises(BadResponse):
                await driver.handle(GRANT).get("it")
    assert server.connections == 2
    assert driver.tally.failures == 0


async def test_endless_headers_are_refused_in_bounded_memory() -> None:
    """By the link's own limit."""
    said = b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000
    async with raw(said) as server:
        chosen = config(server.base_url, max_header_bytes=1024)
        async with started(chosen, StandingClock()) as driver:
            with pytest.raises(BadResponse, match="max_header_bytes"):
                await driver.handle(GRANT).get("it")


async def test_interim_answers_are_passed_over() -> None:
    """A 103 is not the answer."""
    early = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    async with (
        raw(early + OK) as server,
        started(config(server.base_url), StandingClock()) as driver,
    ):
        assert (await driver.handle(GRANT).get("it")).body == b"ok"


async def test_an_answer_may_end_with_its_connection() -> None:
    """As HTTP/1.0 has it."""
    old = b"HTTP/1.0 200 OK\r\n\r\nall of it"
    async with (
        raw(old, close=True) as server,
        started(config(server.base_url), StandingClock()) as driver,
    ):
        for _ in range(2):
            assert (await driver.handle(GRANT).get("it")).body == b"all of it"
    assert server.connections == 2


# ---- names and TLS


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to() -> None:
    """There is no second resolution; Host keeps the name."""
    other, asked = OtherSide(), list[str]()

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["203.0.113.1"]

    async with served(other) as base_url:
        named = base_url.replace("127.0.0.1", "pay.test")
        async with started(config(named), StandingClock(), resolve) as driver:
            for _ in range(2):
                assert (await driver.handle(GRANT).get("it")).status == 200
    assert asked == ["pay.test"]
    assert other.requests[0].headers["host"] == named.split("/")[2]


async def test_a_dead_address_among_several_is_passed_over() -> None:
    """Its share of the time is all that it takes."""
    other = OtherSide()

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.9", "127.0.0.1"]

    async with served(other) as base_url:
        named = base_url.replace("127.0.0.1", "pay.test")
        async with started(config(named), StandingClock(), resolve) as driver:
            assert (await driver.handle(GRANT).get("it")).status == 200


async def test_a_name_without_an_address_is_unavailable() -> None:
    """Whatever the resolver says to it."""

    async def resolve(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    async with started(config("http://pay.test/"), StandingClock(), resolve) as driver:
        with pytest.raises(LinkUnavailable, match=r"pay\.test has no address"):
            await driver.handle(GRANT).get("it")
    assert (driver.tally.failures, driver.tally.failures_in_a_row) == (1, 1)


@asynccontextmanager
async def secure() -> AsyncIterator[tuple[int, list[str]]]:
    """Serve TLS as pay.test; the value is the port, and the names that clients asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.pem")
    names: list[str] = []
    context.sni_callback = lambda _, name, __: names.append(name)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(OK)
        except (asyncio.IncompleteReadError, OSError):
            writer.transport.abort()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], names
    finally:
        server.close()


async def loopback(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


async def test_tls_is_verified_by_the_name() -> None:
    """The connection goes to the address; SNI, the certificate and Host are the name's."""
    async with secure() as (port, names):
        chosen = config(f"https://pay.test:{port}/", ca_file=TLS / "ca.pem", token=Secret("t"))
        async with started(chosen, StandingClock(), loopback) as driver:
            for _ in range(2):
                assert (await driver.handle(GRANT).get("it")).body == b"ok"
    assert names == ["pay.test"]


@pytest.mark.parametrize("host, trusted", [("other.test", True), ("pay.test", False)])
async def test_a_certificate_that_does_not_fit_is_refused(host: str, trusted: bool) -> None:
    """Another name, or an authority that nobody vouches for; and nothing is sent."""
    keys = {"ca_file": TLS / "ca.pem"} if trusted else {}
    async with secure() as (port, _):
        chosen = config(f"https://{host}:{port}/", retries=0, **keys)
        async with started(chosen, StandingClock(), loopback) as driver:
            with pytest.raises(LinkUnavailable, match=f"TLS with {host} failed"):
                await driver.handle(GRANT).post("it", json=1)


@pytest.mark.parametrize("file", ["missing.pem", "test_http_driver.py"])
async def test_a_file_of_certificates_must_be_one(file: str) -> None:
    """Found at the start, not with the first request."""
    chosen = config("https://pay.test/", ca_file=Path(__file__).parent / file)
    with pytest.raises(StartRefused, match=r"payments\.ca_file"):
        async with started(chosen, StandingClock()):
            pytest.fail("it started")


async def test_the_environments_proxies_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A link leads where its table says."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with (
        served(OtherSide()) as base_url,
        started(config(base_url), StandingClock()) as driver,
    ):
        assert (await driver.handle(GRANT).get("it")).status == 200


async def test_another_origin_gets_nothing_of_the_links() -> None:
    """No credential, no header and no trace goes with an absolute URL."""
    own, other = OtherSide(), OtherSide()
    async with served(own) as base_url, served(other) as elsewhere:
        origin = elsewhere.removesuffix("/base/")
        keys = {"token": Secret("t"), "headers": {"X-Key": Secret("k")}, "absolute": [origin]}
        async with started(config(base_url, **keys), StandingClock()) as driver:
            link = driver.handle(GRANT)
            await link.get("it")
            await link.post(f"{elsewhere}hook?a=1", json=1, params={"b": 2})
            with pytest.raises(RefusedTarget):
                await link.get(f"{base_url}it")
    assert {"authorization", "x-key"} <= set(own.requests[0].headers)
    (hook,) = other.requests
    assert not {"authorization", "x-key", "traceparent"} & set(hook.headers)
    assert (hook.path, hook.query) == ("hook", "a=1&b=2")


async def test_another_origin_hears_nothing_of_what_was_said_to_the_first() -> None:
    """A redirect between origins that a link may reach takes no header of the feature's along."""
    other = OtherSide(answer("there"))
    async with served(other) as elsewhere:
        here = OtherSide(Reply(302, {"location": f"{elsewhere}b?c=1"}))
        async with served(here) as base_url:
            origins = [url.removesuffix("/base/") for url in (base_url, elsewhere)]
            keys = Config(absolute=origins, private=True, redirects=1)
            async with started(keys, StandingClock()) as driver:
                said = {"Authorization": "Bearer customer", "X-Api-Key": "theirs"}
                got = await driver.handle(GRANT).get(f"{base_url}a", headers=said, into=str)
    assert got == "there"
    (asked,) = other.requests
    assert asked.query == "c=1"
    assert not {"authorization", "x-api-key"} & set(asked.headers)


async def test_errors_name_an_absolute_url_by_its_origin() -> None:
    """The rest of it may be what only its owner knows, as with the hooks of a chat."""
    other = OtherSide(answer("no number"), Reply(200, {}, b"half", cut=True))
    async with served(other) as base_url:
        keys = Config(absolute=[base_url.removesuffix("/base/")], private=True)
        async with started(keys, StandingClock()) as driver:
            link, url = driver.handle(GRANT), f"{base_url}canary?sig=canary"
            with pytest.raises(BadResponse) as whole:
                await link.get(url, into=int)
            with pytest.raises(LinkUnavailable) as streamed:
                async with link.stream("GET", url) as download:
                    [_ async for _ in download.chunks()]
    for failed in (whole, streamed):
        assert keys.absolute[0] in str(failed.value)
        assert "canary" not in str(failed.value)


async def test_a_status_counts_though_its_body_never_ends() -> None:
    """A charge that was declined was not perhaps made."""
    clock, came = StandingClock(), asyncio.Event()
    said = b"HTTP/1.1 402 Payment Required\r\ncontent-length: 1000\r\n\r\nno"

    class Watched(set[int]):
        def __contains__(self, status: object) -> bool:
            came.set()
            return super().__contains__(status)

    keys = {"timeout": Seconds(4), "read_timeout": Seconds(60)}
    async with raw(said) as server, started(config(server.base_url, **keys), clock) as driver:
        link = driver.handle(GRANT)
        asked = asyncio.ensure_future(link.post("charges", json=1, expect=Watched({201})))
        async with asyncio.timeout(5):
            await came.wait()
        await clock.elapse(5)
        with pytest.raises(UnexpectedStatus, match="402"):
            await asked
        assert (driver.tally.answers, driver.tally.failures) == (1, 0)

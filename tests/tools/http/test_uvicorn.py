"""What only a driver with a port has: sockets, raw bytes, connections that stay open."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec import convert

from ringfence.errors import StartRefused
from ringfence.kernel.ports import Endpoint
from ringfence.tools.http.conformance import Order, endpoint, environment
from ringfence.tools.http.drivers.uvicorn import Config, Driver

pytestmark = pytest.mark.anyio
GET = b"GET /orders HTTP/1.1\r\nhost: localhost\r\n\r\n"


async def orders() -> Order:
    return Order(1, "a", 2)


@asynccontextmanager
async def serving(*endpoints: Endpoint, **config: int) -> AsyncIterator[Driver]:
    driver = Driver(convert({"port": 0, **config}, Config), environment())
    try:
        await driver.start()
        driver.bind(endpoints or [endpoint("GET", "/orders", orders)], ())
        await driver.open()
        yield driver
    finally:
        await driver.stop()


@asynccontextmanager
async def connected(
    driver: Driver,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    port = int(driver.addresses[0].rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def test_a_port_in_use_refuses_the_start_in_one_line() -> None:
    """It names the port and what to do, before anything is served."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        driver = Driver(Config(port=port), environment())
        with pytest.raises(StartRefused) as refusal:
            await driver.start()
        await driver.stop()
    assert str(refusal.value) == (
        f"http: 127.0.0.1:{port} is in use by another process. Stop what uses it, or choose"
        " another port: --port, or port in [tools.http]."
    )


async def test_a_port_taken_between_start_and_open_refuses_too() -> None:
    """Two may hold a port until one of them listens."""
    first = Driver(Config(port=0), environment())
    await first.start()
    port = int(first.addresses[0].rpartition(":")[2])
    second = Driver(Config(port=port), environment())
    await second.start()
    await second.open()
    with pytest.raises(StartRefused, match="in use"):
        await first.open()
    await first.stop()
    await second.stop()


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
async def test_a_host_that_is_not_here_refuses_the_start(host: str) -> None:
    """An address of another machine, or a name of none."""
    driver = Driver(Config(host=host, port=0), environment())
    with pytest.raises(StartRefused, match="no address of this machine"):
        await driver.start()


async def test_a_stopped_driver_gives_its_port_back() -> None:
    """Also when it was started and never opened."""
    for _ in range(2):
        driver = Driver(Config(port=0), environment())
        await driver.start()
        port = int(driver.addresses[0].rpartition(":")[2])
        await driver.stop()
        assert driver.addresses == ()
        with socket.create_server(("127.0.0.1", port)):
            pass


async def test_localhost_is_one_port_on_each_of_its_addresses() -> None:
    """A client finds it whichever it tries."""
    driver = Driver(Config(host="localhost", port=0), environment())
    await driver.start()
    ports = {address.rpartition(":")[2] for address in driver.addresses}
    await driver.stop()
    assert len(ports) == 1


async def test_signals_are_left_alone() -> None:
    """The process's signals are the kernel's."""
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    async with serving():
        assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


async def test_an_answer_is_dated_and_does_not_name_the_server() -> None:
    """What runs behind a port is nobody's business."""
    async with serving() as driver, connected(driver) as (reader, writer):
        writer.write(GET)
        received = await head(reader)
    assert b"\r\ndate: " in received
    assert received.count(b"\r\ndate: ") == 1
    assert b"\r\nserver:" not in received


async def test_a_connection_serves_one_request_after_the_other() -> None:
    """It stays open between them, and takes several at once."""
    async with serving() as driver, connected(driver) as (reader, writer):
        for count in (1, 3):
            writer.write(GET * count)
            for _ in range(count):
                assert (await head(reader)).startswith(b"HTTP/1.1 200 ")
                assert await reader.readexactly(31) == b'{"id":1,"sku":"a","quantity":2}'


async def test_closing_ends_idle_connections_at_once() -> None:
    """Whoever sends nothing is not waited for, half a request included."""
    async with (
        serving() as driver,
        connected(driver) as (idle, _),
        connected(driver) as (half, writer),
    ):
        writer.write(b"GET /orders HTTP/1.1\r\n")
        await served_once(driver)
        await asyncio.wait_for(driver.close(60), 5)
        assert await idle.read() == b""
        assert await half.read() == b""


async def served_once(driver: Driver) -> None:
    """A round trip: what was sent before it on other connections has arrived."""
    async with connected(driver) as (reader, writer):
        writer.write(GET)
        await head(reader)


async def test_closing_breaks_the_connection_of_a_client_that_does_not_read() -> None:
    """An answer that nobody takes holds nothing up for ever."""

    async def big() -> str:
        return "x" * 50_000_000

    async with (
        serving(endpoint("GET", "/big", big)) as driver,
        connected(driver) as (reader, writer),
    ):
        writer.write(b"GET /big HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await head(reader)
        await asyncio.wait_for(driver.close(0.01), 10)


async def test_a_client_that_leaves_in_the_middle_of_a_body_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The operation never starts, nothing is logged, the next request is served."""

    async def take(order: Order) -> None:
        pytest.fail("the operation ran")

    routes = [endpoint("POST", "/orders", take), endpoint("GET", "/orders", orders)]
    async with (
        serving(*routes) as driver,
        connected(driver) as (reader, writer),
    ):
        writer.write(_post(b'{"id"', length=100, expect=b"expect: 100-continue\r\n"))
        assert await head(reader) == b"HTTP/1.1 100 Continue\r\n\r\n"
        await served_once(driver)
    assert caplog.records == []


def _post(content: bytes, length: int, expect: bytes = b"") -> bytes:
    start = b"POST /orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return start + expect + b"content-length: %d\r\n\r\n" % length + content


async def test_a_body_without_end_is_cut_off() -> None:
    """Chunks come in until the limit, then the connection is closed."""

    async def take(order: Order) -> None:
        pytest.fail("the operation ran")

    async with (
        serving(endpoint("POST", "/orders", take)) as driver,
        connected(driver) as (_reader, writer),
    ):
        writer.write(
            b"POST /orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        sent = 0
        chunk = b"10000\r\n" + b"[" * 65536 + b"\r\n"
        try:
            while sent < 1 << 30:
                writer.write(chunk)
                await writer.drain()
                sent += 65536
        except ConnectionError:
            pass
    assert sent < 64 << 20


async def test_an_announced_body_that_is_too_long_is_refused_unread() -> None:
    """The client is told before it has sent it."""

    async def take(order: Order) -> None:
        pytest.fail("the operation ran")

    async with (
        serving(endpoint("POST", "/orders", take)) as driver,
        connected(driver) as (reader, writer),
    ):
        writer.write(_post(b"{", length=1 << 40))
        received = await head(reader)
        assert received.startswith(b"HTTP/1.1 413 ")
        assert b"\r\nconnection: close\r\n" in received


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\xff\x1b]0;title\x07\r\n\r\n",
        b"GET /\x1b[31m HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx: \x1b]0;t\x00\r\n\r\n",
        b"GET / HTTP/9.9\r\nhost: localhost\r\n\r\n",
        (
            b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        ),
        b"GET /\xc3\xa9 HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ],
)
async def test_bytes_that_are_not_http_are_refused_and_not_repeated(
    raw: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """400, and the connection is closed; the one record says so, and nothing of the bytes."""
    async with serving() as driver, connected(driver) as (reader, writer):
        writer.write(raw)
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    assert caplog.messages == ["http: malformed: 127.0.0.1 was answered 400"]
    assert capfd.readouterr() == ("", "")


async def test_a_request_to_upgrade_is_served_as_it_stands(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing is upgraded, and nothing is logged for a stranger's asking."""
    upgrade = b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"
    async with serving() as driver, connected(driver) as (reader, writer):
        writer.write(GET.removesuffix(b"\r\n") + upgrade)
        assert (await head(reader)).startswith(b"HTTP/1.1 200 ")
    assert caplog.records == []


async def test_a_cancelled_request_leaves_no_trace_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """To stop is no error."""
    entered = asyncio.Event()

    async def hang() -> None:
        entered.set()
        await asyncio.Event().wait()

    async with (
        serving(endpoint("GET", "/hang", hang)) as driver,
        connected(driver) as (reader, writer),
    ):
        writer.write(b"GET /hang HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await entered.wait()
        await driver.close(0.01)
        assert (await head(reader)).startswith(b"HTTP/1.1 503 ")
    assert caplog.records == []


async def test_a_request_that_cannot_be_cancelled_is_left_behind() -> None:
    """Closing keeps its deadline, whatever a feature does."""
    entered, released = asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        entered.set()
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    async with (
        serving(endpoint("GET", "/stubborn", stubborn)) as driver,
        connected(driver) as (_, writer),
    ):
        writer.write(b"GET /stubborn HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await entered.wait()
        await asyncio.wait_for(driver.close(0.01), 10)
        released.set()


async def test_the_environment_configures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What uvicorn's own command line would read from it is not read."""
    monkeypatch.setenv("WEB_CONCURRENCY", "many")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    async with serving() as driver:
        await served_once(driver)

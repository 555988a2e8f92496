"""Streams and WebSockets over a port: what a peer with a socket of its own sees."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec import convert, json
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from ringfence.errors import Conflict
from ringfence.kernel.ports import Endpoint
from ringfence.tools.http.conformance import environment
from ringfence.tools.http.doubles import endpoint
from ringfence.tools.http.drivers.uvicorn import Config, Driver
from ringfence.tools.http.live.sockets import WebSocket, WebSocketClosed
from ringfence.tools.http.live.streams import EventStream, Stream
from ringfence.tools.http.problem import Problem

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def serving(*endpoints: Endpoint, **config: int) -> AsyncIterator[Driver]:
    driver = Driver(convert({"port": 0, **config}, Config), environment())
    try:
        await driver.start()
        driver.bind(endpoints, ())
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


class Peer:
    """The other end of a WebSocket, frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._connection = WSConnection(ConnectionType.CLIENT)
        self._events: AsyncIterator[Event] = self._read()

    def send(self, event: Event) -> None:
        self.writer.write(self._connection.send(event))

    async def next(self) -> Event:
        return await anext(self._events)

    async def _read(self) -> AsyncIterator[Event]:
        while data := await self.reader.read(1 << 16):
            self._connection.receive_data(data)
            for event in self._connection.events():
                yield event


@asynccontextmanager
async def talking(driver: Driver, path: str = "/talk") -> AsyncIterator[Peer]:
    async with connected(driver) as (reader, writer):
        peer = Peer(reader, writer)
        peer.send(Request(host="127.0.0.1", target=path))
        assert isinstance(await peer.next(), AcceptConnection)
        yield peer


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for message in socket:
        await socket.send(message)


TALK = endpoint("WEBSOCKET", "/talk", echo)


async def test_text_and_bytes_go_both_ways() -> None:
    """Each as what it is."""
    async with serving(TALK) as driver, talking(driver) as peer:
        peer.send(TextMessage(data="é"))
        assert await peer.next() == TextMessage(data="é")
        peer.send(BytesMessage(data=b"\xff"))
        assert await peer.next() == BytesMessage(data=b"\xff")


async def test_a_message_in_fragments_is_one_message() -> None:
    """With a ping in between, which is answered at once."""
    async with serving(TALK) as driver, talking(driver) as peer:
        peer.send(TextMessage(data="a", message_finished=False))
        peer.send(Ping(payload=b"there?"))
        peer.send(TextMessage(data="b"))
        assert await peer.next() == Pong(payload=b"there?")
        assert await peer.next() == TextMessage(data="ab")


@pytest.mark.parametrize("fragments", [1, 4])
async def test_a_message_that_is_too_long_is_refused(fragments: int) -> None:
    """With 1009, however it is cut up."""
    async with serving(TALK, max_message_bytes=100) as driver, talking(driver) as peer:
        for n in range(fragments):
            peer.send(BytesMessage(data=b"x" * 101, message_finished=n == fragments - 1))
        closed = await peer.next()
        assert isinstance(closed, CloseConnection)
        assert closed.code == 1009


async def test_a_peer_that_closes_is_answered() -> None:
    """With its own code."""
    seen: list[int | None] = []
    done = asyncio.Event()

    async def handler(socket: WebSocket) -> None:
        await echo(socket)
        seen.append(socket.closed)
        done.set()

    async with (
        serving(endpoint("WEBSOCKET", "/talk", handler)) as driver,
        talking(driver) as peer,
    ):
        peer.send(CloseConnection(code=4001, reason="enough"))
        closed = await peer.next()
        assert isinstance(closed, CloseConnection)
        assert closed.code == 4001
        await done.wait()
    assert seen == [4001]


@pytest.mark.parametrize("sends", [True, False])
async def test_a_peer_that_is_lost_ends_the_handler(sends: bool) -> None:
    """Whether it waits for a message or for something to send."""
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        try:
            await (asyncio.Event().wait() if sends else socket.receive())
        except BaseException as error:
            ended.set_result(type(error).__name__)
            raise

    async with serving(endpoint("WEBSOCKET", "/talk", handler)) as driver:
        async with talking(driver) as peer:
            peer.writer.transport.abort()
        assert await ended == ("CancelledError" if sends else "WebSocketClosed")


async def test_a_slow_peer_holds_its_sender_up_and_loses_nothing() -> None:
    """What it has not read stays unsent, not in memory."""
    total, size = 1000, 1 << 16
    sent: list[int] = []

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        for n in range(total):
            await socket.send(b"%08d" % n + b"x" * size)
            sent.append(n)

    async with (
        serving(endpoint("WEBSOCKET", "/talk", handler)) as driver,
        talking(driver) as peer,
    ):
        received = 0
        pieces = b""
        while not isinstance(event := await peer.next(), CloseConnection):
            assert isinstance(event, BytesMessage)
            pieces += event.data
            if event.message_finished:
                assert int(pieces[:8]) == received
                assert len(sent) <= received + total // 2
                received, pieces = received + 1, b""
    assert received == total
    assert event.code == 1000


async def test_a_refused_handshake_is_answered_with_a_problem() -> None:
    """A client that cannot speak WebSocket can read it."""

    async def handler(socket: WebSocket) -> None:
        raise Conflict("full")

    async with (
        serving(endpoint("WEBSOCKET", "/talk", handler)) as driver,
        connected(driver) as (reader, writer),
    ):
        peer = Peer(reader, writer)
        peer.send(Request(host="127.0.0.1", target="/talk"))
        rejected, body = await peer.next(), b""
        while isinstance(event := await peer.next(), RejectData):
            body += event.data
            if event.body_finished:
                break
    assert isinstance(rejected, RejectConnection)
    assert rejected.status_code == 409
    assert json.decode(body, type=Problem).code == "conflict"


async def test_a_page_of_another_site_is_refused() -> None:
    """Before the handler runs."""
    async with serving(TALK) as driver, connected(driver) as (reader, writer):
        peer = Peer(reader, writer)
        origin = [(b"origin", b"https://evil.example.com")]
        peer.send(Request(host="127.0.0.1", target="/talk", extra_headers=origin))
        rejected = await peer.next()
        assert isinstance(rejected, RejectConnection)
        assert rejected.status_code == 403


async def test_a_driver_that_closes_says_that_it_will_be_back() -> None:
    """1012: clients connect again."""
    async with serving(TALK) as driver, talking(driver) as peer:
        peer.send(TextMessage(data="a"))
        assert await peer.next() == TextMessage(data="a")
        closing = asyncio.create_task(driver.close(5))
        closed = await peer.next()
        assert isinstance(closed, CloseConnection)
        assert closed.code == 1012
        peer.send(closed.response())
        await closing


async def head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def request(writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET /feed HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")


async def test_an_answer_comes_in_chunks_and_has_an_end() -> None:
    """Another request may follow."""

    async def feed() -> Stream:
        return Stream(["a", "bc"], "text/csv")

    async with (
        serving(endpoint("GET", "/feed", feed)) as driver,
        connected(driver) as (reader, writer),
    ):
        for _ in range(2):
            await request(writer)
            assert b"transfer-encoding: chunked" in await head(reader)
            assert await reader.readexactly(18) == b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"


async def test_an_answer_that_breaks_has_no_end() -> None:
    """The connection is cut: no client takes it for a whole one."""

    async def pieces() -> AsyncIterator[str]:
        yield "a"
        raise Conflict("of the source")

    async def feed() -> Stream:
        return Stream(pieces())

    async with (
        serving(endpoint("GET", "/feed", feed)) as driver,
        connected(driver) as (reader, writer),
    ):
        await request(writer)
        await head(reader)
        try:
            rest = await reader.read()
        except ConnectionResetError:
            rest = b""
        assert not rest.endswith(b"0\r\n\r\n")


async def test_a_client_that_is_lost_ends_the_feed() -> None:
    """While it waits for an event."""
    closed = asyncio.Event()

    async def events() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def feed() -> EventStream[str]:
        return EventStream(events())

    async with serving(endpoint("GET", "/feed", feed)) as driver:
        async with connected(driver) as (reader, writer):
            await request(writer)
            await reader.readuntil(b"data: a\n\n")
            writer.transport.abort()
        await closed.wait()


async def test_a_driver_that_closes_ends_its_feeds_whole() -> None:
    """Without waiting for its grace to be over."""

    async def events() -> AsyncIterator[str]:
        yield "a"
        await asyncio.Event().wait()

    async def feed() -> EventStream[str]:
        return EventStream(events())

    async with (
        serving(endpoint("GET", "/feed", feed)) as driver,
        connected(driver) as (reader, writer),
    ):
        await request(writer)
        await reader.readuntil(b"data: a\n\n\r\n")
        await driver.close(1000)
        assert await reader.read() == b"0\r\n\r\n"


async def test_a_slow_client_holds_a_stream_up() -> None:
    """However long the answer is, it is never in memory."""
    total = 1000
    made: list[int] = []

    async def pieces() -> AsyncIterator[bytes]:
        for n in range(total):
            made.append(n)
            yield b"x" * (1 << 16)

    async def feed() -> Stream:
        return Stream(pieces())

    async with (
        serving(endpoint("GET", "/feed", feed)) as driver,
        connected(driver) as (reader, writer),
    ):
        await request(writer)
        await head(reader)
        received = 0
        while (line := await reader.readline()) != b"0\r\n":
            await reader.readexactly(int(line, 16) + 2)
            received += 1
            assert len(made) <= received + total // 2
    assert received == total


def test_a_closed_socket_says_so() -> None:
    """In the words of RFC 6455."""
    assert str(WebSocketClosed(1006)) == "the connection is closed: 1006"


async def test_a_message_in_hand_is_answered_though_the_application_stops() -> None:
    """The connection is closed after that, not before."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        async for message in socket:
            begun.set()
            await go_on.wait()
            await socket.send(message)

    async with serving(endpoint("WEBSOCKET", "/talk", talk)) as driver, talking(driver) as peer:
        peer.send(TextMessage(data="é"))
        await begun.wait()
        closing = asyncio.create_task(driver.close(60))
        await asyncio.sleep(0)
        go_on.set()
        assert await peer.next() == TextMessage(data="é")
        closed = await peer.next()
        assert isinstance(closed, CloseConnection)
        assert closed.code == 1012
        await asyncio.wait_for(closing, 5)

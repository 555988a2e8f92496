"""WebSockets, as their handlers and their peers see them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import pytest
from msgspec import Meta, Struct

from ringfence.errors import Conflict, DeadlineExceeded, Invalid, Overloaded, RingfenceError
from ringfence.testing.http import ClientSocket, HandshakeRefused
from ringfence.tools.http.live.conversation import same_origin
from ringfence.tools.http.live.leaving import ClientGone, Stopping
from ringfence.tools.http.live.sockets import WebSocket, WebSocketClosed
from ringfence.tools.http.problem import Problem
from ringfence.tools.http.wire import Scope
from tests.tools.http.sites import Talking

pytestmark = pytest.mark.anyio


class Order(Struct):
    sku: str
    quantity: Annotated[int, Meta(gt=0)]


class SoldOut(Conflict, code="orders.sold_out"):
    """Nothing is left."""


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for message in socket:
        await socket.send(message)


async def closing_of(socket: ClientSocket) -> tuple[int, str]:
    with pytest.raises(WebSocketClosed) as closed:
        await socket.receive()
    return closed.value.close_code, closed.value.reason


async def test_messages_go_both_ways_as_text_and_as_bytes() -> None:
    """In the order in which they were sent."""
    site = Talking(echo)
    async with site.client.websocket("/") as socket:
        for message in ("a", b"\xff", "é", b""):
            await socket.send(message)
        assert [await socket.receive() for _ in range(4)] == ["a", b"\xff", "é", b""]
    assert site.ended is None


async def test_a_peer_that_closes_ends_the_iteration_quietly() -> None:
    """The handler goes on, and is told nothing but the code."""
    seen: list[int | None] = []

    async def handler(socket: WebSocket) -> None:
        await echo(socket)
        seen.append(socket.closed)

    site = Talking(handler)
    async with site.client.websocket("/") as socket:
        await socket.close(4001, "enough")
    assert seen == [4001]


@pytest.mark.parametrize("use", [WebSocket.receive, lambda socket: socket.send("x")])
async def test_a_peer_that_has_gone_is_no_failure_of_the_handler(
    use: Callable[[WebSocket], Awaitable[object]],
) -> None:
    """Where the handler does not care, nobody does."""
    told: list[WebSocketClosed] = []

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        await asyncio.sleep(0)
        try:
            while True:
                await use(socket)
        except WebSocketClosed as closed:
            told.append(closed)
            raise

    site = Talking(handler)
    async with site.client.websocket("/") as socket:
        await socket.abort()
    assert site.ended is None
    assert told[0].close_code == 1006


async def test_a_peer_that_has_gone_is_no_failure_in_a_group_of_tasks_either() -> None:
    """One task reads and one writes: the end reaches both."""

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        async with asyncio.TaskGroup() as group:
            group.create_task(socket.receive())
            group.create_task(asyncio.Event().wait())

    site = Talking(handler)
    async with site.client.websocket("/") as socket:
        await site.clock.settle()
        await socket.close()
    assert site.ended is None


async def test_json_is_read_into_a_type_and_written_from_any_value() -> None:
    """One handler is a typed conversation."""

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        async for order in socket.messages(Order):
            await socket.send(Order(order.sku, order.quantity * 2))

    async with Talking(handler).client.websocket("/") as socket:
        await socket.send(Order("tea", 1))
        assert await socket.receive(Order) == Order("tea", 2)
        await socket.send(b'{"sku": "tea", "quantity": 2}')
        assert await socket.receive(Order) == Order("tea", 4)


@pytest.mark.parametrize(
    "message, paths",
    [
        ('{"sku": 1, "quantity": 0}', ["$.sku", "$.quantity"]),
        ("[", ["$"]),
        (b"\xff", ["$"]),
        ("[" * 100_000, ["$"]),
    ],
)
async def test_a_message_that_does_not_fit_leaves_the_connection_open(
    message: str | bytes, paths: list[str]
) -> None:
    """The handler is told every fault, and may tell its peer."""

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        while True:
            try:
                await socket.send(await socket.receive(Order))
            except Invalid as error:
                await socket.send([fault.path for fault in error.faults])

    async with Talking(handler).client.websocket("/") as socket:
        await socket.send(message)
        assert await socket.receive(list[str]) == paths
        await socket.send(Order("tea", 1))
        assert await socket.receive(Order) == Order("tea", 1)


async def test_a_message_is_read_into_a_model_of_pydantic() -> None:
    """Its faults come in the same shape."""
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Asked", sku=(str, ...), quantity=(int, ...))

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        asked = await socket.receive(model)
        await socket.send([type(asked) is model, asked.quantity])
        with pytest.raises(Invalid) as error:
            await socket.receive(model)
        await socket.send([fault.path for fault in error.value.faults])

    async with Talking(handler).client.websocket("/") as socket:
        await socket.send('{"sku": "tea", "quantity": 2}')
        assert await socket.receive(list[object]) == [True, 2]
        await socket.send('{"sku": 1, "quantity": "x"}')
        assert await socket.receive(list[str]) == ["$.sku", "$.quantity"]


async def test_one_that_does_not_fit_and_is_not_caught_closes_it() -> None:
    """As any expected error: with its code."""

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        await socket.receive(Order)

    async with Talking(handler).client.websocket("/") as socket:
        await socket.send("{}")
        assert await closing_of(socket) == (1008, "invalid")


@pytest.mark.parametrize(
    "error, told",
    [
        (SoldOut("no tea"), (1008, "orders.sold_out")),
        (RuntimeError("of the handler"), (1011, "internal")),
        (DeadlineExceeded("too late"), (1011, "deadline_exceeded")),
        (RingfenceError("a bug"), (1011, "internal")),
        (Overloaded("too many", retry_after_s=1), (1013, "overloaded")),
        (Stopping(), (1012, "the application stops")),
        (None, (1000, "")),
    ],
)
async def test_the_close_code_says_how_the_handler_ended(
    error: Exception | None, told: tuple[int, str]
) -> None:
    """What went wrong inside is told by its code alone."""

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        if error is not None:
            raise error

    site = Talking(handler)
    async with site.client.websocket("/") as socket:
        assert await closing_of(socket) == told
    assert site.ended is error


async def test_a_long_reason_is_cut_where_a_letter_ends() -> None:
    """A close frame has room for 123 bytes."""

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close(4000, "é" * 100)

    async with Talking(handler).client.websocket("/") as socket:
        assert await closing_of(socket) == (4000, "é" * 61)


async def test_closing_twice_is_closing_once() -> None:
    """What is used afterwards says so."""

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close(4000)
        await socket.close(4001)
        assert socket.closed == 4000
        with pytest.raises(WebSocketClosed):
            await socket.send("x")
        with pytest.raises(WebSocketClosed):
            await socket.receive()

    site = Talking(handler)
    async with site.client.websocket("/") as socket:
        assert await closing_of(socket) == (4000, "")
    assert site.ended is None


async def test_an_error_before_accept_answers_the_handshake() -> None:
    """With the problem that any request would be answered with."""

    async def handler(socket: WebSocket) -> None:
        raise SoldOut("no tea")

    site = Talking(handler)
    with pytest.raises(HandshakeRefused) as refused:
        async with site.client.websocket("/"):
            pass
    response = refused.value.response
    assert response.status == 409
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json(Problem).code == "orders.sold_out"


async def test_a_handler_that_returns_without_accepting_refuses() -> None:
    """So does one that closes."""

    async def returns(socket: WebSocket) -> None:
        pass

    with pytest.raises(HandshakeRefused) as refused:
        async with Talking(returns).client.websocket("/"):
            pass
    assert refused.value.response.json(Problem).code == "not_accepted"
    with pytest.raises(HandshakeRefused) as refused:
        async with Talking(WebSocket.close).client.websocket("/"):
            pass
    assert refused.value.response.status == 403


async def test_a_subprotocol_and_headers_are_agreed_on() -> None:
    """The client offers, the handler chooses."""

    async def handler(socket: WebSocket) -> None:
        assert socket.subprotocols == ("v2", "v1")
        await socket.accept("v1", {"X-Shard": "7"})

    async with Talking(handler).client.websocket("/", subprotocols=["v2", "v1"]) as socket:
        assert socket.subprotocol == "v1"
        assert socket.headers == {"x-shard": "7"}


async def test_a_message_that_is_too_long_closes_the_connection() -> None:
    """It is counted in bytes, and never given to the handler."""
    site = Talking(echo, max_message_bytes=4)
    async with site.client.websocket("/") as socket:
        await socket.send("éé")
        assert await socket.receive() == "éé"
        await socket.send("ééa")
        assert await closing_of(socket) == (1009, "the message is longer than 4 bytes")
    assert site.ended is None


async def test_a_message_is_a_turn_until_it_is_answered() -> None:
    """Waiting is none; what is done after an answer has no deadline."""
    site = Talking(echo)
    async with site.client.websocket("/") as socket:
        await socket.send("a")
        await socket.receive()
    handshake, answered, waiting = True, False, None
    assert site.turns == [handshake, answered, waiting, True, answered, waiting, True]


async def test_a_handler_that_only_sends_ends_when_its_peer_goes_away() -> None:
    """Also while it has nothing to send."""
    ended: list[bool] = []

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        try:
            await socket.send("a")
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    site = Talking(handler)
    async with site.client.websocket("/") as socket:
        assert await socket.receive() == "a"
    assert ended == [True]
    assert isinstance(site.ended, ClientGone)


async def test_a_message_in_hand_is_finished_though_its_peer_has_gone() -> None:
    """Whoever places an order and leaves has placed it."""
    release, done = asyncio.Event(), asyncio.Event()

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        async for _ in socket:
            await release.wait()
            done.set()

    site = Talking(handler)
    async with site.client.websocket("/") as socket:
        await socket.send("order")
        await site.clock.settle()
        await socket.abort()
        await site.clock.settle()
        release.set()
    assert done.is_set()
    assert site.ended is None


async def test_a_handler_that_has_answered_learns_at_its_next_message_that_its_peer_has_gone() -> (
    None
):
    """It is not cut off in what it does meanwhile, and goes on after its loop."""
    release = asyncio.Event()
    steps: list[str] = []

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        async for _ in socket:
            await socket.send("answer")
            await release.wait()
            steps.append("kept")
        steps.append("tidied")

    site = Talking(handler)
    async with site.client.websocket("/") as socket:
        await socket.send("order")
        assert await socket.receive() == "answer"
        await socket.abort()
        await site.clock.settle()
        release.set()
    assert steps == ["kept", "tidied"]
    assert site.ended is None


async def test_what_comes_while_a_handler_sends_is_kept_for_it() -> None:
    """One message, and in its order."""

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        for _ in range(3):
            await asyncio.sleep(0)
            await socket.send("tick")
        async for message in socket:
            await socket.send(message)

    async with Talking(handler).client.websocket("/") as socket:
        for n in range(5):
            await socket.send(f"{n}")
        received = [await socket.receive() for _ in range(8)]
    assert received == ["tick", "tick", "tick", "0", "1", "2", "3", "4"]


async def test_a_receive_that_is_given_up_loses_nothing() -> None:
    """Neither while a message is read ahead nor when it is not."""

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for _ in range(2):
            waiting = asyncio.create_task(socket.receive())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting})
            await socket.send("now")
            await socket.send(await socket.receive())

    async with Talking(handler).client.websocket("/") as socket:
        for message in ("a", "b"):
            assert await socket.receive() == "now"
            await socket.send(message)
            assert await socket.receive() == message


async def test_several_tasks_may_send_at_once() -> None:
    """No message is torn, lost or sent twice, however slow the peer is."""

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        async with asyncio.TaskGroup() as group:
            for n in range(50):
                group.create_task(socket.send(n))

    async with Talking(handler).client.websocket("/") as socket:
        assert sorted([await socket.receive(int) for _ in range(50)]) == list(range(50))


async def test_another_connections_task_can_send() -> None:
    """A broadcast does not end the message that the receiving connection works on."""
    room: list[WebSocket] = []

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        room.append(socket)
        async for message in socket:
            for member in room:
                await member.send(message)

    site = Talking(handler)
    async with site.client.websocket("/") as first, site.client.websocket("/") as second:
        await site.clock.settle()
        before = len(site.turns)
        await second.send("hello")
        assert (await first.receive(), await second.receive()) == ("hello", "hello")
        await site.clock.settle()
        assert site.turns[before:] == [True, False, None]


async def test_a_slow_peer_holds_its_sender_up() -> None:
    """What it has not read is not collected."""
    sent: list[int] = []

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        for n in range(100):
            await socket.send(n)
            sent.append(n)

    site = Talking(handler)
    async with site.client.websocket("/") as socket:
        await socket.receive()
        await site.clock.settle()
        assert len(sent) <= 3


async def test_messages_are_read_when_they_are_asked_for() -> None:
    """Those that nobody has asked for stay with the peer."""

    sent: list[int] = []

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        await asyncio.Event().wait()

    async def flood(socket: ClientSocket) -> None:
        for n in range(1000):
            await socket.send("x")
            sent.append(n)

    site = Talking(handler)
    async with site.client.websocket("/") as socket:
        flooding = asyncio.create_task(flood(socket))
        await site.clock.settle()
        flooding.cancel()
        site.stop()
    assert 0 < len(sent) < 100


async def test_an_application_that_stops_closes_what_waits() -> None:
    """With the code by which clients know that they may connect again."""
    site = Talking(echo)
    async with site.client.websocket("/") as socket:
        await site.clock.settle()
        site.stop()
        assert await closing_of(socket) == (1012, "the application stops")
    assert isinstance(site.ended, Stopping)
    assert site.hang_ups == set()


async def test_a_message_in_hand_is_answered_before_the_stop() -> None:
    """Only then the connection is closed."""
    release = asyncio.Event()

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        async for message in socket:
            await release.wait()
            await socket.send(message)

    site = Talking(handler)
    async with site.client.websocket("/") as socket:
        await socket.send("a")
        await site.clock.settle()
        site.stop()
        release.set()
        assert await socket.receive() == "a"
        assert await closing_of(socket) == (1012, "the application stops")


async def test_what_cannot_be_done_yet_says_what_comes_first() -> None:
    """Or why it is done once."""

    async def handler(socket: WebSocket) -> None:
        with pytest.raises(RingfenceError, match="not accepted yet"):
            await socket.send("x")
        with pytest.raises(RingfenceError, match="not accepted yet"):
            await socket.receive()
        await socket.accept()
        with pytest.raises(RingfenceError, match="accepted already"):
            await socket.accept()
        waiting = asyncio.create_task(socket.receive())
        await asyncio.sleep(0)
        with pytest.raises(RingfenceError, match="two tasks receive at once"):
            await socket.receive()
        assert await waiting == "a"

    site = Talking(handler)
    async with site.client.websocket("/") as socket:
        await site.clock.settle()
        await socket.send("a")
        assert await closing_of(socket) == (1000, "")
    assert site.ended is None


def handshake(scheme: str = "http", **headers: str) -> Scope:
    return {
        "type": "websocket",
        "method": "GET",
        "scheme": scheme,
        "path": "/",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }


@pytest.mark.parametrize(
    "host, origin",
    [
        ("shop.example.com", "https://shop.example.com"),
        ("shop.example.com", "https://SHOP.example.com:443"),
        ("shop.example.com:443", "https://shop.example.com"),
        ("shop.example.com", "http://shop.example.com:80"),
        ("localhost:8000", "http://localhost:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("shop.example.com", "https://friend.example.com"),
    ],
)
def test_a_page_of_this_site_or_of_a_friend_may_connect(host: str, origin: str) -> None:
    """The port that goes without saying may be said."""
    allowed = ("https://friend.example.com",)
    assert same_origin(handshake(host=host, origin=origin), allowed)


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.com",
        "https://shop.example.com.evil.com",
        "https://shop.example.com:8443",
        "http://shop.example.com:443",
        "https://shop.example.com@evil.com",
        "null",
        "",
        "https://[",
    ],
)
def test_any_other_page_may_not(origin: str) -> None:
    """A browser would send it this site's cookies."""
    assert not same_origin(handshake(host="shop.example.com", origin=origin), ())
    assert same_origin(handshake(host="shop.example.com", origin=origin), ("*",))


def test_any_page_may_connect_only_as_nobody() -> None:
    """With this site's cookies, it would act as whoever is signed in."""
    known = {"host": "shop.example.com", "cookie": "sid=1"}
    assert not same_origin(handshake(**known, origin="https://evil.example.com"), ("*",))
    assert same_origin(handshake(**known, origin="https://shop.example.com"), ("*",))


def test_who_is_no_page_may_connect() -> None:
    """Only browsers say where they come from."""
    assert same_origin(handshake(host="shop.example.com"), ())


@pytest.mark.parametrize(
    "refused",
    [
        lambda socket: socket.accept(subprotocol="chat"),
        lambda socket: socket.accept(headers={"x-a": "1\r\nset-cookie: b"}),
    ],
)
async def test_an_accept_that_no_peer_could_read_is_a_bug_that_is_answered(
    refused: Callable[[WebSocket], Awaitable[None]],
) -> None:
    """A subprotocol that nobody offered, or a header that is two: nothing of it is sent."""
    site = Talking(refused)
    with pytest.raises(HandshakeRefused) as answered:
        async with site.client.websocket("/"):
            pass
    assert answered.value.response.status == 500


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 99999])
async def test_a_close_code_that_cannot_be_sent_is_a_bug_that_the_peer_is_told(code: int) -> None:
    """It sees a close code all the same: that of a handler that has failed."""

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close(code)

    site = Talking(handler)
    async with site.client.websocket("/") as socket:
        assert await closing_of(socket) == (1011, "internal")
    assert isinstance(site.ended, ValueError)

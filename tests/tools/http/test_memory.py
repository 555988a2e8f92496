"""The driver without a port heeds what a driver with one does of a request's head."""

import asyncio
from collections.abc import Iterable

import pytest

from ringfence.kernel.ports import Endpoint, Inbound, Principal
from ringfence.tools.http.conformance import environment
from ringfence.tools.http.contract import Route
from ringfence.tools.http.doubles import Operation, Served, endpoint
from ringfence.tools.http.drivers.memory import Config, Driver
from ringfence.tools.http.wire import Message, Scope

pytestmark = pytest.mark.anyio
LINK = "1" * 32 + "-" + "2" * 16


async def hello() -> str:
    return "hello"


def _scope(headers: Iterable[tuple[bytes, bytes]]) -> Scope:
    return {
        "type": "http",
        "method": "GET",
        "path": "/hello",
        "raw_path": b"/hello",
        "query_string": b"",
        "headers": list(headers),
    }


class Recording(Served):
    """An endpoint that remembers what it was told of the trace outside."""

    def __init__(self, route: Route, function: Operation) -> None:
        super().__init__(route, function)
        self.inbound: list[Inbound | None] = []

    async def open(
        self,
        args: tuple[object, ...],
        principal: Principal | None = None,
        tenant: str | None = None,
        inbound: Inbound | None = None,
    ) -> object:
        self.inbound.append(inbound)
        return await super().open(args, principal, tenant, inbound)


async def _status(driver: Driver, scope: Scope, served: Endpoint | None = None) -> int:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    driver.bind([served or endpoint("GET", "/hello", hello)], ())
    await driver.start()
    await driver.open()
    await driver(scope, receive, send)
    await driver.stop()
    return sent[0].get("status", 0)


@pytest.mark.parametrize(
    "host, status", [(b"shop.example", 200), (b"evil.example", 421), (b"a b", 400)]
)
async def test_hosts_are_served_as_configured(host: bytes, status: int) -> None:
    """And all of them where nothing is."""
    configured = Driver(Config(allowed_hosts=("shop.example",)), environment())
    assert await _status(configured, _scope([(b"host", host)])) == status
    assert await _status(Driver(Config(), environment()), _scope([(b"host", host)])) == 200


async def test_a_trace_from_outside_is_linked() -> None:
    """As a stranger's: it does not go on."""
    route = Recording(Route("GET", "/hello"), hello)
    headers = [(b"traceparent", b"00-" + LINK.encode() + b"-01")]
    assert await _status(Driver(Config(), environment()), _scope(headers), route) == 200
    assert route.inbound == [Inbound(link=LINK)]


async def test_a_request_that_is_cancelled_ends_as_cancelled() -> None:
    """Whoever set a deadline for it must see that it has passed, and the handler is stopped."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    driver = Driver(Config(), environment())
    serving = asyncio.create_task(_status(driver, _scope([]), endpoint("GET", "/hello", wait)))
    await begun.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert ended.is_set()
    await driver.stop()

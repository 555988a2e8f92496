"""How the tests make a link of each driver."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from ringfence.kernel.ports import Clock, Grant, Health, ToolEnv
from ringfence.tools.fetch import Fetch
from ringfence.tools.fetch.doubles import Reply, Respond, served
from ringfence.tools.fetch.drivers import http, memory
from ringfence.tools.fetch.drivers._pool import Resolve, resolved
from ringfence.tools.fetch.options import Config

GRANT = Grant("orders.place_order", "orders", "payments")
NOBODY = "http://127.0.0.1:1/base/"  # tcpmux: nothing has listened there for decades


def env(clock: Clock) -> ToolEnv:
    return ToolEnv("shop", "payments", Path(), Path(), clock, {}, lambda: Health("ready"))


@asynccontextmanager
async def over_http(
    respond: Respond | None, clock: Clock, configured: Callable[[str], Config]
) -> AsyncIterator[Fetch]:
    """A link of the driver `http` to a server on loopback."""
    if respond is None:
        async with started(configured(NOBODY), clock) as driver:
            yield driver.handle(GRANT)
        return
    async with served(respond) as base_url, started(configured(base_url), clock) as driver:
        yield driver.handle(GRANT)


@asynccontextmanager
async def started(
    config: Config, clock: Clock, resolve: Resolve = resolved
) -> AsyncIterator[http.Driver]:
    """A driver `http`, started."""
    driver = http.Driver(config, env(clock), resolve)
    await driver.start()
    try:
        yield driver
    finally:
        await driver.stop()


@asynccontextmanager
async def in_memory(
    respond: Respond | None, clock: Clock, configured: Callable[[str], Config]
) -> AsyncIterator[Fetch]:
    """A link of the driver `memory`."""
    driver = memory.Driver(configured("http://payments.test/base/"), env(clock))

    async def refuse(_: object) -> Reply:
        return Reply(broken="refused")

    driver.respond = respond or refuse
    await driver.start()
    yield driver.handle(GRANT)
    await driver.stop()

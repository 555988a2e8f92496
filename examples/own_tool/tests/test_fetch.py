"""The driver `threads` keeps the contract of fetch."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from acme_tools.fetch.threads import Config, Driver
from ringfence.errors import StartRefused
from ringfence.kernel.ports import Clock, Grant
from ringfence.settings import Seconds
from ringfence.testing import environment
from ringfence.tools.fetch import BadResponse, Fetch, LinkUnavailable, RefusedTarget
from ringfence.tools.fetch.conformance import FetchConformance, OtherSide, Subject
from ringfence.tools.fetch.doubles import Reply, Respond, StandingClock, served

pytestmark = pytest.mark.anyio
NOBODY = "http://127.0.0.1:1/base/"  # tcpmux: nothing has listened there for decades


@asynccontextmanager
async def started(config: Config, clock: Clock) -> AsyncIterator[Fetch]:
    """A link, started."""
    driver = Driver(config, environment("payments", Path(), clock=clock))
    await driver.start()
    try:
        yield driver.handle(Grant("orders.place_order", "orders", "payments"))
    finally:
        await driver.stop()


@asynccontextmanager
async def opened(
    respond: Respond | None, clock: Clock, configured: Callable[[str], Config]
) -> AsyncIterator[Fetch]:
    """A link to a server on loopback, or to nobody."""
    if respond is None:
        async with started(configured(NOBODY), clock) as link:
            yield link
        return
    async with served(respond) as base_url, started(configured(base_url), clock) as link:
        yield link


class TestThreads(FetchConformance):
    """A connection and a thread for each request."""

    @pytest.fixture
    def subject(self) -> Subject:
        return Subject(opened)


async def test_an_address_that_is_not_public_is_refused() -> None:
    """Where the name leads decides, not the name."""
    config = Config(base_url="https://example.com/", absolute=["https://localhost"])
    async with started(config, StandingClock()) as link:
        with pytest.raises(RefusedTarget, match="public"):
            await link.get("https://localhost/")


async def test_headers_have_a_limit() -> None:
    """Of many, and of a single one."""
    many = {f"x-{number}": "y" * 100 for number in range(50)}
    other = OtherSide(Reply(200, many), Reply(200, {"x": "y" * 70_000}))
    async with served(other) as base_url:
        config = Config(base_url=base_url, private=True, max_header_bytes=4096)
        async with started(config, StandingClock()) as link:
            for _ in range(2):
                with pytest.raises(BadResponse, match="4096"):
                    await link.get("it")


async def test_who_is_silent_is_given_up() -> None:
    """And its connection with it."""

    async def respond(_: object) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async with served(respond) as base_url:
        config = Config(base_url=base_url, private=True, read_timeout=Seconds(0.05), connections=1)
        async with started(config, StandingClock()) as link:
            with pytest.raises(LinkUnavailable, match=r"0\.05 s; 3 attempts"):
                await link.get("it")


async def test_certificates_that_cannot_be_read_refuse_the_start(tmp_path: Path) -> None:
    """It names the key."""
    config = Config(base_url="https://example.com/", ca_file=tmp_path / "nowhere.pem")
    with pytest.raises(StartRefused, match="ca_file"):
        async with started(config, StandingClock()):
            pass

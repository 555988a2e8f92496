"""How often, after how long, and with how many others a request is tried again."""

import math

import pytest

from ringfence.tools.fetch import LinkUnavailable
from ringfence.tools.fetch.conformance import OtherSide
from ringfence.tools.fetch.doubles import Reply, StandingClock
from ringfence.tools.fetch.drivers import memory
from ringfence.tools.fetch.options import Config
from ringfence.tools.fetch.retries import LONGEST_ASKED_S, Retries

from .support import GRANT, env


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


def test_pauses_double_up_to_a_limit(clock: StandingClock) -> None:
    """At the far end of the jitter: a tenth of a second, two, four, … five seconds."""
    retries = Retries(10, clock, jitter=lambda: 1.0)
    pauses = [retries.pause(tried, None, math.inf) for tried in range(1, 9)]
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


def test_a_pause_is_anywhere_between_nothing_and_its_limit(clock: StandingClock) -> None:
    """So that those that failed together do not come back together."""
    pauses = [Retries(1, clock).pause(1, None, math.inf) for _ in range(200)]
    kept = [pause for pause in pauses if pause is not None]
    assert len(kept) == 200
    assert min(kept) < 0.02
    assert 0.08 < max(kept) <= 0.1


def test_what_the_other_side_asks_for_is_waited_within_bounds(clock: StandingClock) -> None:
    """Its Retry-After is the least; one that is too long is for the caller to decide."""
    retries = Retries(3, clock)
    assert retries.pause(1, 7.0, math.inf) == 7.0
    assert retries.pause(1, LONGEST_ASKED_S + 1, math.inf) is None
    assert retries.pause(1, 7.0, clock.monotonic() + 7.0) is None


def test_as_many_as_are_configured_and_no_more(clock: StandingClock) -> None:
    """`retries = 2` is three attempts; 0 is one."""
    retries = Retries(2, clock)
    assert [retries.pause(n, None, math.inf) is not None for n in (1, 2, 3)] == [True, True, False]
    assert Retries(0, clock).pause(1, None, math.inf) is None


@pytest.mark.anyio
async def test_an_outage_is_made_worse_by_a_fifth_at_most() -> None:
    """Of a thousand requests to a link that is down, 200 are repeated, and the ten it had saved."""
    config = Config(base_url="https://pay.test/", retries=5)
    driver = memory.Driver(config, env(_Still()))
    other = OtherSide(Reply(503))
    driver.respond = other
    for _ in range(1000):
        with pytest.raises(LinkUnavailable):
            await driver.handle(GRANT).get("it")
    assert 1180 <= len(other.requests) <= 1211


@pytest.mark.anyio
async def test_a_second_earns_a_retry(clock: StandingClock) -> None:
    """A link with few requests can repeat each of them."""
    driver = memory.Driver(Config(base_url="https://pay.test/"), env(clock))
    other = OtherSide(Reply(503))
    driver.respond = other
    for _ in range(20):
        await clock.elapse(2)
        with pytest.raises(LinkUnavailable):
            await driver.handle(GRANT).get("it")
    assert len(other.requests) == 60


class _Still(StandingClock):
    """A clock whose sleeps take no time."""

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

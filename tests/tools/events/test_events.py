"""The driver `outbox` keeps the contract of `events`."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from ringfence.errors import NotGranted
from ringfence.kernel.ports import Grant
from ringfence.testing import context, environment
from ringfence.tools.events.conformance import EventsConformance, Outside, Placed, Subject
from ringfence.tools.events.drivers.outbox import Config, Driver

GRANT = Grant("orders.place_order", "orders", "events")


class TestOutbox(EventsConformance):
    """Against a store that the test holds in its hands."""

    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        outside = Outside()
        env = replace(environment("events", tmp_path), seal=outside.seal, events=outside.events)
        return Subject(Driver(Config(), env).handle(GRANT), outside, context())


@pytest.mark.anyio
async def test_without_an_outbox_nothing_can_be_published(tmp_path: Path) -> None:
    """As in the environment of another tool's test: it says so, and never yes."""
    events = Driver(Config(), environment("events", tmp_path)).handle(GRANT)
    with pytest.raises(NotGranted, match="has no events"):
        await events.publish(Placed(1))

"""The driver `patient` keeps the contract of `events`."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from acme_tools.events.patient import Config, Driver
from ringfence.errors import ToolUnavailable
from ringfence.kernel.ports import Envelope, Grant
from ringfence.settings import Seconds
from ringfence.testing import context, environment
from ringfence.tools.events.conformance import EventsConformance, Outside, Placed, Subject

pytestmark = pytest.mark.anyio
GRANT = Grant("orders.place_order", "orders", "events")


def subject_with(outside: Outside, folder: Path) -> Subject:
    env = replace(environment("events", folder), seal=outside.seal, events=outside.events)
    driver = Driver(Config(wait=Seconds(0.001)), env)
    return Subject(driver.handle(GRANT), outside, context())


class TestPatient(EventsConformance):
    """In the outbox of the application."""

    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        return subject_with(Outside(), tmp_path)


class Busy(Outside):
    """A store that is busy at first."""

    tried = 0

    async def publish(self, envelopes: list[Envelope]) -> None:  # type: ignore[override]
        self.tried += 1
        if self.tried < 3:
            raise ToolUnavailable("the store is busy.", subject="events")
        await super().publish(envelopes)


async def test_a_busy_store_is_asked_again_for_the_same_event(tmp_path: Path) -> None:
    """It is kept once, under the id that is returned."""
    outside = Busy()
    event_id = await subject_with(outside, tmp_path).events.publish(Placed(1))
    assert [stored.id for stored in outside.stored] == [event_id]
    assert outside.tried == 3

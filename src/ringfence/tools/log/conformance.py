"""The executable contract of the log: what every driver does, run against each of them.

class TestMyLog(LogConformance):
    @pytest.fixture
    def subject(self) -> Subject: ...
"""

import logging
from collections.abc import Callable

from msgspec import Struct

from ringfence.kernel.ports import current
from ringfence.tools.log.contract import Log, Record


class Subject(Struct, frozen=True):
    """A started driver's handle for the plugin `orders.place_order`, from level `info` on.

    Args:
        log: The handle.
        written: Returns what has been recorded so far, in order.
    """

    log: Log
    written: Callable[[], list[Record]]


class Awkward:
    """A value that fails whenever anybody looks at it."""

    def __repr__(self) -> str:
        raise RuntimeError("do not look")

    __str__ = __repr__


class LogConformance:
    """Derive it with a `subject` fixture."""

    async def test_a_record_says_what_happened_and_to_whom(self, subject: Subject) -> None:
        """Message, level, fields and plugin are kept; outside any context there is no trace."""
        subject.log.info("order placed", order_id=7, sku="a")
        (record,) = subject.written()
        assert (record.level, record.message) == ("info", "order placed")
        assert record.fields == {"order_id": 7, "sku": "a"}
        assert (record.plugin, record.trace_id) == ("orders.place_order", "")
        assert record.time.tzinfo is not None
        assert current.get() is None

    async def test_records_keep_their_order(self, subject: Subject) -> None:
        """What was written first is read first."""
        for number in range(50):
            subject.log.warning("m", number=number)
        assert [record.fields["number"] for record in subject.written()] == list(range(50))

    async def test_less_than_the_level_is_left_out(self, subject: Subject) -> None:
        """A driver at level `info` keeps no `debug`."""
        subject.log.debug("a")
        subject.log.info("b")
        subject.log.warning("c")
        subject.log.error("d")
        assert [record.level for record in subject.written()] == ["info", "warning", "error"]

    async def test_a_field_may_have_any_name(self, subject: Subject) -> None:
        """Names that records use themselves are nobody's to reserve."""
        subject.log.info("m", message="mine", level="high", self="me", fields=1, time=0)
        (record,) = subject.written()
        assert record.fields == {"message": "mine", "level": "high", "self": "me"} | {
            "fields": 1,
            "time": 0,
        }
        assert (record.message, record.level) == ("m", "info")

    async def test_nothing_that_is_logged_raises(self, subject: Subject) -> None:
        """A value that cannot be shown is named by its type; the rest is recorded."""
        loop: list[object] = []
        loop.append(loop)
        subject.log.error(
            "m", awkward=Awkward(), loop=loop, half="\ud800", big=10**5000, error=OSError("full")
        )
        (record,) = subject.written()
        assert record.fields["awkward"] == "<Awkward>"
        assert record.fields["loop"] == "<list>"
        assert record.fields["half"] == "\\ud800"
        assert record.fields["big"] == "<int>"
        assert record.fields["error"] == "OSError: full"

    async def test_a_value_is_recorded_as_it_was(self, subject: Subject) -> None:
        """Changing it afterwards changes no record."""
        basket = ["a"]
        subject.log.info("m", basket=basket)
        basket.append("b")
        (record,) = subject.written()
        assert record.fields == {"basket": ["a"]}

    async def test_a_record_is_bounded(self, subject: Subject) -> None:
        """A megabyte is cut, and says how long it was."""
        subject.log.info("m" * 1_000_000, text="t" * 1_000_000, items=["i" * 1000] * 1000)
        (record,) = subject.written()
        assert len(record.message) < 10_000
        assert record.message.endswith("… (1000000 characters)")
        assert all(len(str(value)) < 10_000 for value in record.fields.values())

    async def test_the_kernels_messages_are_recorded_as_well(self, subject: Subject) -> None:
        """What is said on the logger `ringfence` and below it comes out in the same form."""
        try:
            raise OSError("full")
        except OSError:
            logging.getLogger("ringfence.kernel.boot").exception("%s failed", "start")
        logging.getLogger("ringfence").warning("%d left", 1)
        logging.getLogger("ringfence").debug("left out")
        first, second = subject.written()
        assert (first.level, first.message, first.plugin) == ("error", "start failed", "")
        assert first.traceback.endswith("OSError: full")
        assert (second.level, second.message) == ("warning", "1 left")

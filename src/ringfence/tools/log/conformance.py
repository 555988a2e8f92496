"""The executable contract of the log: what every driver does, run against each of them.

class TestMyLog(LogConformance):
    @pytest.fixture
    def subject(self) -> Subject: ...
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from ringfence.kernel.ports import current
from ringfence.settings import Secret
from ringfence.tools.log.contract import Log, Record

CANARY = "canary-5d1e-of-the-log"


def redact(text: str) -> str:
    """Mask the one secret of the application that the driver under test belongs to."""
    return text.replace(CANARY, "***")


class Subject(Struct, frozen=True):
    """A started driver's handle for the plugin `orders.place_order`, from level `info` on; its
    environment has the `redact` of this module.

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


class AwkwardError(Exception):
    """An exception that fails when it is asked what it says."""

    def __str__(self) -> str:
        raise RuntimeError("do not ask")


class Endless(Mapping[str, object]):
    """A table that never ends."""

    def __getitem__(self, key: str) -> object:
        return key

    def __iter__(self) -> Iterator[str]:
        while True:
            yield "again"

    def __len__(self) -> int:
        return 1 << 62


class Card(Struct):
    """A record with a field that nobody is to see."""

    owner: str
    access_token: str


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
        assert record.fields["loop"] == ["<list>"]
        assert record.fields["half"] == "\\ud800"
        assert record.fields["big"] == "<int>"
        assert record.fields["error"] == "OSError: full"

    async def test_what_is_written_for_another_log_does_not_raise(self, subject: Subject) -> None:
        """Arguments by position, as `logging` takes them, are kept beside the message."""
        say: Callable[..., None] = subject.log.info
        say("%s of %s", 5, "six")
        (record,) = subject.written()
        assert record.message == "%s of %s"
        assert record.fields["arguments"] == [5, "six"]

    async def test_no_value_takes_long_or_much(self, subject: Subject) -> None:
        """Ten million items, a table without an end and a list in a list in a list are cut."""
        deep: list[object] = []
        for _ in range(100_000):
            deep = [deep]
        many = dict.fromkeys(map(str, range(10_000)), 1)
        began = time.perf_counter()
        subject.log.info("m", flood=[1] * 10_000_000, endless=Endless(), deep=deep)
        subject.log.info("n", **many)
        assert time.perf_counter() - began < 2
        first, second = subject.written()
        assert all(len(str(value)) < 10_000 for value in first.fields.values())
        assert len(second.fields) <= 101

    async def test_what_fails_when_it_is_looked_at_costs_itself_alone(
        self, subject: Subject
    ) -> None:
        """In a list, in a table and as an error; what stands beside it is kept."""
        subject.log.error("m", items=[1, Awkward()], table={"a": Awkward()}, error=AwkwardError())
        (record,) = subject.written()
        assert record.fields["items"] == [1, "<Awkward>"]
        assert record.fields["table"] == {"a": "<Awkward>"}
        assert record.fields["error"] == "<AwkwardError>"

    async def test_an_error_is_recorded_with_its_traceback(self, subject: Subject) -> None:
        """Given as `error`, or the one in hand by `exc_info=True`; one never raised has none."""
        current = {"exc_info": True}
        try:
            raise OSError("full")
        except OSError as error:
            subject.log.error("m", error=error, disk=1)
            subject.log.error("m", **current)
        subject.log.error("m", error=OSError("never raised"))
        subject.log.error("m", **current)
        given, in_hand, never, none = subject.written()
        assert given.fields == {"disk": 1, "error": "OSError: full"}
        for record in (given, in_hand):
            assert record.fields["error"] == "OSError: full"
            assert record.traceback.startswith("Traceback (most recent call last)")
            assert record.traceback.endswith("OSError: full")
        assert (never.fields, never.traceback) == ({"error": "OSError: never raised"}, "")
        assert (none.fields, none.traceback) == ({}, "")

    async def test_bound_fields_are_in_each_record(self, subject: Subject) -> None:
        """The log that they were bound to stays as it is; a field of the call wins."""
        bound = subject.log.bind(order_id=7).bind(sku="a")
        bound.info("m", sku="b")
        bound.info("m")
        subject.log.info("m")
        assert [record.fields for record in subject.written()] == [
            {"order_id": 7, "sku": "b"},
            {"order_id": 7, "sku": "a"},
            {},
        ]

    async def test_a_secret_is_masked_wherever_it_stands(self, subject: Subject) -> None:
        """As a type, by the name of its field, and by its value in any text."""
        secret, hidden = Secret(CANARY), {"password": "hunter2"}
        try:
            raise OSError(f"refused {CANARY}") from ValueError(CANARY)
        except OSError as error:
            subject.log.bind(**hidden).error(
                f"calling with {CANARY}",
                secret=secret,
                nested=[{"Authorization": "Basic aHVudGVyMg==", "who": "ann"}],
                card=Card("ann", "hunter2"),
                url=f"https://x/?k={CANARY}",
                error=error,
                **{CANARY: 1},
            )
        (record,) = subject.written()
        assert "canary" not in str(record)
        assert "hunter2" not in str(record)
        assert "aHVudGVyMg" not in str(record)
        assert record.message == "calling with ***"
        assert record.fields["nested"] == [{"Authorization": "***", "who": "ann"}]
        assert record.fields["card"] == {"owner": "ann", "access_token": "***"}

    async def test_a_secret_that_a_limit_cuts_in_two_is_masked(self, subject: Subject) -> None:
        """No beginning of one is left where a long text was cut."""
        for length in (4096, 8192, 8192 + 4096, 16384):
            text = "x" * (length - 10) + CANARY + "y" * 100_000
            subject.log.info(text, text=text, many=CANARY * 4000)
        assert "canary" not in str(subject.written())

    async def test_a_thread_of_its_own_may_log(self, subject: Subject) -> None:
        """No event loop and no context are needed."""
        thread = threading.Thread(target=subject.log.info, args=("m",))
        thread.start()
        thread.join()
        (record,) = subject.written()
        assert (record.message, record.plugin) == ("m", "orders.place_order")

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

"""The executable contract of metrics: what every driver does, run against each of them.

@pytest.mark.anyio
class TestMyDriver(MetricsConformance):
    @pytest.fixture
    async def subject(self) -> AsyncIterator[Subject]: ...
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from threading import Thread

import pytest
from msgspec import Struct

from acme_tools.metrics.contract import Gauge, Metrics, NoSuchMetric
from ringfence.errors import ToolUnavailable
from ringfence.kernel.ports import Endpoint
from ringfence.testing import endpoint


class Subject(Struct, frozen=True):
    """A started driver that keeps 10 series.

    Args:
        metrics: The handle of a plugin.
        bind: Gives the driver gauges to read.
        exposed: Collects everything, as whoever operates the application would read it.
    """

    metrics: Metrics
    bind: Callable[[Sequence[Endpoint]], None]
    exposed: Callable[[], Awaitable[str]]


async def _three() -> int:
    return 3


async def _half() -> float:
    return 0.5


async def _broken() -> int:
    raise ToolUnavailable("the database is down")


class MetricsConformance:
    """Derive it with a `subject` fixture."""

    async def test_counters_add_up(self, subject: Subject) -> None:
        """By one, or by what is said; each set of labels is a series of its own."""
        subject.metrics.count("orders_placed_total")
        subject.metrics.count("orders_placed_total", 2)
        subject.metrics.count("orders_placed_total", 0.5, currency="EUR")
        assert await subject.metrics.value("orders_placed_total") == 3
        assert await subject.metrics.value("orders_placed_total", currency="EUR") == 0.5
        exposed = await subject.exposed()
        assert "# TYPE orders_placed_total counter\norders_placed_total 3\n" in exposed
        assert 'orders_placed_total{currency="EUR"} 0.5\n' in exposed

    async def test_observations_have_a_number_and_a_sum(self, subject: Subject) -> None:
        """From which an average can be told."""
        for seconds in (0.25, 0.5):
            subject.metrics.observe("orders_seconds", seconds, way="web")
        exposed = await subject.exposed()
        assert "# TYPE orders_seconds summary\n" in exposed
        assert 'orders_seconds_count{way="web"} 2\norders_seconds_sum{way="web"} 0.75\n' in exposed

    async def test_the_order_of_labels_does_not_matter(self, subject: Subject) -> None:
        """They are a set."""
        subject.metrics.count("a_total", x="1", y="2")
        subject.metrics.count("a_total", y="2", x="1")
        assert await subject.metrics.value("a_total", x="1", y="2") == 2

    async def test_what_was_not_counted_is_an_error(self, subject: Subject) -> None:
        """Zero would be a figure."""
        subject.metrics.count("a_total", x="1")
        with pytest.raises(NoSuchMetric, match="a_total"):
            await subject.metrics.value("a_total")

    @pytest.mark.parametrize("name", ["", "A", "a-b", "1a", "a b", "ä", "a\n", "a_sum", 7])
    async def test_a_name_that_is_none_is_dropped(self, subject: Subject, name: str) -> None:
        """And counted; the feature goes on."""
        subject.metrics.count(name)
        subject.metrics.observe(name, 1)
        assert "metrics_dropped_total 2\n" in await subject.exposed()

    @pytest.mark.parametrize("value", [math.nan, math.inf, -1, "1", None])
    async def test_a_value_that_does_not_fit_is_dropped(
        self, subject: Subject, value: float
    ) -> None:
        """What is no finite number, and what a counter would shrink by."""
        subject.metrics.count("a_total", value)
        assert "metrics_dropped_total 1\n" in await subject.exposed()
        with pytest.raises(NoSuchMetric):
            await subject.metrics.value("a_total")

    async def test_a_name_keeps_its_kind(self, subject: Subject) -> None:
        """What is counted cannot be observed as well."""
        subject.metrics.count("a_total")
        subject.metrics.observe("a_total", 5)
        assert await subject.metrics.value("a_total") == 1
        assert "metrics_dropped_total 1\n" in await subject.exposed()

    async def test_the_number_of_series_is_bounded(self, subject: Subject) -> None:
        """A label that is never the same twice costs no more than the limit; the rest counts on."""
        subject.metrics.count("a_total")
        for number in range(100):
            subject.metrics.count("b_total", user=str(number))
        subject.metrics.count("a_total")
        assert await subject.metrics.value("a_total") == 2
        exposed = await subject.exposed()
        assert exposed.count("b_total{") == 9
        assert "metrics_dropped_total 91\n" in exposed

    async def test_labels_cannot_break_out_of_their_line(self, subject: Subject) -> None:
        """A quote is escaped; what could start a line is dropped."""
        subject.metrics.count("a_total", x='"} 7 \\')
        subject.metrics.count("b_total", x="1\nc_total 8")
        exposed = await subject.exposed()
        assert 'a_total{x="\\"} 7 \\\\"} 1\n' in exposed
        assert "c_total" not in exposed

    async def test_threads_may_count(self, subject: Subject) -> None:
        """No count is lost between them."""

        def work() -> None:
            for _ in range(1000):
                subject.metrics.count("a_total")

        threads = [Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert await subject.metrics.value("a_total") == 4000

    async def test_gauges_are_read_when_figures_are_collected(self, subject: Subject) -> None:
        """With what they are, in a sentence."""
        open_orders = endpoint(Gauge("orders_open", "Orders to be sent."), _three)
        subject.bind([open_orders, endpoint(Gauge("orders_load"), _half)])
        exposed = await subject.exposed()
        told = "# HELP orders_open Orders to be sent.\n# TYPE orders_open gauge\norders_open 3\n"
        assert told in exposed
        assert "orders_load 0.5\n" in exposed

    async def test_a_gauge_that_fails_is_left_out_and_counted(self, subject: Subject) -> None:
        """The others are read."""
        subject.bind([endpoint(Gauge("a_broken"), _broken), endpoint(Gauge("a_fine"), _three)])
        exposed = await subject.exposed()
        assert "a_broken " not in exposed
        assert "a_fine 3\n" in exposed
        unread = await subject.metrics.value("metrics_unread_gauges_total", gauge="a_broken")
        assert unread >= 1

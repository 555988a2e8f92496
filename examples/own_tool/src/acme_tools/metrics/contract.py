"""The contract of the tool `metrics`: what a feature may count, and what it is promised.

    ToolError
    └ NoSuchMetric   404   nothing has been counted under that name

A gauge is not counted but read: a method under `@gauge` says how many there are now.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from ringfence.errors import ToolError
from ringfence.kernel.ports import Budget, Declaration, contract, declare, operation

F = TypeVar("F", bound=Callable[..., object])


class NoSuchMetric(ToolError, code="metrics.no_such_metric"):
    """Nothing has been counted under that name and with those labels."""

    status = 404


@contract("metrics")
class Metrics(Protocol):
    """Figures for whoever operates the application.

    A name is of lower-case words, `orders_placed_total`; a label tells series of one name apart:
    `metrics.count("orders_placed_total", currency="EUR")`.

    Guarantees:
        Metrics are optional: `count` and `observe` never raise and never wait, and may be called
        from any thread. What does not fit (a name, a value that is no finite number, a name that
        is used in the other way already, more series than the driver keeps) is left out, and
        counted as `metrics_dropped_total`.
    """

    def count(self, name: str, by: float = 1, /, **labels: str) -> None:
        """Add to a counter, which only grows: `by` is at least 0."""
        ...

    def observe(self, name: str, value: float, /, **labels: str) -> None:
        """Record one of many values, of which number and sum are kept: seconds, bytes."""
        ...

    @operation(idempotent=True)
    async def value(self, name: str, /, **labels: str) -> float:
        """Return what a counter has come to.

        Raises:
            NoSuchMetric: Nothing has been counted so.
        """
        ...


class Gauge(Declaration, frozen=True):
    """A method of a plugin that says how many there are now."""

    tool = "metrics"
    kind = "gauge"

    name: str
    help: str = ""

    @property
    def key(self) -> str:
        return self.name


def gauge(name: str, *, help: str = "", budget: Budget | None = None) -> Callable[[F], F]:
    """Read the method whenever figures are collected; it takes nothing and returns a number.

    Args:
        name: Of the figure; it begins with the domain: `orders_open`.
        help: What it is, in a sentence, for whoever reads it.
        budget: What one reading may spend, beside `[budgets.metrics]`.

    Guarantees:
        One that fails is left out of what is collected, and counted; the others are read.
    """
    return declare(Gauge(name, help, budget=budget))

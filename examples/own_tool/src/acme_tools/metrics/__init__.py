"""Count what happens: `from acme_tools.metrics import Metrics, gauge`, in a plugin."""

from acme_tools.metrics.check import check
from acme_tools.metrics.contract import Gauge, Metrics, NoSuchMetric, gauge
from ringfence.kernel.ports import ToolSpec

SPEC = ToolSpec(
    name="metrics",
    contract=Metrics,
    package=__name__,
    default_driver="memory",
    check=check,
    contained=frozenset({"ACME101", "ACME102"}),
)

__all__ = ["SPEC", "Gauge", "Metrics", "NoSuchMetric", "gauge"]

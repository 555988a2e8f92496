"""Tell the time: `from ringfence.tools.clock import Clock`, a field of a plugin."""

from ringfence.kernel.ports import ToolSpec
from ringfence.tools.clock.contract import Clock

SPEC = ToolSpec(
    name="clock",
    contract=Clock,
    package="ringfence.tools.clock",
    default_driver="system",
)

__all__ = ["SPEC", "Clock"]

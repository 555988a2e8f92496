"""Tell the time, and run what is due: `from ringfence.tools.clock import Clock, every, cron`.

A plugin has a field `clock: Clock`; `@every` and `@cron` stand on its methods.
"""

from ringfence.kernel.ports import ToolSpec
from ringfence.tools.clock.contract import Clock, Cron, Every, cron, every
from ringfence.tools.clock.schedule import RULES, check

SPEC = ToolSpec(
    name="clock",
    contract=Clock,
    package="ringfence.tools.clock",
    default_driver="system",
    check=check,
    contained=RULES,
)

__all__ = ["SPEC", "Clock", "Cron", "Every", "cron", "every"]

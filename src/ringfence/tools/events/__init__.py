"""Publish outside a transaction: `from ringfence.tools.events import Events`, a field of a plugin.

What belongs to data is published with it: `tx.publish(event)` of `ringfence.tools.db`.
"""

from ringfence.kernel.ports import ToolSpec
from ringfence.tools.events.contract import Events

SPEC = ToolSpec(
    name="events",
    contract=Events,
    package="ringfence.tools.events",
    default_driver="outbox",
)

__all__ = ["SPEC", "Events"]

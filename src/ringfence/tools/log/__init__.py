"""Write down what happens: `from ringfence.tools.log import Log`, a field of a plugin."""

from ringfence.kernel.ports import ToolSpec
from ringfence.tools.log.contract import Level, Log, Record

SPEC = ToolSpec(
    name="log",
    contract=Log,
    package="ringfence.tools.log",
    default_driver="stderr",
)

__all__ = ["SPEC", "Level", "Log", "Record"]

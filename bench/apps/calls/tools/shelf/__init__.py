"""A tool that does nothing, to see what it costs to reach one."""

from tools.shelf.contract import Shelf

from ringfence.kernel.ports import ToolSpec

SPEC = ToolSpec(name="shelf", contract=Shelf, package=__name__, default_driver="empty")

__all__ = ["SPEC", "Shelf"]

"""The tool `fetch`: other systems over HTTP, each a named link of the configuration.

A feature asks for a link by a field, `payments: Fetch`, and the table `[tools.payments]` with
`tool = "fetch"` says where it leads. Importing this package loads no driver.
"""

from ringfence.kernel.ports import ToolSpec
from ringfence.tools.fetch.contract import (
    Asking,
    BadResponse,
    Download,
    Fetch,
    Head,
    InvalidRequest,
    LinkUnavailable,
    OutcomeUnknown,
    Params,
    Problem,
    RefusedTarget,
    Response,
    Sending,
    UnexpectedStatus,
)

__all__ = [
    "SPEC",
    "Asking",
    "BadResponse",
    "Download",
    "Fetch",
    "Head",
    "InvalidRequest",
    "LinkUnavailable",
    "OutcomeUnknown",
    "Params",
    "Problem",
    "RefusedTarget",
    "Response",
    "Sending",
    "UnexpectedStatus",
]

SPEC = ToolSpec(
    name="fetch",
    contract=Fetch,
    package="ringfence.tools.fetch",
    default_driver="http",
    named=True,
)

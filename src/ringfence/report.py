"""What a running application says of itself: values for the command line and the console.

Made by `app.py` from the kernel's own structures, when somebody asks; sent over the control socket
as JSON. Nothing in here is alive: times, names and reasons, no handlers and no exceptions.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from ringfence.kernel.context import Failure


class Span(Struct, frozen=True):
    """One context that has ended.

    Args:
        trace_id: The same for all that one request caused.
        span_id: Its own id.
        parent_span_id: Of the context that caused it; empty for a root.
        path: Its place in the tree, readable: `100.2.1`.
        operation: What ran: `orders.place`.
        plugin: Whose work it was.
        origin: What came in from outside (`POST /orders`); only a root has one.
        link: The trace and span that a root belongs to outside, as its sender says.
        started_at: Wall-clock time, in UTC.
        duration_s: Seconds until it ended.
        queries: Operations of tools that it asked for.
        failure: Why it failed, if it did.
    """

    trace_id: str
    span_id: str
    parent_span_id: str
    path: str
    operation: str
    plugin: str
    origin: str
    started_at: datetime
    duration_s: float
    queries: int = 0
    failure: Failure | None = None
    link: str = ""


class PluginStatus(Struct, frozen=True):
    """One plugin: `serving`, or `quarantined` with its reason."""

    id: str
    state: str
    reason: str = ""


class DomainStatus(Struct, frozen=True):
    """One domain and its plugins."""

    name: str
    plugins: list[PluginStatus]


class ToolStatus(Struct, frozen=True):
    """One instance of a tool: `healthy`, or `dead` with its reason."""

    instance: str
    tool: str
    driver: str
    state: str
    reason: str = ""


class Status(Struct, frozen=True):
    """A whole application, for whoever may know the reasons."""

    app: str
    state: Literal["starting", "ready", "degraded", "stopping"]
    reasons: list[str]
    pid: int
    version: str
    uptime_s: float
    domains: list[DomainStatus]
    tools: list[ToolStatus]

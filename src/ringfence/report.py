"""What a running application says of itself: values for the command line and the console.

Made by `observer.py` from the kernel's own structures, when somebody asks; sent over the control
socket as JSON. Nothing in here is alive: times, names and reasons, no handlers and no exceptions.
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
        event: Topic and id of the event that was delivered; only the root of a delivery has one.
        attempt: Of that delivery; 1 for the first.
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
    event: str = ""
    attempt: int = 0


class Trace(Struct, frozen=True):
    """One trace whose root has ended.

    Args:
        trace_id: Its id.
        started_at: Wall-clock time, in UTC.
        duration_s: Seconds until its root ended.
        origin: What came in from outside: `POST /orders`.
        operation: What that was answered by: `orders.place`.
        plugin: Whose work that was.
        spans: How many contexts of it are kept.
        failures: How many of these failed, also where their caller did without them.
        failure: Why the root failed, if it did.
    """

    trace_id: str
    started_at: datetime
    duration_s: float
    origin: str
    operation: str
    plugin: str
    spans: int = 1
    failures: int = 0
    failure: Failure | None = None


class EndedTraces(Struct, frozen=True):
    """Traces that have ended since the last of these, oldest first.

    Args:
        traces: Of them, those that are still kept.
        missed: Whether there were others, which the reader was too slow for.
    """

    traces: list[Trace]
    missed: bool = False


class Offered(Struct, frozen=True):
    """What a plugin offers under one name: `service` `orders.place`, `route` `POST /orders`."""

    kind: str
    name: str


class PluginStatus(Struct, frozen=True):
    """One plugin: `serving`, or `quarantined` with its reason.

    Args:
        id: Its name.
        state: How it is.
        reason: Why it is so.
        offers: How it is reached.
        calls: Contexts of it that have ended, of those that are kept.
        failures: Of these, how many failed.
        in_flight: Calls that are in progress.
    """

    id: str
    state: str
    reason: str = ""
    offers: list[Offered] = []
    calls: int = 0
    failures: int = 0
    in_flight: int = 0


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


class EventShown(Struct, frozen=True):
    """One event that is stored, as an operator sees it; its payload has its secrets masked."""

    id: str
    seq: int
    topic: str
    version: int
    key: str | None
    published_at: datetime
    plugin: str
    trace_id: str
    payload: str


class LetterShown(Struct, frozen=True):
    """One dead letter, as an operator sees it.

    Args:
        id: Of the delivery: `<event>.<number>`.
        subscription: Who could not handle it.
        event: What was delivered.
        died_at: When it was given up.
        attempts: How often it was tried.
        error: What the last attempt failed with.
        trace_id: Of that attempt.
        hops: Topics of the events that led to it, the oldest first.
    """

    id: str
    subscription: str
    event: EventShown
    died_at: datetime
    attempts: int
    error: str
    trace_id: str
    hops: list[str]


class Cause(Struct, frozen=True):
    """One step of a chain of causes.

    Args:
        kind: `span`, `event` or `delivery`.
        id: Of the span, the event or the delivery.
        cause: The id of the step that caused it; empty where none is known.
        what: What ran, what was published, or who was to get it.
        plugin: Whose work it is.
        at: When it began, or was published.
        duration_s: How long it took; 0 for what takes no time.
        state: `done`, `failed`, `published`, or how a delivery stands.
        attempts: Of a delivery.
        error: What it failed with.
        where: The line that failed.
    """

    kind: str
    id: str
    cause: str
    what: str
    plugin: str
    at: datetime
    duration_s: float = 0.0
    state: str = ""
    attempts: int = 0
    error: str = ""
    where: str = ""


class SubscriptionStatus(Struct, frozen=True):
    """One subscription: at work, paused with its reason, or removed with what is left of it.

    Args:
        name: Plugin and method.
        waiting: Deliveries that are neither done nor dead, those that run among them.
        dead: Dead letters.
        delivered: Since the start; likewise `failed` attempts, and events `dropped` that are not
            stored.
        oldest_at: When the oldest of those that wait was published.
    """

    name: str
    pattern: str
    state: Literal["active", "paused", "removed"]
    reason: str = ""
    waiting: int = 0
    dead: int = 0
    running: int = 0
    delivered: int = 0
    failed: int = 0
    dropped: int = 0
    oldest_at: datetime | None = None
    broadcast: bool = False


class Status(Struct, frozen=True):
    """A whole application, for whoever may know the reasons.

    Args:
        app: Its name.
        state: How it is.
        reasons: Why it is so.
        pid: Its process.
        version: Ringfence's.
        uptime_s: Seconds since it was ready.
        domains: All of its features.
        tools: All that they use.
        python: The version that it runs on.
        started_at: When it was ready, in UTC.
        counted_since: When the oldest context that is kept ended: counts of calls go back so far.
        in_flight: Calls that are in progress, of all plugins.
    """

    app: str
    state: Literal["starting", "ready", "degraded", "stopping"]
    reasons: list[str]
    pid: int
    version: str
    uptime_s: float
    domains: list[DomainStatus]
    tools: list[ToolStatus]
    python: str = ""
    started_at: datetime | None = None
    counted_since: datetime | None = None
    in_flight: int = 0

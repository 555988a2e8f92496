"""The context: one node of the tree that all work runs in, and the span that is recorded of it.

Every call, hook and background task runs in a fork of its cause's context. A fork is one C-level
allocation that the garbage collector never looks at: closing a context breaks every circle that it
is part of. Identifiers are integers until somebody reads them. A context is recorded once, when its
work ends.

Opened and closed by `call.py`; tool proxies learn through `current` who asks.
"""

import itertools
import random
from asyncio import Task
from collections.abc import Awaitable, Coroutine, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Protocol, TypeVar, overload

from msgspec import Struct

from ringfence.kernel.delivery import Journey

T = TypeVar("T")
MESSAGE_CHARS = 500  # of an exception's text that is kept

_randomness = random.SystemRandom()
# W3C ids: a random start makes span ids of different processes differ, counting makes them cheap.
_spans = itertools.count(_randomness.getrandbits(62) + 1)
_traces = random.Random(_randomness.getrandbits(128))  # noqa: S311 - ids are no secrets
_roots = itertools.count(1)


class Principal(Struct, frozen=True):
    """Who asks. Comes from an authenticating tool alone, never from a payload.

    Args:
        id: Stable name, unique within its kind: `user:42`, `operator:alice`.
        scopes: What the principal may do.
        tenant: Whose data it acts on; None outside any tenant.
    """

    id: str
    scopes: frozenset[str] = frozenset()
    tenant: str | None = None


class Budget(Struct, frozen=True):
    """What a context's subtree may spend; None leaves that limit as it is inherited.

    Args:
        calls: Service calls.
        queries: Operations of tools that reach a backend (each database statement is one).
        events: Events published.
        depth: Service calls nested in one another.
        wall_s: Seconds from the context's opening to its deadline.
    """

    calls: int | None = None
    queries: int | None = None
    events: int | None = None
    depth: int | None = None
    wall_s: float | None = None


class Purse(Struct, eq=False, gc=False):
    """What is left of a budget; shared by the whole subtree of the context that it was set on."""

    calls: int
    queries: int
    events: int
    budget: Budget
    owner: "Context | None" = None
    outer: "Purse | None" = None


class Failure(Struct, frozen=True):
    """What is kept of an exception: text, never the exception or its frames."""

    kind: str
    message: str
    where: str = ""


def text_of(error: BaseException) -> str:
    """Return what an exception says, bounded; nothing where asking it raises."""
    try:
        return str(error)[:MESSAGE_CHARS]
    except Exception:  # the author's code: what cannot be told must not hide what happened
        return ""


class Hold(Protocol):
    """A transaction in progress, as the kernel sees it: something with a name for its holder."""

    @property
    def holder(self) -> str: ...


class Caller(Protocol):
    """What a context needs of the kernel to call and to spawn on a plugin's behalf."""

    def call(
        self, ctx: "Context", name: str, payload: Mapping[str, object]
    ) -> Awaitable[object]: ...

    def call_into(
        self, ctx: "Context", name: str, payload: Mapping[str, object], into: type[T]
    ) -> Awaitable[T]: ...

    def spawn(
        self, ctx: "Context", work: Coroutine[object, None, None], wall_s: float | None
    ) -> None: ...


class Block(Protocol):
    """An `async with` of a tool that has been entered and not left."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None: ...


Owned = Task[object] | Block


class Inbound(Struct, frozen=True):
    """What came from outside with a request, of the trace that it is part of there.

    Args:
        link: The other side's trace and span, `<32 hex>-<16 hex>`; kept beside our own.
        trace: The other side's trace, to be gone on with: only where the peer is trusted.
        cause: The span there that a delivery is caused by.
        journey: The delivery that comes in.
    """

    link: str = ""
    trace: int | None = None
    cause: str = ""
    journey: Journey | None = None


class Origin(Struct, frozen=True, eq=False, gc=False):
    """What a whole tree of contexts shares: its trace, who asked, and what came in."""

    caller: Caller
    trace: int
    principal: Principal | None
    tenant: str | None
    label: str = ""  # what came in from outside (`POST /orders`)
    cause: str = ""  # the id of the span that spawned this tree, where one did
    path: str = ""  # and where this tree stands below it
    link: str = ""  # the trace and span that it belongs to outside
    journey: Journey | None = None  # the delivery that all of it is part of


class Context(Struct, eq=False, gc=False):
    """Identity, cause, principal, deadline and budget of one piece of work.

    A handler that wants it takes a parameter `ctx: Context`.
    """

    parent: "Context | None"
    origin: Origin
    span: int
    operation: str
    plugin: str
    deadline_at: float  # seconds of the monotonic clock; inheriting can only shrink it
    purse: Purse
    depth_left: int  # how much deeper calls may nest
    ordinal: int
    started_at: float
    ended_at: float = 0.0
    failure: Failure | None = None
    held: Hold | None = None  # the transaction that this context is the inside of
    owned: dict[Owned, None] | None = None  # tasks and blocks opened here; ended with the context
    task: Task[object] | None = None  # known once the context has waited for something
    ending: BaseException | None = None  # why the kernel ended this context before its handler did
    committed: bool = False  # a transaction of its tree has ended well
    children: int = 0
    queries: int = 0
    events: int = 0

    def __repr__(self) -> str:
        return f"<Context {self.operation} {self.path} of trace {self.trace_id}>"

    @property
    def principal(self) -> Principal | None:
        """Who asked for what this context is part of; None where nobody is known."""
        return self.origin.principal

    @property
    def tenant(self) -> str | None:
        """Whose data it acts on; None outside any tenant."""
        return self.origin.tenant

    @property
    def trace(self) -> int:
        """The trace id as a number."""
        return self.origin.trace

    @property
    def trace_id(self) -> str:
        """The W3C trace id: 32 hexadecimal digits, the same for all that one request caused."""
        return f"{self.trace:032x}"

    @property
    def span_id(self) -> str:
        """The W3C id of this context: 16 hexadecimal digits."""
        return f"{self.span:016x}"

    @property
    def path(self) -> str:
        """Where this context stands in its tree: the first child of root 100 is `100.1`."""
        if self.parent is None:
            return self.origin.path or str(self.ordinal)
        return f"{self.parent.path}.{self.ordinal}"

    @overload
    def call(self, name: str, payload: Mapping[str, object]) -> Awaitable[object]: ...

    @overload
    def call(self, name: str, payload: Mapping[str, object], *, into: type[T]) -> Awaitable[T]: ...

    def call(
        self, name: str, payload: Mapping[str, object], *, into: type[T] | None = None
    ) -> Awaitable[T] | Awaitable[object]:
        """Call a service that the plugin declares under `@requires` or in `calls=`.

        Args:
            name: The service, `inventory.stock_level`.
            payload: Its parameters by name; checked against the provider's signature.
            into: The type to read the result as; without it plain dicts, lists and scalars.

        Raises:
            NotGranted: The plugin does not declare that it calls `name`.
            NoSuchService: No plugin provides `name`.
            Invalid: The payload does not fit; `faults` lists every fault.
            TransactionHeld: This context is inside a transaction.
        """
        if into is None:
            return self.origin.caller.call(self, name, payload)
        return self.origin.caller.call_into(self, name, payload, into)

    def spawn(self, work: Coroutine[object, None, None], *, wall_s: float | None = None) -> None:
        """Run `work` in the background, owned by the plugin, in a fork with its own deadline.

        It outlives this context and is lost in a crash. Its failure is recorded, never raised here.

        Args:
            work: The coroutine to run.
            wall_s: Seconds until it is cancelled; by default the wall time of the root's budget.
        """
        self.origin.caller.spawn(self, work, wall_s)


current: ContextVar[Context | None] = ContextVar("ringfence.current", default=None)
next_span = _spans.__next__
next_root = _roots.__next__


def next_trace() -> int:
    """Return a new random 128-bit trace id."""
    return _traces.getrandbits(128)

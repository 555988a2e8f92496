"""What the kernel and the tools need from each other, as protocols and small values.

The one module of the kernel that a tool imports. Towards a tool: `Driver`, `Ingress`, `ToolSpec`,
and how a tool's decorators declare (`Declaration`, `declare`). Towards the kernel: `ToolEnv`,
`Grant`, `Endpoint`, `Clock`, `TimerStore`. Adding a tool changes nothing here.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Literal, Protocol, TypeVar, runtime_checkable

from msgspec import Struct

from ringfence.errors import AppError, Finding, RingfenceError
from ringfence.errors import did_you_mean as did_you_mean
from ringfence.kernel.context import Block as Block
from ringfence.kernel.context import Budget as Budget
from ringfence.kernel.context import Context as Context
from ringfence.kernel.context import Hold as Hold
from ringfence.kernel.context import Inbound as Inbound
from ringfence.kernel.context import Principal as Principal
from ringfence.kernel.context import current as current
from ringfence.kernel.delivery import Dead as Dead
from ringfence.kernel.delivery import DeadLetter as DeadLetter
from ringfence.kernel.delivery import Delivery as Delivery
from ringfence.kernel.delivery import DeliveryStore as DeliveryStore
from ringfence.kernel.delivery import Dispatch as Dispatch
from ringfence.kernel.delivery import Done as Done
from ringfence.kernel.delivery import Due as Due
from ringfence.kernel.delivery import Envelope as Envelope
from ringfence.kernel.delivery import Journey as Journey
from ringfence.kernel.delivery import Kept as Kept
from ringfence.kernel.delivery import Pending as Pending
from ringfence.kernel.delivery import Recorded as Recorded
from ringfence.kernel.delivery import Retrying as Retrying
from ringfence.kernel.delivery import Route as Route
from ringfence.kernel.delivery import Running as Running
from ringfence.kernel.delivery import Seal as Seal
from ringfence.kernel.delivery import Settled as Settled
from ringfence.kernel.delivery import Standing as Standing
from ringfence.kernel.delivery import State as State
from ringfence.kernel.delivery import Subscribed as Subscribed
from ringfence.kernel.delivery import Taken as Taken

C = TypeVar("C", bound=type)
T = TypeVar("T")
Work = Coroutine[object, None, object]  # a handler on its way to its result
F = TypeVar("F", bound=Callable[..., object])

# ---- time


class Timer(Protocol):
    """A callback that has not run yet."""

    def cancel(self) -> None:
        """Let it never run."""
        ...


class Clock(Protocol):
    """The only source of time for kernel and drivers; tests put a fake one in its place."""

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back; the unit of every deadline."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` on the event loop once `monotonic()` has reached `when`."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Suspend for at least `seconds`."""
        ...


class TimerState(Struct, frozen=True):
    """What is stored of one timer of the application, so that no restart forgets or repeats it."""

    name: str
    spec: str  # how it was declared; with another one it counts as new
    version: int  # one more with each write; 0: nothing is stored yet
    last_at: datetime  # up to here its occurrences have been dealt with
    running: bool = False


class TimerStore(Protocol):
    """Where all processes of an application keep the states of its timers."""

    async def load(self, name: str) -> TimerState | None:
        """Return what is stored of a timer, as of the last commit."""
        ...

    async def put(self, state: TimerState) -> bool:
        """Store `state`, durably, if the version stored is that of `state`, or nothing is stored;
        return whether it was. The version stored is then one more."""
        ...


# ---- what a plugin declares


class Declaration(Struct, frozen=True, kw_only=True):
    """What one decorator says about one method. Each tool derives its own kinds.

    `tool` names the tool that serves it (empty: the kernel); `kind` names it for people.
    """

    tool: ClassVar[str] = ""
    kind: ClassVar[str] = ""

    calls: tuple[str, ...] = ()  # services that the method reaches through `ctx.call`
    budget: Budget | None = None  # what one run of the method may spend, beside its caller's

    @property
    def key(self) -> str:
        """What must be unique in an application among declarations of this kind."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """How traces and messages show it: `POST /orders`."""
        return f"{self.kind} {self.key}"


def declare(declaration: Declaration) -> Callable[[F], F]:
    """Return a decorator that attaches `declaration` to a method, and does nothing else."""

    def attach(method: F) -> F:
        if isinstance(method, type):
            raise TypeError(f"@{declaration.kind} goes on a method, got {method!r}")
        declared = (*getattr(method, "__ringfence__", ()), declaration)
        setattr(method, "__ringfence__", declared)
        return method

    setattr(attach, "__ringfence_unapplied__", declaration)
    return attach


# Marks a parameter that has no default; None is a default like any other.
class Required(Struct, frozen=True):
    """The parameter must be given."""


REQUIRED = Required()


class Parameter(Struct, frozen=True):
    """One value that a caller gives to an operation.

    `annotation` is the evaluated type hint, `Annotated[...]` kept.
    """

    name: str
    annotation: object
    default: object = REQUIRED


class Signature(Struct, frozen=True):
    """What an operation takes from its caller and answers; request values are left out."""

    parameters: tuple[Parameter, ...]
    result: object
    doc: str = ""


class Declared(Struct, frozen=True):
    """One declaration in its place: whose it is, where it stands, what its method looks like."""

    declaration: Declaration
    plugin: str
    domain: str
    method: str
    signature: Signature
    file: str
    line: int
    doc: str = ""  # what its plugin says of itself
    errors: tuple[type[AppError], ...] = ()  # those that its plugin declares, or raises by name


class StaticName(Struct, frozen=True):
    """A declaration of a file that did not load, as read from its text: `@post("/orders")`."""

    decorator: str
    name: str
    plugin: str
    reason: str


# ---- tools


class Grant(Struct, frozen=True):
    """Who a handle on a tool is for."""

    plugin: str
    domain: str
    instance: str


class Operation(Struct, frozen=True):
    """What the kernel has to know about one method of a contract."""

    spends: Literal["", "queries", "events"] = ""
    idempotent: bool = False
    yields: type | None = None  # an async context manager whose value is this contract
    iterates: bool = False  # an async iterator


# Awaited by an iteration before its first step, with what ends it should it be left; returns the
# context from whose `owned` that is to be taken when the iteration has ended.
Begin = Callable[[Block], Awaitable[Context | None]]


def operation(
    *,
    spends: Literal["", "queries", "events"] = "",
    idempotent: bool = False,
    yields: type | None = None,
    iterates: bool = False,
) -> Callable[[F], F]:
    """Mark a contract's method as one that passes through the kernel's proxy.

    Args:
        spends: The budget that one use costs one of.
        idempotent: Whether repeating it after a lost answer is harmless.
        yields: For `def method(...) -> AbstractAsyncContextManager[X]`: the contract X, whose
            own operations are then proxied as well. The block runs in a context of its own.
        iterates: For `def method(...) -> AsyncIterator[X]`. The driver's method takes a keyword
            more, `begin: Begin | None`. A block that has no name is ended without a word.
    """

    def mark(method: F) -> F:
        setattr(method, "__ringfence_operation__", Operation(spends, idempotent, yields, iterates))
        return method

    return mark


def contract(tool: str) -> Callable[[C], C]:
    """Mark a Protocol as the contract of the tool called `tool`: a plugin's field of that type
    is given a handle on it."""

    def mark(protocol: C) -> C:
        setattr(protocol, "__ringfence_tool__", tool)
        return protocol

    return mark


class Health(Struct, frozen=True):
    """What `/health/ready` and `ringfence status` say of the whole application.

    `reasons` is for whoever may know; strangers get `state` alone.
    """

    state: Literal["starting", "ready", "degraded", "stopping"]
    reasons: tuple[str, ...] = ()


class ToolEnv(Struct, frozen=True):
    """What the kernel hands to a driver when it makes one."""

    app: str
    instance: str
    root: Path  # the application's folder
    state: Path  # where a tool may keep files of its own; made by whoever writes first
    clock: Clock
    domains: Mapping[str, Path]
    health: Callable[[], Health]
    timers: Callable[[], TimerStore] | None = None  # asked by a clock that has timers to run
    # Both where it is the tool `events`, or the database that keeps the application's events.
    seal: Seal | None = None  # makes an event an envelope
    events: Callable[[], DeliveryStore] | None = None
    redact: Callable[[str], str] = str  # masks the application's secrets in a text that leaves it
    owns: Callable[[Context], bool] = lambda ctx: True  # of several applications in a process


class Driver(Protocol):
    """One implementation of a tool. Its module is `drivers/<name>.py`, its class `Driver`."""

    Config: ClassVar[type[Struct]]
    """The keys of `[tools.<instance>]` beside `driver` and `tool`, typed, with defaults."""

    def __init__(self, config: Struct, env: ToolEnv) -> None: ...

    async def start(self) -> None:
        """Connect. Raises ToolUnavailable when the backend is down, StartRefused when the
        application must not start at all (a failing migration, a port in use)."""
        ...

    async def stop(self) -> None:
        """Release everything; called once, also after a failed `start`."""
        ...

    def handle(self, grant: Grant) -> object:
        """Return the contract's implementation for one plugin; makes no I/O."""
        ...


class Live(Protocol):
    """A connection that stays, as an ingress sees it from inside its context."""

    def turn(self, deadline: bool = True) -> None:
        """End the message in hand and begin another: a fork with a purse of its own, current in
        this task. While a block of a tool is open, the message in hand goes on.

        Args:
            deadline: Whether the message has the wall time of the budget, and takes a place among
                its plugin's calls; without it, it may wait for ever.

        Raises:
            Overloaded: No place is free.
        """
        ...

    def aside(self) -> None:
        """Give this task, which works beside the message in hand, a purse of its own from here on,
        without a deadline."""
        ...

    def rest(self) -> None:
        """End the message in hand."""
        ...

    def end(self, error: RingfenceError) -> None:
        """End the connection from another task, or a callback: its work is cancelled."""
        ...

    def thread(self, function: Callable[..., T], *args: object) -> Awaitable[T]:
        """Run a function on the plugin's threads."""
        ...


class Endpoint(Protocol):
    """One declared operation, ready to be called from outside. An ingress calls it as

        await endpoint.open(args, principal, tenant)

    which opens a root context, applies every limit, runs the handler and returns its result.
    Every exception that leaves it is a RingfenceError with its `trace_id` set, or a cancellation.
    """

    @property
    def declared(self) -> Declared:
        """The declaration, whose method it is of, and with what signature."""
        ...

    @property
    def operation(self) -> str:
        """Its name in traces and logs: of its service, or else of its plugin and method."""
        ...

    @property
    def open(self) -> Callable[..., Coroutine[object, None, object]]:
        """Run it: `open(args, principal=None, tenant=None, inbound=None)`, where `args` are the
        signature's parameters in order, checked by the ingress."""
        ...

    @property
    def errors(self) -> tuple[type[AppError], ...]:
        """The errors that its plugin declares, and those of the services that it calls."""
        ...

    def live(
        self,
        around: Callable[[Live, Work], Work],
    ) -> Callable[..., Work]:
        """Return the way in, as `open`, for a connection that stays.

        Its context has no wall budget and takes no place among its plugin's calls.

        Args:
            around: Awaited inside the context, with the connection and the handler's coroutine,
                which it is to await.
        """
        ...

    def refused(self, error: Exception) -> str:
        """Record what came in and was turned away before `open`; return its trace id."""
        ...


@runtime_checkable
class Ingress(Protocol):
    """A driver through which work comes in from outside. The kernel binds it once all plugins
    are built, opens it last, and closes it first."""

    def bind(self, endpoints: Sequence[Endpoint], absent: Sequence[StaticName]) -> None:
        """Take the operations to serve, and the names whose plugins are quarantined."""
        ...

    async def open(self) -> None:
        """Accept work from now on. Raises StartRefused when it cannot (a port in use)."""
        ...

    async def close(self, grace_s: float) -> None:
        """Accept nothing more, then wait for work in progress, at most `grace_s` seconds."""
        ...


class ToolSpec(Struct, frozen=True):
    """A tool as its package announces it, under the name `SPEC`."""

    name: str
    contract: type
    package: str  # where `drivers/` is: `ringfence.tools.db`
    default_driver: str
    request_values: Mapping[type, str] = {}  # parameter type → the operation that yields it
    check: "Callable[[Facts], list[Finding]] | None" = None
    contained: frozenset[str] = frozenset()  # rules whose findings concern one plugin alone
    named: bool = False  # a field is given the instance of its name, which must be configured


class Facts(Struct, frozen=True):
    """What a tool may check before anything starts."""

    declared: Sequence[Declared]
    domains: Mapping[str, Path]
    root: Path

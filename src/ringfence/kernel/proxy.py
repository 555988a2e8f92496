"""A plugin's handle on a tool: every operation of the contract passes through here.

A method marked `@operation` spends from the budget and refuses while the tool is down; one that
yields runs its block in a context of its own, which is how a transaction shows in a trace and
forbids service calls inside it; one that iterates does so at its first step, and ends with its
context. Unmarked methods of a contract are the driver's own.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cache, partial
from inspect import iscoroutinefunction
from types import MethodType, SimpleNamespace, TracebackType

from ringfence.errors import RingfenceError, did_you_mean
from ringfence.kernel.call import Gate, close, failure_of, fork
from ringfence.kernel.context import Block as Owned
from ringfence.kernel.context import Context, current
from ringfence.kernel.limits import breach, spend_outer
from ringfence.kernel.owned import adopt
from ringfence.kernel.ports import Operation
from ringfence.kernel.threads import Enter


@dataclass(slots=True, eq=False)
class ToolState:
    """What a proxy asks before each use of a tool."""

    instance: str
    refusal: Callable[[], RingfenceError] | None = None
    reason: str = ""


class Handle(SimpleNamespace):
    """What a plugin holds in the place of a driver: the contract's methods, and no more."""

    def __getattr__(self, name: str) -> object:
        known = ", ".join(sorted(vars(self)))
        close = did_you_mean(name, sorted(vars(self))) or "."
        raise AttributeError(f"the tool has no {name!r}{close} It has {known}")


def handle(contract: type, target: object, state: ToolState, gate: Gate, plugin: str) -> Handle:
    """Return a plugin's handle on `target`, which implements `contract`."""
    methods: dict[str, object] = {}
    for name in _public(contract):
        mark: Operation | None = getattr(getattr(contract, name), "__ringfence_operation__", None)
        method = getattr(target, name)
        if mark is None:
            methods[name] = method
        elif mark.yields is not None:
            operation = f"{state.instance}.{name}"
            methods[name] = partial(_block, method, mark.yields, operation, state, gate, plugin)
        elif mark.iterates:
            methods[name] = partial(
                method, begin=partial(_begin, _gated(_nothing, mark, state, gate))
            )
        else:
            methods[name] = _gated(method, mark, state, gate)
    return Handle(**methods)


def for_thread(value: object, enter: Enter) -> object:
    """Return a handle whose methods that are not awaited may be called on a worker thread: they run
    where all others do, on the event loop's."""
    methods: dict[str, object] = {}
    for name, method in vars(value).items():
        at_once = isinstance(method, MethodType) and not iscoroutinefunction(method)
        methods[name] = partial(_asked, enter, method) if at_once else method
    return Handle(**methods)


def _asked(enter: Enter, method: Callable[..., object], *args: object, **options: object) -> object:
    async def ask() -> object:
        return method(*args, **options)

    return enter(ask())


@cache  # asked for each transaction
def _public(contract: type) -> list[str]:
    return [
        name
        for base in contract.__mro__
        for name, member in vars(base).items()
        if not name.startswith("_") and callable(member)
    ]


def _gated(
    method: Callable[..., Awaitable[object]], mark: Operation, state: ToolState, gate: Gate
) -> Callable[..., Awaitable[object]]:
    spends = mark.spends

    async def use(*args: object, **options: object) -> object:
        if state.refusal is not None:
            raise state.refusal()
        ctx = current.get()
        if ctx is not None and spends == "queries":
            ctx.queries += 1
            purse = ctx.purse
            purse.queries -= 1
            if purse.queries < 0:
                raise breach(purse, ctx, spends, gate.spans)
            if purse.outer is not None:
                spend_outer(purse, ctx, spends, gate.spans)
        return await method(*args, **options)

    # Python names it when it is given a wrong argument, or was not awaited.
    use.__qualname__ = getattr(method, "__qualname__", use.__qualname__)
    return use


async def _nothing() -> None:
    """What an iteration does of itself, to be refused and spent for before its first step."""


async def _begin(admit: Callable[[], Awaitable[object]], owned: Owned) -> Context | None:
    await admit()
    return None if (ctx := current.get()) is None else adopt(ctx, owned)


class Block:
    """The `async with` of an operation that yields: its body runs in a context of its own."""

    def __init__(
        self,
        manager: AbstractAsyncContextManager[object],
        inner: type,
        operation: str,
        state: ToolState,
        gate: Gate,
        plugin: str,
    ) -> None:
        self._manager = manager
        self._inner = inner
        self._operation = operation
        self._state = state
        self._gate = gate
        self._plugin = plugin
        self._ctx: Context | None = None
        self._owner: Context | None = None  # closes the block, should its handler leave it open

    async def __aenter__(self) -> object:
        if self._state.refusal is not None:
            raise self._state.refusal()
        parent = current.get()
        if parent is not None:
            self._ctx = fork(self._gate, parent, self._operation, self._plugin)
            self._ctx.depth_left = parent.depth_left
            current.set(self._ctx)
        try:
            value = await self._manager.__aenter__()
        except BaseException as error:
            self._leave(error)
            raise
        if parent is not None:
            self._owner = adopt(parent, self)
        return handle(self._inner, value, self._state, self._gate, self._plugin)

    def __str__(self) -> str:
        return f"{self._operation} of {self._plugin}"

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        try:
            swallowed = await self._manager.__aexit__(kind, error, trace)
        except BaseException as raised:
            self._leave(raised)
            raise
        node = self._ctx.parent if self._ctx is not None and error is None else None
        while node is not None:
            node.committed = True
            node = node.parent
        self._leave(error)
        return swallowed

    def _leave(self, error: BaseException | None) -> None:
        ctx = self._ctx
        if ctx is not None:
            self._ctx = None
            if self._owner is not None and self._owner.owned is not None:
                self._owner.owned.pop(self, None)
            self._owner = None
            ctx.held = None
            if error is not None:
                ctx.failure = failure_of(error)
            current.set(ctx.parent)
            close(self._gate, ctx)


def _block(
    method: Callable[..., AbstractAsyncContextManager[object]],
    inner: type,
    operation: str,
    state: ToolState,
    gate: Gate,
    plugin: str,
    *args: object,
    **options: object,
) -> Block:
    return Block(method(*args, **options), inner, operation, state, gate, plugin)

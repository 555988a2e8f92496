"""Endpoints without a kernel: made from plain coroutine functions, for the conformance suite.

`endpoint(method, path, function)`. What a function raises passes as the kernel lets it pass: a
RingfenceError with a trace id. Used by `conformance.py` and by tests of single modules.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, get_type_hints

from ringfence.errors import AppError, RingfenceError
from ringfence.kernel.ports import (
    REQUIRED,
    Clock,
    Declaration,
    Declared,
    Health,
    Inbound,
    Live,
    Parameter,
    Principal,
    Signature,
    Timer,
    ToolEnv,
    Work,
)
from ringfence.tools.http.contract import Method, Route

T = TypeVar("T")
Operation = Callable[..., Work]
TRACE = "0af7651916cd43dd8448eb211c80319c"


class LoopClock:
    """Real time, from the running loop."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(max(0, when - time.monotonic()), callback)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def environment(
    clock: Clock | None = None, health: Callable[[], Health] = lambda: Health("ready")
) -> ToolEnv:
    """Return what a driver is made with, here."""
    here = Path()
    return ToolEnv("shop", "http", here, here, clock or LoopClock(), {}, health)


class Lively:
    """A connection that stays, outside a kernel: its task, and no limits."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self.ended: RingfenceError | None = None

    def turn(self, deadline: bool = True) -> None:
        """Count nothing."""

    def aside(self) -> None:
        """Count nothing."""

    def rest(self) -> None:
        """Count nothing."""

    def end(self, error: RingfenceError) -> None:
        """Cancel the work; it ends with the error."""
        assert self._task is not None
        self.ended = error
        self._task.cancel()

    def thread(self, function: Callable[..., T], *args: object) -> Awaitable[T]:
        """Run it on a thread of the event loop."""
        return asyncio.to_thread(function, *args)


class Served:
    """An endpoint around a coroutine function. What it raises passes as the kernel lets it pass:
    a RingfenceError with a trace id."""

    def __init__(self, declaration: Declaration, function: Operation) -> None:
        hints = get_type_hints(function, include_extras=True)
        parameters = tuple(
            Parameter(name, hints[name], REQUIRED if p.default is p.empty else p.default)
            for name, p in inspect.signature(function).parameters.items()
        )
        self._function = function
        self._declared = Declared(
            declaration=declaration,
            plugin=f"{function.__name__}.Plugin",
            domain="orders",
            method=function.__name__,
            signature=Signature(parameters, hints.get("return"), function.__doc__ or ""),
            file="domains/orders/feature.py",
            line=1,
        )

    @property
    def declared(self) -> Declared:
        return self._declared

    def refused(self, error: Exception) -> str:
        """Record nothing; the trace is always the same."""
        return "0" * 31 + "1"

    @property
    def operation(self) -> str:
        return f"orders.{self._declared.method}"

    async def open(
        self,
        args: tuple[object, ...],
        principal: Principal | None = None,
        tenant: str | None = None,
        inbound: Inbound | None = None,
    ) -> object:
        try:
            return await self._function(*args)
        except RingfenceError as error:
            error.trace_id = TRACE
            raise

    @property
    def errors(self) -> tuple[type[AppError], ...]:
        return ()

    def live(
        self, around: Callable[[Live, Work], Work]
    ) -> Callable[..., Coroutine[object, None, object]]:
        async def open_(args: tuple[object, ...], *given: object) -> object:
            live = Lively()
            try:
                return await around(live, self._function(*args))
            except asyncio.CancelledError:
                if live.ended is None:
                    raise
                raise live.ended from None
            except RingfenceError as error:
                error.trace_id = TRACE
                raise

        return open_


def endpoint(method: Method, path: str, function: Operation, status: int = 200) -> Served:
    """Return an endpoint that serves `method path` by a coroutine function."""
    return Served(Route(method, path, status), function)

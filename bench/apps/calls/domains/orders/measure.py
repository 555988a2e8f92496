"""Count nanoseconds: of calls to another domain's service, and of the same without a kernel."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct
from tools.shelf.contract import Shelf

from ringfence import Context, Plugin, requires, service

CALLERS = 32


class StockLevel(Struct):
    """What this feature reads of inventory's answer."""

    available: int


@requires("inventory.stock_level")
class StockLevelOf(Protocol):
    async def __call__(self, *, sku: str) -> StockLevel: ...


@requires("inventory.stock_level_by_thread")
class StockLevelByThread(Protocol):
    async def __call__(self, *, sku: str) -> StockLevel: ...


async def bare(*, sku: str) -> StockLevel:
    return StockLevel(len(sku))


async def bare_count(*, sku: str) -> int:
    return len(sku)


def plain(sku: str) -> StockLevel:
    return StockLevel(len(sku))


async def by_to_thread(*, sku: str) -> StockLevel:
    return await asyncio.to_thread(plain, sku)


async def in_turn(work: Callable[..., Awaitable[object]], times: int) -> float:
    """Return the CPU nanoseconds of one call, one after another; nothing here waits."""
    started = time.thread_time_ns()
    for _ in range(times):
        await work(sku="a")
    return (time.thread_time_ns() - started) / times


async def from_32_callers(work: Callable[..., Awaitable[StockLevel]], times: int) -> float:
    """Return the CPU nanoseconds of one call, the whole process counted."""

    async def caller() -> None:
        for _ in range(times // CALLERS):
            await work(sku="a")

    started = time.process_time_ns()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return (time.process_time_ns() - started) / (times // CALLERS * CALLERS)


class Measure(Plugin):
    stock_level: StockLevelOf
    by_thread: StockLevelByThread
    shelf: Shelf

    @service("orders.measure_bare")
    async def bare(self, times: int) -> float:
        return await in_turn(bare, times)

    @service("orders.measure_typed")
    async def typed(self, times: int) -> float:
        return await in_turn(self.stock_level, times)

    @service("orders.measure_bare_tool")
    async def bare_tool(self, times: int) -> float:
        return await in_turn(bare_count, times)

    @service("orders.measure_tool")
    async def tool(self, times: int) -> float:
        return await in_turn(self.shelf.count, times)

    @service("orders.measure_by_name")
    async def by_name(self, times: int, ctx: Context) -> float:
        started = time.thread_time_ns()
        for _ in range(times):
            await ctx.call("inventory.stock_level", {"sku": "a"})
        return (time.thread_time_ns() - started) / times

    @service("orders.measure_threads")
    async def threads(self, times: int) -> float:
        return await from_32_callers(self.by_thread, times)

    @service("orders.measure_to_thread")
    async def to_thread(self, times: int) -> float:
        return await from_32_callers(by_to_thread, times)

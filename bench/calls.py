"""Rows for what happens within the process: service calls, tool calls, `def` handlers.

The loops run inside a feature of `bench/apps/calls`, next to a bare `await` of the same work, in
alternating rounds. The second application is the same with 1,000 features beside it.
"""

import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Protocol, cast
from urllib.request import urlopen

from bench.applications import REAL_CLOCK, add_features, copied
from bench.report import Row, compare
from bench.web import microcoreos
from ringfence.kernel.call import Gate, open_root, plain_call
from ringfence.kernel.context import Budget, current
from ringfence.kernel.ports import Clock, contract, operation
from ringfence.kernel.proxy import ToolState, handle
from ringfence.kernel.registry import Registry
from ringfence.testing import boot

ROUNDS = 11
TIMES = 10_000
THREAD_TIMES = 3_200


async def rows(count: int = ROUNDS) -> list[Row]:
    """Boot both applications side by side; measure all kinds in turn."""
    found: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        apps = {"": copied("calls", folder)}
        apps[", 1,000 others"] = copied("calls", folder / "beside")
        add_features(apps[", 1,000 others"], 1000)
        running = {
            label: await stack.enter_async_context(boot(place, overrides=REAL_CLOCK))
            for label, place in apps.items()
        }
        # The first round warms up what a process does once, and is thrown away.
        for turn in range(count + 1):
            for label, app in running.items():
                for kind in ("bare", "typed", "by_name", "threads", "to_thread"):
                    times = THREAD_TIMES if "thread" in kind else TIMES
                    cost = await app.call(f"orders.measure_{kind}", times=times)
                    assert isinstance(cost, float)
                    if turn:
                        found.setdefault(kind + label, []).append(cost)
    return list(_compared(found))


def _compared(found: dict[str, list[float]]) -> Iterator[Row]:
    bare = found["bare"]
    to = "a bare await"
    yield compare("bare await", bare, bare, "ns", to)
    for kind, name in (("typed", "typed"), ("by_name", "ctx.call")):
        title = f"service call, {name}"
        yield compare(title, found[kind], bare, "ns", to, limit=20, goal=15)
        beside = found[f"{kind}, 1,000 others"]
        # What else is installed costs nothing; the limit leaves room for noise alone.
        title = f"service call, {name}, with 1,000 features"
        yield compare(title, beside, found[kind], "ns", "with one", limit=1.1)
    threads, to_thread = found["threads"], found["to_thread"]
    title, to = "def handler, 32 callers", "asyncio.to_thread"
    yield compare(title, threads, to_thread, "ns CPU", to, limit=0.2)


@contract("shelf")
class Shelf(Protocol):
    """A tool that does nothing, to see what it costs to reach one."""

    @operation(spends="queries")
    async def get(self, sku: str) -> int: ...


class Boards:
    """Its driver."""

    async def get(self, sku: str) -> int:
        return len(sku)


async def tool_rows(count: int = ROUNDS) -> list[Row]:
    """Compare a tool's operation through a plugin's handle with the driver's own method."""
    clock = cast("Clock", SimpleNamespace(monotonic=time.monotonic))
    many = 1_000_000_000
    budget = Budget(calls=many, queries=many, events=many, depth=32, wall_s=600)
    gate = Gate(clock, Registry(), budget, deque(maxlen=1), plain_call)
    driver = Boards()
    proxied = cast("Shelf", handle(Shelf, driver, ToolState("shelf"), gate, "orders.measure"))
    token = current.set(open_root(gate, "orders.measure", "orders.measure", budget))
    bare: list[float] = []
    through: list[float] = []
    for turn in range(count + 1):
        pair = await _each(driver.get, TIMES), await _each(proxied.get, TIMES)
        if turn:
            bare.append(pair[0])
            through.append(pair[1])
    current.reset(token)
    to = "a bare await"
    return [compare("tool call through its proxy", through, bare, "ns", to, limit=8)]


async def _each(work: Callable[[str], Awaitable[int]], times: int) -> float:
    started = time.perf_counter_ns()
    for _ in range(times):
        await work("a")
    return (time.perf_counter_ns() - started) / times


def peer_rows(count: int = ROUNDS) -> list[Row]:
    """Measure the same within MicroCoreOS: a request on its bus, a tool through its proxy."""
    with microcoreos() as server:
        url = f"http://127.0.0.1:{server.port}/measure?rounds={count}&times=1000"
        with urlopen(url, timeout=120) as answer:
            found: dict[str, list[float]] = json.load(answer)
    to = "a bare await"
    note = "one feature asks another by event_bus.request, the one way that it has"
    title = "microcoreos: call of another feature"
    return [
        compare(title, found["service"], found["bare"], "ns", to, note=note),
        compare("microcoreos: tool call through its proxy", found["tool"], found["bare"], "ns", to),
    ]

"""Rows for what happens within the process: service calls, tool calls, `def` handlers.

CPU time throughout. The loops run inside a feature of `bench/apps/calls`, next to a bare `await` of
the same work, in alternating rounds. The second application is the same with 1,000 features beside.
"""

import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from bench.applications import REAL_CLOCK, add_features, copied
from bench.report import Row, compare
from bench.servers import microcoreos
from ringfence.testing import boot

ROUNDS = 15
TIMES = 5_000
THREAD_TIMES = 6_400
KINDS = ("bare", "typed", "by_name", "bare_tool", "tool", "threads", "to_thread")


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
            for kind in KINDS:
                for label, app in running.items():
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
    title = "tool call through its proxy"
    yield compare(title, found["tool"], found["bare_tool"], "ns", to, limit=8)
    threads, to_thread = found["threads"], found["to_thread"]
    title, to = "def handler, 32 callers", "asyncio.to_thread"
    yield compare(title, threads, to_thread, "ns CPU", to, limit=0.2)


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

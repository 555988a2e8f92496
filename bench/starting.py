"""Rows for starting, memory and idling: each start in a fresh process, cold and warm."""

import json
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.request import urlopen

from bench.applications import copied, forget, generated
from bench.measure import cpu_s, resident_kb, run_python, wake_ups
from bench.report import Row, compare
from bench.servers import ringfence

ROUNDS = 3
SIZES = (1, 100, 1000)
SETTLING_S = 2.0  # until the timers of those requests are gone
IDLE_S = 10.0


class Start(NamedTuple):
    """What one start cost."""

    cpu_s: float
    resident_kb: float


def start(verb: str, application: Path) -> Start:
    return Start(**json.loads(run_python(["-m", "bench.once", verb, str(application)])))


def rows(count: int = ROUNDS) -> Iterator[Row]:
    """Start applications of several sizes; the empty one is what memory is counted from."""
    with TemporaryDirectory(prefix="bench-") as folder:
        resident: dict[str, dict[int, list[float]]] = {"boot": {}, "import": {}}
        for size in SIZES:
            application = generated(size, Path(folder))
            boots = {"cold": list[float](), "warm": list[float]()}
            imports = {"cold": list[float](), "warm": list[float]()}
            for _ in range(count):
                for verb, found in (("import", imports), ("boot", boots)):
                    forget(application)
                    found["cold"].append(start(verb, application).cpu_s * 1000)
                    warm = start(verb, application)
                    found["warm"].append(warm.cpu_s * 1000)
                    resident[verb].setdefault(size, []).append(warm.resident_kb)
            for state, taken in boots.items():
                # With few features what a start always costs outweighs their import.
                limit = 3.0 if size == max(SIZES) else None
                name = f"boot, {size:,} feature{'s' * (size > 1)}, {state}"
                yield compare(name, taken, imports[state], "ms CPU", "their import", limit=limit)
        note = f"{max(SIZES):,} features against {min(SIZES)}, after a warm start"
        memory = _per_feature(resident["boot"])
        yield Row("memory of a feature", memory, "KB", limit=25, note=note)
        yield Row("memory of a feature, imported only", _per_feature(resident["import"]), "KB")
    yield from _idle()


def _per_feature(resident: dict[int, list[float]]) -> float:
    least, most = min(SIZES), max(SIZES)
    grown = statistics.median(resident[most]) - statistics.median(resident[least])
    return grown / (most - least)


def _idle() -> Iterator[Row]:
    """Run an application by the command; let it serve a little, then leave it alone."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        server = stack.enter_context(ringfence(copied("idle", folder)))
        for _ in range(100):
            with urlopen(f"http://127.0.0.1:{server.port}/notes/1", timeout=5):
                pass
        time.sleep(SETTLING_S)
        before, woken = cpu_s(server.pid), sum(wake_ups(server.pid).values())
        time.sleep(IDLE_S)
        used = (cpu_s(server.pid) - before) / IDLE_S * 1000
        woken = sum(wake_ups(server.pid).values()) - woken
        note = "one feature with HTTP and SQLite, after 100 requests"
        memory = resident_kb(server.pid) * 1024 / 1e6
        yield Row("idle: memory", memory, "MB", limit=45, note=note)
        yield Row("idle: CPU", used, "ms CPU/s")
        # One more may fall into the time that is looked at.
        limit = 1 + 1 / IDLE_S
        yield Row("idle: wake-ups, all threads", woken / IDLE_S, "a second", limit=limit)

"""Rows for starting, memory and idling: each start in a fresh process, cold and warm."""

import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.request import urlopen

from bench.applications import copied, forget, generated
from bench.measure import cpu_s, free_port, resident_kb, run_python, serving
from bench.report import Row, compare

ROUNDS = 3
SIZES = (1, 100, 1000)
IDLE_S = 5.0


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
    port = free_port()
    with TemporaryDirectory(prefix="bench-") as folder:
        application = copied("idle", Path(folder))
        command = [str(Path(sys.executable).with_name("ringfence")), "run", str(application)]
        url = f"http://127.0.0.1:{port}/notes/1"
        with serving([*command, "--port", str(port)], url) as pid:
            for _ in range(100):
                with urlopen(url, timeout=5):
                    pass
            before = cpu_s(pid)
            time.sleep(IDLE_S)
            used = (cpu_s(pid) - before) / IDLE_S * 1000
            note = "one feature with HTTP and SQLite, after 100 requests"
            memory = resident_kb(pid) * 1024 / 1e6
            yield Row("idle: memory", memory, "MB", limit=45, note=note)
            yield Row("idle: CPU", used, "ms CPU/s")

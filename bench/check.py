"""Rows for `ringfence check` on 1,000 features: its rules, and the whole command."""

import ast
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.applications import forget, generated
from bench.report import Row, compare
from ringfence.app import check
from ringfence.check.examination import examine

ROUNDS = 5
FEATURES = 1000


def rows(count: int = ROUNDS) -> Iterator[Row]:
    """Parse, examine and check the same files in turn."""
    with TemporaryDirectory(prefix="bench-") as folder:
        application = generated(FEATURES, Path(folder))
        files = sorted(application.rglob("*.py"))
        parsed: list[float] = []
        found: dict[str, list[float]] = {"cold": [], "warm": [], "all, cold": [], "all, warm": []}
        for _ in range(count):
            parsed.append(_ms(lambda: _parse(files)))
            forget(application)
            found["cold"].append(_ms(lambda: examine(application)))
            found["warm"].append(_ms(lambda: examine(application)))
            forget(application)
            found["all, cold"].append(_ms(lambda: (examine(application), check(application))))
            found["all, warm"].append(_ms(lambda: (examine(application), check(application))))
        limits = {"cold": 4.0, "warm": 0.5}
        for state, taken in found.items():
            name = f"check, {FEATURES:,} features, {state}"
            note = "with what the start itself finds, imports included" if "all" in state else ""
            limit = limits.get(state)
            yield compare(name, taken, parsed, "ms CPU", "parsing", limit=limit, note=note)


def _parse(files: list[Path]) -> None:
    for file in files:
        ast.parse(file.read_bytes(), str(file))  # one at a time, as the rules have them


def _ms(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1000

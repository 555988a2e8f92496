"""Rows for the database: units of work and transactions a second, in a process and over HTTP.

Throughput by the clock, because what counts is how seldom all wait for the disk. Every answer means
that its transaction is synced, on all sides. Ours and the others take turns.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from bench.applications import REAL_CLOCK, copied
from bench.measure import PEER_PYTHON, ROOT, NotMeasured, free_port, run_python, serving
from bench.report import Row, compare
from bench.servers import Server, ringfence
from ringfence.testing import boot

ROUNDS = 7
TIMES = 8_000
SECONDS = 1.0
BODY = '{"account_id":7,"amount":3}'
UNIT, HTTP_UNIT = "units/s", "requests/s"
Found = dict[str, list[float]]


def rows(count: int = ROUNDS) -> Iterator[Row]:
    """Measure within a process, then over HTTP."""
    with TemporaryDirectory(prefix="bench-") as folder:
        yield from _within(Path(folder), count)
    with TemporaryDirectory(prefix="bench-") as folder:
        yield from _over_http(Path(folder), count)


def _within(folder: Path, count: int) -> Iterator[Row]:
    application = copied("ledger", folder)
    found: Found = {}
    for _ in range(count):
        for name, rate in uvloop.run(_ours(application)).items():
            found.setdefault(name, []).append(rate)
        for name, rate in _theirs(folder).items():
            found.setdefault(name, []).append(rate)
    ceiling = found["ceiling"]
    threads = "a thread per transaction, 32"
    yield compare("engine's ceiling, 32 units to a COMMIT", ceiling, ceiling, UNIT, "the ceiling")
    units, transactions = found["units"], found["transactions"]
    yield _faster("unit of work, 32 callers", units, found["threads"], UNIT, threads, 8)
    yield _faster("unit of work, 32 callers", units, ceiling, UNIT, "the ceiling", 0.25)
    yield _faster("transaction, 32 callers", transactions, found["threads"], UNIT, threads)
    yield _faster("unit of work, 32 callers", units, found["aiosqlite"], UNIT, "aiosqlite")
    yield _faster("transaction, 32 callers", transactions, found["aiosqlite"], UNIT, "aiosqlite")
    yield _faster("unit of work, 1 caller", found["unit"], found["sequential"], UNIT, "by hand")


async def _ours(application: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    database = {"db": {"path": str(application / "ledger.db")}}
    async with boot(application, overrides={"tools": {**REAL_CLOCK["tools"], **database}}) as app:
        asked = {
            "units": ("units_per_s", 32, TIMES),
            "transactions": ("transactions_per_s", 32, TIMES),
            "unit": ("units_per_s", 1, TIMES // 8),
        }
        for name, (service, callers, times) in asked.items():
            await app.call(f"accounts.{service}", callers=callers, times=times // 10)
            rate = await app.call(f"accounts.{service}", callers=callers, times=times)
            assert isinstance(rate, float)
            found[name] = rate
    return found


def _theirs(folder: Path) -> dict[str, float]:
    command = [str(PEER_PYTHON), "-m", "bench.peers.ledger_rates", str(folder), str(TIMES)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "LEDGER": str(folder)}, capture_output=True, text=True
    )
    if done.returncode:
        raise NotMeasured(f"the peers of the database: {done.stderr[-800:]}")
    rates: dict[str, float] = json.loads(done.stdout)
    return rates


def _over_http(folder: Path, count: int) -> Iterator[Row]:
    found: Found = {}
    with ExitStack() as stack:
        ours = stack.enter_context(ringfence(copied("ledger", folder)))
        variables = {"LEDGER": str(folder)}
        theirs = [
            stack.enter_context(_by_hand(name, variables))
            for name in ("one_thread", "pool", "inline")
        ]
        for turn in range(count + 1):
            for server in (ours, *theirs):
                for connections in (32, 1):
                    rate = _answered(server, connections)
                    if turn:
                        found.setdefault(f"{server.name}, {connections}", []).append(rate)
    busy, alone = found["ringfence, 32"], found["ringfence, 1"]
    title = "transaction over HTTP, 32 connections"
    executor = "bare ASGI, an executor of one thread"
    yield _faster(title, busy, found["one_thread, 32"], HTTP_UNIT, executor, 1.5)
    yield _faster(title, busy, found["pool, 32"], HTTP_UNIT, "bare ASGI, an executor of 32")
    yield _faster(title, busy, found["inline, 32"], HTTP_UNIT, "bare ASGI, inline")
    title = "transaction over HTTP, 1 connection"
    yield _faster(title, alone, found["inline, 1"], HTTP_UNIT, "bare ASGI, inline", 0.5)
    yield _faster(title, alone, found["one_thread, 1"], HTTP_UNIT, executor)


@contextmanager
def _by_hand(name: str, variables: Mapping[str, str]) -> Iterator[Server]:
    port = free_port()
    command: list[str | Path] = [PEER_PYTHON, "-m", "bench.peers.serve", f"ledger-{name}"]
    url = f"http://127.0.0.1:{port}/"
    with serving([*command, str(port)], url, variables=variables) as pid:
        yield Server(name, pid, port)


def _answered(server: Server, connections: int) -> float:
    """Return how many requests were answered a second."""
    arguments = ["-m", "bench.load", "--connections", str(connections), str(server.port)]
    return int(run_python([*arguments, str(SECONDS), "POST", "/entries", BODY])) / SECONDS


def _faster(
    name: str,
    values: list[float],
    others: list[float],
    unit: str,
    to: str,
    at_least: float | None = None,
) -> Row:
    """Compare two rates: the more, the better."""
    return compare(name, values, others, unit, to, limit=at_least, more=True)

"""Units of work a second without any framework: `python -m bench.peers.ledger_rates FOLDER TIMES`.

Prints JSON: a thread for each transaction, aiosqlite, one after another, and what the engine itself
can do with 32 units to a COMMIT, each in its savepoint.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiosqlite

from bench.peers.ledger import INSERT, UPDATE, InThreads, NewEntry, connect

CALLERS = 32


def per_s(times: int, run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return times / (time.perf_counter() - started)


def in_threads(times: int) -> float:
    """Each transaction on a thread of 32, each thread with a connection."""
    work = InThreads(CALLERS).work
    entries = [NewEntry(number % 10, 1) for number in range(times)]
    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(work, entries[:CALLERS]))
        return per_s(times, lambda: list(pool.map(work, entries)))


def one_by_one(folder: Path, times: int) -> float:
    line = connect(folder)

    def run() -> None:
        for number in range(times):
            line.execute("BEGIN IMMEDIATE")
            line.execute(UPDATE, (number % 10, 1))
            line.execute(INSERT, (number % 10, 1))
            line.execute("COMMIT")

    return per_s(times, run)


def ceiling(folder: Path, times: int) -> float:
    """What the engine can do: one thread, nothing else to do, 32 units to a COMMIT."""
    line = connect(folder)

    def run() -> None:
        for number in range(times):
            if number % CALLERS == 0:
                line.execute("BEGIN IMMEDIATE")
            line.execute("SAVEPOINT unit")
            line.execute(UPDATE, (number % 10, 1))
            line.execute(INSERT, (number % 10, 1))
            line.execute("RELEASE unit")
            if number % CALLERS == CALLERS - 1:
                line.execute("COMMIT")

    return per_s(times, run)


async def with_aiosqlite(folder: Path, times: int) -> float:
    """One connection and a lock around each transaction, as its users write it."""
    lock = asyncio.Lock()
    async with aiosqlite.connect(folder / "peer.db", isolation_level=None) as line:
        await line.execute("PRAGMA synchronous = FULL")

        async def caller(first: int) -> None:
            for number in range(first, times, CALLERS):
                async with lock:
                    await line.execute("BEGIN IMMEDIATE")
                    await line.execute(UPDATE, (number % 10, 1))
                    await line.execute(INSERT, (number % 10, 1))
                    await line.commit()

        started = time.perf_counter()
        await asyncio.gather(*map(caller, range(CALLERS)))
        return times / (time.perf_counter() - started)


if __name__ == "__main__":
    place, count = Path(sys.argv[1]), int(sys.argv[2])
    connect(place)
    rates = {
        "threads": in_threads(count // 8),
        "aiosqlite": asyncio.run(with_aiosqlite(place, count // 8)),
        "sequential": one_by_one(place, count // 8),
        "ceiling": ceiling(place, count),
    }
    print(json.dumps(rates))

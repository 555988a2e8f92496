"""Whatever is cancelled, held for too long or stopped: a yes is kept, and a no is not.

Each seed is a crowd of random transactions with a model of what has to be in the file after them.
"""

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from ringfence.errors import ToolError, ToolUnavailable
from ringfence.tools.db import (
    HeldTooLong,
    SerializationFailure,
    Transaction,
    TransactionEnded,
    UniqueViolation,
    UnitOfWork,
)
from ringfence.tools.db.drivers.sqlite import Driver

from .support import handle, make, migrations, running, still

pytestmark = pytest.mark.anyio

SCHEMA = "CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT)"
INSERT = "INSERT INTO note (id, body) VALUES ($1, $2)"
MINE = "SELECT count(*) FROM note WHERE body = $1"
ALL = "SELECT id FROM note"
# Some milliseconds, so it stays on a thread.
SLOW = (
    "INSERT INTO note (id, body) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
    "WHERE i < 20000) SELECT $1, $2 FROM n WHERE i = 20000"
)
SLOW_READ = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
    "SELECT count(*) FROM n"
)
TAKEN = 0  # an id that is there from the beginning
WRITERS = 60
PLUGINS = 5
# What a writer may be told; anything else is a fault.
EXPECTED = (HeldTooLong, SerializationFailure, TransactionEnded, UniqueViolation)


class Boom(Exception):
    """What a feature raises by mistake."""


class Crowd:
    """Writers whose every step is chosen by one seed, and what they were told."""

    def __init__(self, driver: Driver, file: Path, seed: int, stops: bool) -> None:
        self.driver = driver
        self.file = file
        self.chance = random.Random(seed)
        self.stops = stops
        self.ids = count(1)
        self.kept = {TAKEN}  # what has to be there
        self.seen: set[object] = set()  # what somebody outside has read
        self.faults: list[str] = []

    def text(self) -> str:
        """Choose a way to insert: proved short, never seen before, slow."""
        fresh = f"{INSERT} -- {self.chance.randrange(10**9)}"
        return self.chance.choices([INSERT, fresh, SLOW], [12, 3, 1])[0]

    async def write(self, number: int) -> None:
        """Write in one way or another, and note what is to be kept."""
        ways = [self.transaction, self.work, self.many, self.one, self.look]
        way: Callable[[str, set[int]], Awaitable[None]]
        (way,) = self.chance.choices(ways, [8, 4, 2, 3, 3])
        rows: set[int] = set()
        for _ in range(self.chance.randrange(6)):
            await asyncio.sleep(0)
        try:
            await way(f"writer {number}", rows)
        except asyncio.CancelledError as error:
            if any(note.startswith("committed") for note in getattr(error, "__notes__", ())):
                self.kept |= rows
        except (Boom, *EXPECTED):
            pass
        except ToolUnavailable as error:
            if not self.stops:
                self.faults.append(f"{way.__name__}: {error!r}")
        except ToolError as error:
            self.faults.append(f"{way.__name__}: {error!r}")
        else:
            self.kept |= rows

    def plugin(self) -> str:
        return f"orders.{'abcde'[self.chance.randrange(PLUGINS)]}"

    async def transaction(self, body: str, rows: set[int]) -> None:
        database = handle(self.driver, self.plugin())

        async def step(tx: Transaction, depth: int) -> set[int]:
            mine: set[int] = set()
            for _ in range(self.chance.randrange(1, 5)):
                match self.chance.randrange(12):
                    case 0:
                        await asyncio.sleep(0)
                    case 1 if not self.chance.randrange(3):
                        await tx.execute(INSERT, TAKEN, body)
                    case 2 if not self.chance.randrange(3):
                        raise Boom
                    case 3 | 4 if depth < 3:
                        mine |= await inner(depth + 1)
                    case 5:
                        more = [(next(self.ids), body) for _ in range(self.chance.choice([3, 300]))]
                        await tx.execute_many(INSERT, more)
                        mine |= {key for key, _ in more}
                    case 6:
                        await tx.fetch_value(SLOW_READ)
                    case _:
                        key = next(self.ids)
                        await tx.execute(self.text(), key, body)
                        mine.add(key)
            return mine

        async def inner(depth: int) -> set[int]:
            try:
                async with database.transaction() as tx:
                    return await step(tx, depth)
            except (Boom, UniqueViolation):
                return set()

        async with database.transaction() as tx:
            rows |= await step(tx, 0)
            there = await tx.fetch_value(MINE, body, into=int)
            if there != len(rows):
                self.faults.append(f"{body} had written {len(rows)} rows, and saw {there}")

    async def work(self, body: str, rows: set[int]) -> None:
        rows |= {next(self.ids) for _ in range(self.chance.randrange(4))}
        texts = {key: self.text() for key in rows}
        fails = not self.chance.randrange(5)

        def write(unit: UnitOfWork) -> None:
            for key, text in texts.items():
                unit.execute(text, key, body)
            if fails:
                raise Boom

        def write_slowly(unit: UnitOfWork) -> None:
            write(unit)
            unit.fetch_value(SLOW_READ)

        await handle(self.driver, self.plugin()).run(self.chance.choice([write, write_slowly]))

    async def many(self, body: str, rows: set[int]) -> None:
        size = self.chance.choice([2, 250])
        text = INSERT if size > 2 else self.text()
        rows |= {next(self.ids) for _ in range(size)}
        last = [(TAKEN, body)] if not self.chance.randrange(4) else []
        given = [*((key, body) for key in rows), *last]
        await handle(self.driver, self.plugin()).execute_many(text, given)

    async def one(self, body: str, rows: set[int]) -> None:
        rows.add(next(self.ids))
        await handle(self.driver, self.plugin()).execute(self.text(), *rows, body)

    async def look(self, body: str, rows: set[int]) -> None:
        found = await handle(self.driver, self.plugin()).fetch_all(ALL)
        self.seen |= {row["id"] for row in found}

    async def another_process(self) -> None:
        """Take the lock now and then, as a second process does."""

        def write(key: int, hold: asyncio.AbstractEventLoop) -> None:
            with closing(sqlite3.connect(self.file, timeout=20, isolation_level=None)) as line:
                line.execute("BEGIN IMMEDIATE")
                line.execute("INSERT INTO note VALUES (?, 'another')", (key,))
                asyncio.run_coroutine_threadsafe(asyncio.sleep(0), hold).result()
                line.execute("COMMIT")

        for _ in range(self.chance.randrange(4)):
            key = next(self.ids)
            await asyncio.to_thread(write, key, asyncio.get_running_loop())
            self.kept.add(key)


@pytest.mark.parametrize("stops", [False, True], ids=["runs-on", "is-stopped"])
@pytest.mark.parametrize("seed", range(8))
async def test_a_yes_is_kept_and_a_no_is_not(tmp_path: Path, seed: int, stops: bool) -> None:
    """Nobody is left waiting, nobody is told what is not so, and the database works afterwards."""
    troubles: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: troubles.append(about))
    migrations(tmp_path, {"orders": SCHEMA})
    clock = still(tmp_path)
    file = tmp_path / "data" / "shop.db"
    async with running(make(tmp_path, clock=clock)) as driver:
        await handle(driver).execute(INSERT, TAKEN, None)
        crowd = Crowd(driver, file, seed, stops)
        chance = crowd.chance
        other = asyncio.create_task(crowd.another_process())
        writers = [asyncio.create_task(crowd.write(number)) for number in range(WRITERS)]
        for _ in range(chance.randrange(10, 60)):
            for _ in range(chance.randrange(5)):
                await asyncio.sleep(0)
            match chance.randrange(4):
                case 0:
                    chance.choice(writers).cancel()
                case 1:
                    clock.advance(chance.choice([0.004, 0.02, 0.3]))
                case _:
                    await asyncio.sleep(0.001)
        if stops:
            await driver.stop()
        _, left = await asyncio.wait([other, *writers], timeout=20)
        assert not left
        await other
        if not stops:
            crowd.kept.add(-1)
            assert await handle(driver).execute(INSERT, -1, None) == 1
    with closing(sqlite3.connect(file)) as line:
        there = {key for (key,) in line.execute(ALL)}
        assert line.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert crowd.faults == []
    assert troubles == []
    assert there == crowd.kept
    assert crowd.seen <= there

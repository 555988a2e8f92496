"""The ledger by hand: the same two statements over HTTP, in an executor or on the event loop.

`LEDGER` names the folder of the database. It keeps the same promises as Ringfence: WAL, a full sync
for each answer, one writer at a time.
"""

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local

import msgspec

from bench.peers.bare import Message, Receive, Send, answer, read

SCHEMA = """
CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY, amount BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS entry
    (id INTEGER PRIMARY KEY, account_id BIGINT NOT NULL, amount BIGINT NOT NULL);
INSERT OR IGNORE INTO account (id, amount) VALUES (0, 0), (1, 0), (2, 0), (3, 0), (4, 0);
INSERT OR IGNORE INTO account (id, amount) VALUES (5, 0), (6, 0), (7, 0), (8, 0), (9, 0);
"""
UPDATE = "UPDATE account SET amount = amount + ?2 WHERE id = ?1"
INSERT = "INSERT INTO entry (account_id, amount) VALUES (?1, ?2)"


class NewEntry(msgspec.Struct):
    account_id: int
    amount: int


class Entry(msgspec.Struct):
    id: int
    account_id: int
    amount: int


decode = msgspec.json.Decoder(NewEntry).decode


def connect(folder: Path) -> sqlite3.Connection:
    """Open the database as Ringfence does; the first one makes the tables."""
    line = sqlite3.connect(
        folder / "peer.db", isolation_level=None, timeout=60, check_same_thread=False
    )
    line.execute("PRAGMA journal_mode = WAL")
    line.execute("PRAGMA synchronous = FULL")
    line.execute("PRAGMA foreign_keys = ON")
    line.executescript(SCHEMA)
    return line


def enter(line: sqlite3.Connection, account_id: int, amount: int) -> int:
    """Do the two statements in one transaction."""
    line.execute("BEGIN IMMEDIATE")
    try:
        line.execute(UPDATE, (account_id, amount))
        row = line.execute(INSERT + " RETURNING id", (account_id, amount)).fetchone()
    except BaseException:
        line.execute("ROLLBACK")
        raise
    line.execute("COMMIT")
    number: int = row[0]
    return number


Enter = Callable[[NewEntry], Awaitable[int]]


def application(enter: Enter) -> Callable[[Message, Receive, Send], Awaitable[None]]:
    """Return a bare ASGI application that answers one POST."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await answer(send, 200, {})
            return
        entry = decode(await read(receive))
        number = await enter(entry)
        await answer(send, 201, Entry(number, entry.account_id, entry.amount))

    return app


class InThreads:
    """A pool of threads, each with a connection."""

    def __init__(self, threads: int) -> None:
        self.pool = ThreadPoolExecutor(threads)
        self.here = local()

    def work(self, entry: NewEntry) -> int:
        line: sqlite3.Connection | None = getattr(self.here, "line", None)
        if line is None:
            line = self.here.line = connect(folder())
        return enter(line, entry.account_id, entry.amount)

    async def __call__(self, entry: NewEntry) -> int:
        return await asyncio.get_running_loop().run_in_executor(self.pool, self.work, entry)


class Inline:
    """On the event loop, the sync included."""

    def __init__(self) -> None:
        self.line: sqlite3.Connection | None = None

    async def __call__(self, entry: NewEntry) -> int:
        if self.line is None:
            self.line = connect(folder())
        return enter(self.line, entry.account_id, entry.amount)


def folder() -> Path:
    return Path(os.environ["LEDGER"])


one_thread = application(InThreads(1))
pool = application(InThreads(32))
inline = application(Inline())

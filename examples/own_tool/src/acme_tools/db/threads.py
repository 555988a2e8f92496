"""SQLite with a thread for each statement that runs: the plain way, to compare others with.

Transport only: the rules of transactions are those of `ringfence.tools.db.service`, and every
driver has them from there. A transaction has the one connection that writes to itself; each read
takes one of `readers`. Nothing ever runs on the event loop.
"""

import asyncio
import sqlite3
from asyncio import CancelledError
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, TypeVar

from msgspec import Meta, Struct

from acme_tools.db._sqlite import connect, migrate, run, translated
from ringfence.errors import StartRefused, ToolUnavailable
from ringfence.kernel.ports import Grant, ToolEnv
from ringfence.tools.db import Database
from ringfence.tools.db.migrations import discover
from ringfence.tools.db.rows import Answer
from ringfence.tools.db.service import COMMITTED, NOT_COMMITTED, Handles, Params
from ringfence.tools.db.sql import Statement

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

# How long until a statement that was cancelled is told again to end.
_AGAIN_S = 0.05


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of `[tools.db]` with `driver = "threads"`.

    Args:
        path: Of the file, from the application's folder; the folder that it is in must be there.
        busy_timeout_s: Seconds to wait for another process that holds the file's lock.
        readers: Reads at a time; more wait.
    """

    path: str = "threads.db"
    busy_timeout_s: Annotated[float, Meta(ge=0, le=60)] = 5.0
    readers: Annotated[int, Meta(ge=1, le=64)] = 4


class Driver:
    """A SQLite file behind the contract of `db`. Serves `service.Engine`."""

    Config: ClassVar[type[Struct]] = Config

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self._config = config
        self._env = env
        self._path = env.root / config.path
        self._handles = Handles(self)
        self._turn = asyncio.Lock()  # to write: it is given in the order of asking
        self._writer: Line | None = None
        self._idle: asyncio.LifoQueue[Line] = asyncio.LifoQueue()
        self._readers: list[Line] = []

    async def start(self) -> None:
        """Open the file and bring its schema up to date.

        Raises:
            StartRefused: The file cannot be used, or a migration is wrong.
            Busy: Another process holds the file's lock.
        """
        env = self._env
        migrations, findings = discover(env.domains, env.root, env.instance)
        if findings:
            raise StartRefused(f"{env.instance}: migrations are refused.", findings=findings)
        self._writer = Line(self._path, self._config.busy_timeout_s, writes=True)
        await self._writer.run(lambda line: migrate(line, migrations, env.clock.now()))
        for _ in range(self._config.readers):
            reader = Line(self._path, self._config.busy_timeout_s, writes=False)
            self._readers.append(reader)
            self._idle.put_nowait(reader)

    async def stop(self) -> None:
        """Refuse new work, end what runs, close the file."""
        writer, self._writer = self._writer, None
        for line in (*self._readers, *([writer] if writer else [])):
            await line.close()

    def handle(self, grant: Grant) -> Database:
        """Return the database as one plugin sees it."""
        return self._handles.handle(grant)

    async def read(self, statement: Statement, params: Params) -> Answer:
        """Run a reading statement against the last commit."""
        self._line()
        reader = await self._idle.get()
        try:
            return await reader.run(lambda line: run(line, statement, params))
        finally:
            self._idle.put_nowait(reader)

    async def begin(self) -> "Session":
        """Wait for the right to write, and open a transaction."""
        await self._turn.acquire()
        try:
            line = self._line()
            async with undone(line):
                await line.run(lambda on: on.execute("BEGIN IMMEDIATE"))
        except BaseException:
            self._turn.release()
            raise
        return Session(line, self._turn)

    def _line(self) -> "Line":
        if self._writer is None:
            raise stopped()
        return self._writer


class Session:
    """A transaction, which has the writing connection to itself. Serves `service.Session`."""

    def __init__(self, line: "Line", turn: asyncio.Lock) -> None:
        self._line = line
        self._turn = turn

    @property
    def alive(self) -> bool:
        return self._line.in_transaction

    async def run(self, statement: Statement, params: Params) -> Answer:
        return await self._line.run(lambda line: run(line, statement, params))

    async def mark(self, name: str) -> None:
        await self._line.run(lambda line: line.execute(f"SAVEPOINT {name}"))

    async def keep(self, name: str) -> None:
        await self._line.run(lambda line: line.execute(f"RELEASE {name}"))

    async def rewind(self, name: str) -> None:
        if self.alive:
            await self._line.run(lambda line: line.execute(f"ROLLBACK TO {name}"))
            await self.keep(name)

    async def commit(self) -> None:
        committed = False

        def commit(line: sqlite3.Connection) -> None:
            nonlocal committed
            line.execute("COMMIT")
            committed = True

        try:
            async with undone(self._line):
                await self._line.run(commit, to_its_end=True)
        except CancelledError as cancelled:
            cancelled.add_note(COMMITTED if committed else NOT_COMMITTED)
            raise
        finally:
            self._turn.release()

    async def rollback(self) -> None:
        try:
            await self._line.run(roll_back, to_its_end=True)
        finally:
            self._turn.release()


@asynccontextmanager
async def undone(line: "Line") -> AsyncIterator[None]:
    """Roll back what the block leaves open when it fails."""
    try:
        yield
    except BaseException:
        if line.in_transaction:
            await line.run(roll_back, to_its_end=True)
        raise


def stopped() -> ToolUnavailable:
    said = "it is not running; expected it to be started."
    return ToolUnavailable(said, subject="db", retry_after_s=1.0)


def roll_back(line: sqlite3.Connection) -> None:
    if line.in_transaction:
        line.execute("ROLLBACK")


class Line:
    """A connection, and the one thread that uses it. Whoever runs something on it has it alone."""

    def __init__(self, path: Path, busy_timeout_s: float, *, writes: bool) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="acme-db")
        self._connect = partial(connect, path, busy_timeout_s, writes=writes)
        self._open: sqlite3.Connection | None = None
        self._closed = False

    @property
    def in_transaction(self) -> bool:
        return self._open is not None and self._open.in_transaction

    async def run(self, work: Work[T], *, to_its_end: bool = False) -> T:
        """Run something on the thread, and come back when the thread has, also when cancelled.

        Args:
            work: What to run, with the connection.
            to_its_end: Whether a cancellation waits for it, instead of interrupting it.
        """
        if self._closed:
            raise stopped()
        job = asyncio.wrap_future(self._thread.submit(self._run, work))
        try:
            return await asyncio.shield(job)
        except CancelledError:
            while not job.done():
                if not to_its_end:
                    self._interrupt()
                await _waited(job)
            raise

    def _run(self, work: Work[T]) -> T:
        try:
            if self._open is None:
                self._open = self._connect()
            return work(self._open)
        except sqlite3.Error as error:
            raise translated(error, "db") from None

    def _interrupt(self) -> None:
        if self._open is not None:
            self._open.interrupt()

    async def close(self) -> None:
        """End what runs, and the thread."""
        self._closed = True
        self._interrupt()
        await asyncio.wrap_future(self._thread.submit(self._close))
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        line, self._open = self._open, None
        if line is not None:
            line.close()


async def _waited(job: "asyncio.Future[T]") -> None:
    """Wait a while for a job; a cancellation has been noticed already."""
    try:
        await asyncio.wait([job], timeout=_AGAIN_S)
    except CancelledError:
        return

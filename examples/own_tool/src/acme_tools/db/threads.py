"""SQLite with a thread for each statement that runs: the plain way, to compare others with.

Transport only: the rules of transactions are those of `ringfence.tools.db.service`, and every
driver has them from there. A transaction has the one connection that writes to itself; each read
takes one of `readers`, each stream one of `streams`. Nothing ever runs on the event loop.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Annotated, ClassVar, TypeVar

from msgspec import Meta, Struct

from acme_tools.db._border import Border
from acme_tools.db._errors import stopped
from acme_tools.db._lead import Lead
from acme_tools.db._lines import Line, Pool
from acme_tools.db._migrations import migrate
from acme_tools.db._session import Cursor, Session, undone
from acme_tools.db._sqlite import Connection, connect, data_version, run
from acme_tools.db._upkeep import Upkeep
from ringfence.errors import StartRefused
from ringfence.kernel.ports import Grant, ToolEnv
from ringfence.settings import Seconds
from ringfence.tools.db import Database
from ringfence.tools.db.engine import Ending, alone
from ringfence.tools.db.maintenance import Maintenance
from ringfence.tools.db.migrations import discover
from ringfence.tools.db.outbox import Outbox
from ringfence.tools.db.prepared import Params
from ringfence.tools.db.rows import Answer
from ringfence.tools.db.service import Handles
from ringfence.tools.db.sql import Statement
from ringfence.tools.db.timers import Timers
from ringfence.tools.db.work import Execute

R = TypeVar("R")


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of `[tools.db]` with `driver = "threads"`.

    Args:
        path: Of the file, from the application's folder; the folder that it is in must be there.
        busy_timeout_s: Seconds to wait for another process that holds the file's lock, and for one
            of `streams` to be free.
        hold: How long a transaction may last, unless it asks for longer.
        readers: Reads at a time; more wait.
        streams: Streams that may be open at a time.
    """

    path: str = "threads.db"
    busy_timeout_s: Annotated[float, Meta(ge=0, le=60)] = 5.0
    hold: Seconds = Seconds(0.5)
    readers: Annotated[int, Meta(ge=1, le=64)] = 4
    streams: Annotated[int, Meta(ge=1, le=64)] = 8


class Driver:
    """A SQLite file behind the contract of `db`. Serves `engine.Engine`."""

    Config: ClassVar[type[Struct]] = Config
    dialect = "sqlite"

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self._config = config
        self._env = env
        self._path = env.root / config.path
        self._border = Border()
        self._handles = Handles(self, env.seal)
        self._turn = asyncio.Lock()  # to write: it is given in the order of asking
        self._writer: Line | None = None
        self._readers = self._streams = Pool([], env.clock)

    async def start(self) -> None:
        """Open the file and bring its schema up to date.

        Raises:
            StartRefused: The file cannot be used, or a migration is wrong.
            Busy: Another process holds the file's lock.
        """
        config, env = self._config, self._env
        migrations, findings = discover(env.domains, env.root, env.instance, self.dialect)
        if findings:
            raise StartRefused(f"{env.instance}: migrations are refused.", findings=findings)

        def prepare(line: Connection) -> None:
            migrate(line, migrations, env.clock.now())
            self._border.load(line, migrations)

        self._writer = self._line(writes=True)
        await self._writer.run(prepare)
        self._readers = Pool([self._line() for _ in range(config.readers)], env.clock)
        lines = [self._line() for _ in range(config.streams)]
        self._streams = Pool(lines, env.clock, config.busy_timeout_s)

    def _line(self, *, writes: bool = False) -> Line:
        wait_s = self._config.busy_timeout_s
        return Line(partial(connect, self._path, wait_s, self._border, writes=writes))

    async def stop(self) -> None:
        """Refuse new work, end what runs, close the file."""
        await self._handles.stop()
        writer, self._writer = self._writer, None
        await self._streams.close()
        await self._readers.close()
        if writer is not None:
            await writer.close()
        self._border.close()

    def handle(self, grant: Grant) -> Database:
        """Return the database as one plugin sees it."""
        return self._handles.handle(grant)

    def maintenance(self) -> Maintenance:
        """Return what an operator may do with the file. Serves `maintenance.Maintained`."""
        return Upkeep(self._path, self._config.busy_timeout_s, self._env, self.dialect)

    def timers(self) -> Timers:
        """Return where the application's timers are stored. Serves `timers.KeepsTimers`."""
        return Timers(self.handle(Grant("kernel", "", self._env.instance)))

    def events(self) -> Outbox:
        """Return where the application's events are kept. Serves `outbox.KeepsEvents`."""
        grant = Grant("kernel", "", self._env.instance)
        lead = Lead(self._env.root / f"{self._config.path}-events", self._version)
        return self._handles.events(grant, lead, self._env.clock)

    async def _version(self) -> int:
        """Return a number that changes when another connection has written."""
        async with self._turn:
            return await self._running().run(data_version)

    async def read(self, statement: Statement, params: Params) -> Answer:
        """Run a reading statement against the last commit."""
        self._running()
        async with self._readers.taken() as line:
            return await line.run(lambda on: run(on, statement, params))

    def stream(self, statement: Statement, params: Params) -> Cursor:
        """Make a reading statement ready to be run piece by piece."""
        self._running()
        return Cursor(self._streams, statement, params)

    async def begin(self, holder: str, hold_s: float | None) -> Session:
        """Wait for the right to write, and open a transaction."""
        await self._turn.acquire()
        try:
            line = self._running()
            async with undone(line):
                await line.run(lambda on: on.execute("BEGIN IMMEDIATE"))
        except BaseException:
            self._turn.release()
            raise
        limit_s = float(self._config.hold) if hold_s is None else hold_s
        return Session(line, self._turn, self._env.clock, limit_s, holder)

    async def work(
        self,
        holder: str,
        function: Callable[..., object],
        call: Callable[[Execute], R],
        ending: Ending,
    ) -> R:
        """Run a unit of work on the thread, in a transaction of its own."""
        return await alone(self.begin(holder, None), lambda session: session.write(call), ending)

    def _running(self) -> Line:
        if self._writer is None:
            raise stopped()
        return self._writer

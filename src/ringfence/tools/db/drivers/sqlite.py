"""The driver `sqlite`: one file, one writer, any number of readers, nothing to install.

Transport only; the rules are in `service.py`. Statements that have proved short run on the event
loop, because handing them to a thread costs ten times what they do; slow ones and COMMIT run on
threads. Threads: one for writing, up to `readers` for slow reads and up to `streams` for streams,
each started when first needed.
Made, started and stopped by the kernel, which hands out what `handle` returns.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar

from msgspec import Meta, Struct

from ringfence.errors import StartRefused
from ringfence.kernel.ports import Grant, ToolEnv
from ringfence.settings import Seconds
from ringfence.tools.db.contract import Database, StorageFailure
from ringfence.tools.db.drivers._sqlite_file import Presence, locate, prepare
from ringfence.tools.db.drivers._sqlite_lead import Lead
from ringfence.tools.db.drivers._sqlite_line import Inline, Line, open_line, stopped
from ringfence.tools.db.drivers._sqlite_log import Log
from ringfence.tools.db.drivers._sqlite_migrations import Watch
from ringfence.tools.db.drivers._sqlite_readers import Readers
from ringfence.tools.db.drivers._sqlite_session import WriterSession
from ringfence.tools.db.drivers._sqlite_streams import StreamCursor, Streams
from ringfence.tools.db.drivers._sqlite_trouble import Alarm, app_of, newest_backup
from ringfence.tools.db.drivers._sqlite_writer import Writer
from ringfence.tools.db.drivers._worker import Job, Worker
from ringfence.tools.db.engine import Ending
from ringfence.tools.db.maintenance import Maintenance
from ringfence.tools.db.migrations import Migration, discover
from ringfence.tools.db.outbox import Outbox
from ringfence.tools.db.prepared import Params
from ringfence.tools.db.rows import Answer
from ringfence.tools.db.service import Handles
from ringfence.tools.db.sql import Statement
from ringfence.tools.db.timers import Timers
from ringfence.tools.db.work import Execute

R = TypeVar("R")

# How long stop waits for a statement or a sync that does not end; its thread is a daemon.
STOP_S = 5.0

_log = logging.getLogger("ringfence.db")


class Config(Struct, frozen=True):
    """The keys of `[tools.db]`.

    Args:
        path: The file, relative to the application's folder; by default `data/<app>.db`.
        busy_timeout_s: Seconds to wait for another process that holds the file's lock.
        hold: How long a transaction may last, unless it asks for longer: it keeps all others from
            writing.
        readers: How many slow reads may run at once, each on a thread and connection of its own.
        streams: How many streams may be open at once, likewise; more wait for `busy_timeout_s`.
        migrate: When pending migrations are applied: at the `start`, or by the `command`
            `ringfence migrate` alone; then a start is refused while some are pending.
    """

    path: str = ""
    busy_timeout_s: Annotated[float, Meta(ge=0, le=60)] = 5.0
    hold: Seconds = Seconds(0.25)
    readers: Annotated[int, Meta(ge=1, le=64)] = 2
    streams: Annotated[int, Meta(ge=1, le=64)] = 8
    migrate: Literal["start", "command"] = "start"


class _Told(Watch):
    """Tells the log of the migrations of a start, and knows what to interrupt."""

    def __init__(self) -> None:
        self.line: sqlite3.Connection | None = None
        self.at = ""

    def opened(self, line: sqlite3.Connection) -> None:
        self.line = line

    def begun(self, migration: Migration) -> None:
        self.at = migration.id

    def ended(self, migration: Migration, took_s: float) -> None:
        _log.info("migration %s applied in %.2f s", migration.id, took_s)
        self.at = ""

    def stop(self) -> None:
        if self.line is not None:
            with suppress(sqlite3.ProgrammingError):  # it has been closed
                self.line.interrupt()


class Driver:
    """SQLite behind the contract of `db`."""

    Config: ClassVar[type[Struct]] = Config
    dialect = "sqlite"

    def __init__(self, config: Struct, env: ToolEnv) -> None:
        assert isinstance(config, Config)
        self._config = config
        self._env = env
        self._handles = Handles(self, env.seal)
        self._lines: list[sqlite3.Connection] = []
        self._worker: Worker | None = None
        self._writer: Writer | None = None
        self._readers: Readers | None = None
        self._streams: Streams | None = None
        self._log: Log | None = None
        self._presence: Presence | None = None
        self._alarm = Alarm(env.clock)

    async def start(self) -> None:
        """Open the file and bring its schema up to date.

        Raises:
            StartRefused: The file is damaged or out of reach, or a migration is wrong.
            Busy: Another process holds the file's lock.
        """
        config, env = self._config, self._env
        worker = self._worker = self._worker or Worker(f"ringfence-{env.instance}-writer")
        migrations, findings = discover(env.domains, env.root, env.instance)
        if findings:
            raise StartRefused(f"{env.instance}: migrations are refused.", findings=findings)
        path = locate(config.path, env)
        told = _Told()
        try:
            job = worker.submit(lambda: self._open(path, migrations, told))
            line = await job.wait_or_stop(told.stop)
        except asyncio.CancelledError:
            if told.at:
                _log.error(
                    "migration %s was not done when the time for starting was over; nothing of it "
                    "was applied. Apply it with `ringfence migrate %s`, which has no limit",
                    told.at,
                    app_of(path),
                )
            raise
        self._presence = Presence(path, env.clock)
        inline = Inline()
        self._writer = Writer(
            line, worker, inline, env.clock, config.busy_timeout_s, float(config.hold)
        )
        reading = open_line(path, query_only=True, border=line.guard.border)
        self._readers = Readers(
            reading, path, inline, config.readers, config.busy_timeout_s, env.clock
        )
        border = line.guard.border
        self._streams = Streams(
            path, config.streams, config.busy_timeout_s, env.clock, border, self._alarm
        )
        pools = self._readers.pool, self._streams.pool
        self._log = Log(path, self._writer, pools, env.clock, float(config.hold))
        self._writer.committed = self._log.look

    def _open(self, path: Path, migrations: Sequence[Migration], watch: Watch) -> Line:
        """On the thread; kept for `stop`, which also comes after a start that was given up."""
        config, env = self._config, self._env
        new = not path.exists() or not path.stat().st_size
        line, before = prepare(
            path,
            migrations,
            env.clock,
            config.busy_timeout_s,
            apply=config.migrate == "start",
            watch=watch,
            instance=env.instance,
        )
        line.alarm = self._alarm
        self._lines.append(line)
        if new and (backup := newest_backup(path)) is not None:
            _log.warning(
                "%s was made anew, as it was not there or empty; a backup is %s", path, backup
            )
        for each in before.pending:
            if (each.domain, each.name) in before.late:
                _log.warning("migration %s came late: newer ones had been applied", each.id)
        for domain, name in before.gone:
            _log.warning(
                "migration %s/%s was applied to %s and has no file here", domain, name, path
            )
        return line

    def _close(self) -> None:
        """On the thread, after all that was given to it before."""
        while self._lines:
            self._lines.pop().close()

    async def stop(self) -> None:
        """Refuse new work, let what runs come to its end, close the file."""
        await self._handles.stop()
        writer, worker = self._writer, self._worker
        reading = [each for each in (self._readers, self._streams) if each is not None]
        self._writer = self._readers = self._streams = self._worker = None
        workers: list[Worker] = []
        closing: list[Job[None]] = []
        for each in reading:
            each.close()
            workers += [reader.worker for reader in each.pool.all]
            closing += [reader.worker.submit(reader.close) for reader in each.pool.all]
        if writer is not None:
            writer.close()
        if worker is not None:
            workers.append(worker)
            closing.append(worker.submit(self._close))
        for ending in workers:
            ending.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                if self._log is not None:
                    await self._log.close()
                for job in closing:
                    await job.wait()
                for ending in workers:
                    ending.join(STOP_S)

    def maintenance(self) -> Maintenance:
        """Serve `maintenance.Maintained`."""
        from ringfence.tools.db.drivers._sqlite_upkeep import Upkeep  # a start has no use for it

        return Upkeep(self._config.path, self._config.busy_timeout_s, self._env)

    def handle(self, grant: Grant) -> Database:
        """Return the database as one plugin sees it."""
        return self._handles.handle(grant)

    def timers(self) -> Timers:
        """Return where the application's timers are stored, for the kernel itself."""
        return Timers(self.handle(Grant("kernel", "", self._env.instance)))

    def events(self) -> Outbox:
        """Return where the application's events are kept, for the kernel itself."""
        config, env = self._config, self._env
        lead = Lead(lambda: locate(config.path, env), lambda: self._present().version())
        return self._handles.events(Grant("kernel", "", env.instance), lead, env.clock)

    async def read(self, statement: Statement, params: Params) -> Answer:
        """Serve `service.Engine`."""
        if self._readers is None:
            raise stopped()
        try:
            return await self._readers.read(statement, params)
        except StorageFailure as failure:
            self._alarm(failure)
            raise

    def stream(self, statement: Statement, params: Params) -> StreamCursor:
        """Serve `service.Engine`."""
        if self._streams is None:
            raise stopped()
        return self._streams.stream(statement, params)

    def trouble(self) -> str:
        """Return what keeps it from being written to; nothing where it is well."""
        try:
            if self._presence is not None:
                self._presence.check()
        except StorageFailure as failure:
            return str(failure)
        return ""

    def begin(self, holder: str, hold_s: float | None) -> Coroutine[object, None, WriterSession]:
        """Serve `service.Engine`."""
        return self._present().begin(holder, hold_s)

    def work(
        self,
        holder: str,
        function: Callable[..., object],
        call: Callable[[Execute], R],
        ending: Ending,
    ) -> Coroutine[object, None, R]:
        """Serve `service.Engine`."""
        return self._present().units.run(holder, function, call, ending)

    def _present(self) -> Writer:
        if self._writer is None or self._presence is None:
            raise stopped()
        try:
            self._presence.check()
        except StorageFailure as failure:
            self._alarm(failure)
            raise
        return self._writer

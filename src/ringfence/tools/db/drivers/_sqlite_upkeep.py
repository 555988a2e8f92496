"""Maintenance of a SQLite file: what `ringfence migrate` and `ringfence db` do.

Each operation runs on a thread of its own, which ends with it; the driver need not run. Made by
`sqlite.py`.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from ringfence.errors import Finding, StartRefused
from ringfence.kernel.ports import ToolEnv
from ringfence.tools.db.contract import StorageFailure
from ringfence.tools.db.drivers._sqlite_copy import Work, back_up, open_plain
from ringfence.tools.db.drivers._sqlite_examination import examine
from ringfence.tools.db.drivers._sqlite_file import inspect, locate, prepare, refused
from ringfence.tools.db.drivers._sqlite_migrations import outlook
from ringfence.tools.db.drivers._sqlite_restore import restore
from ringfence.tools.db.drivers._sqlite_trouble import backup_name, make_folder
from ringfence.tools.db.drivers._worker import Worker
from ringfence.tools.db.maintenance import Backup, Examination, Plan, Progress, Restored
from ringfence.tools.db.migrations import Migration, discover
from ringfence.tools.db.outlook import Outlook, compared

R = TypeVar("R")


class Upkeep:
    """One file, for its operator."""

    def __init__(self, configured: str, busy_timeout_s: float, env: ToolEnv) -> None:
        self._configured = configured
        self._wait_s = busy_timeout_s
        self._env = env

    def findings(self) -> list[Finding]:
        return discover(self._env.domains, self._env.root, self._env.instance)[1]

    def examine(self, limit_s: float) -> Examination:
        migrations = self._migrations()
        path = locate(self._configured, self._env, make=False)
        return examine(path, migrations, self._env.instance, limit_s)

    async def plan(self) -> Plan:
        migrations = self._migrations()
        path = locate(self._configured, self._env, make=False)

        def look() -> Outlook:
            inspect(path, wait_s=self._wait_s)
            if not path.exists() or not path.stat().st_size:
                return compared({}, migrations)
            try:
                with closing(open_plain(path, self._wait_s)) as line:
                    return outlook(line, migrations, self._env.instance)
            except sqlite3.Error as error:
                raise refused(path, error) from None

        return (await self._do(look, lambda: None)).plan(str(path))

    async def migrate(self, progress: Progress) -> Plan:
        plan = await self.plan()
        if not plan.pending:
            return plan
        migrations = self._migrations()
        path = locate(self._configured, self._env)
        work = Work(progress)

        def apply() -> Outlook:
            line, before = prepare(
                path,
                migrations,
                self._env.clock,
                self._wait_s,
                watch=work,
                instance=self._env.instance,
            )
            line.close()
            return before

        return (await self._do(apply, work.stop)).plan(str(path))

    async def backup(self, to: Path | None, progress: Progress) -> Backup:
        path = locate(self._configured, self._env, make=False)
        usual = backup_name(path, self._env.clock.now())
        work = Work(progress)

        def write() -> Backup:
            if to is None and path.exists():
                make_folder(usual)
            target = usual if to is None else to / usual.name if to.is_dir() else to
            return Backup(str(target), back_up(path, target, self._wait_s, work), str(path))

        return await self._do(write, work.stop)

    async def restore(self, source: Path, progress: Progress) -> Restored:
        migrations = self._migrations()
        path = locate(self._configured, self._env)
        work = Work(progress)
        clock, wait_s = self._env.clock, self._wait_s
        kept, before = await self._do(
            lambda: restore(path, source, migrations, clock, wait_s, work), work.stop
        )
        return Restored(str(path), str(source), str(kept or ""), before.plan(str(path)).pending)

    def _migrations(self) -> list[Migration]:
        env = self._env
        migrations, findings = discover(env.domains, env.root, env.instance)
        if findings:
            raise StartRefused(f"{env.instance}: migrations are refused.", findings=findings)
        return migrations

    async def _do(self, call: Callable[[], R], stop: Callable[[], None]) -> R:
        worker = Worker(f"ringfence-{self._env.instance}-upkeep")
        try:
            return await worker.submit(call).wait_or_stop(stop)
        except OSError as error:
            where = error.filename or self._env.instance
            raise StorageFailure(f"{where}: {error.strerror or error}.", subject="db") from None
        finally:
            worker.end()

"""Maintenance of a file: what `ringfence migrate` and `ringfence db` do with this driver.

Each operation has connections and a thread of its own, and the driver need not run. Invariant: of
what was there before nothing is changed until all that could be refused has been looked at. Made by
`threads.py`.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from acme_tools.db._border import Border
from acme_tools.db._migrations import migrate, recorded
from acme_tools.db._sqlite import Connection, connect, opened
from acme_tools.db._work import Work, named, taken, unnamed
from ringfence.errors import Finding, StartRefused
from ringfence.kernel.ports import ToolEnv
from ringfence.tools.db.maintenance import Backup, Plan, Progress, Restored
from ringfence.tools.db.migrations import Migration, discover
from ringfence.tools.db.outlook import Key, Outlook, compared, expect_known


class Upkeep:
    """One file, for its operator. Serves `maintenance.Maintenance`.

    Args:
        path: The file.
        wait_s: How long to wait for another process that has its lock.
        env: The driver's.
        dialect: Whose migrations to take.
    """

    def __init__(self, path: Path, wait_s: float, env: ToolEnv, dialect: str) -> None:
        self._path = path
        self._wait_s = wait_s
        self._env = env
        self._dialect = dialect

    def findings(self) -> list[Finding]:
        return self._discovered()[1]

    def _discovered(self) -> tuple[list[Migration], list[Finding]]:
        env = self._env
        return discover(env.domains, env.root, env.instance, self._dialect)

    def _migrations(self) -> list[Migration]:
        migrations, findings = self._discovered()
        if findings:
            raise StartRefused(f"{self._env.instance}: migrations are refused.", findings=findings)
        return migrations

    async def plan(self) -> Plan:
        migrations = self._migrations()

        def look(work: Work) -> Outlook:
            return compared(self._recorded(work), migrations)

        return (await Work(self._wait_s).run(look)).plan(str(self._path))

    def _recorded(self, work: Work) -> Mapping[Key, str]:
        if not self._path.exists():
            return {}
        with work.on(self._path, self._open) as line:
            return recorded(line)

    def _open(self, path: Path) -> Connection:
        return opened(path, self._wait_s, "ro")

    def _open_to_write(self, path: Path) -> Connection:
        return connect(path, self._wait_s, Border(), writes=True)

    async def migrate(self, progress: Progress) -> Plan:
        plan = await self.plan()
        if not plan.pending:
            return plan
        migrations = self._migrations()

        def apply(work: Work) -> Outlook:
            with work.on(self._path, self._open_to_write) as line:
                return migrate(line, migrations, self._env.clock.now(), work.part)

        return (await Work(self._wait_s, progress).run(apply)).plan(str(self._path))

    async def backup(self, to: Path | None, progress: Progress) -> Backup:
        usual = self._usual()

        def back_up(work: Work) -> Backup:
            target = usual if to is None else to / usual.name if to.is_dir() else to
            return self._back_up(target, work)

        return await Work(self._wait_s, progress).run(back_up)

    def _usual(self, note: str = "") -> Path:
        stamp = f"{self._env.clock.now():%Y%m%dT%H%M%S%fZ}"
        return self._path.with_name(f"{self._path.stem}-{stamp}{note}.db")

    def _back_up(self, target: Path, work: Work) -> Backup:
        if not self._path.exists():
            raise StartRefused(f"db: {self._path} does not exist; there is nothing to back up.")
        if target.exists():
            raise taken(target)
        with unnamed(target) as part:
            self._copy(self._path, part, work)
            size_bytes = part.stat().st_size
            named(part, target)
        return Backup(str(target), size_bytes, str(self._path))

    def _copy(self, source: Path, part: Path, work: Work) -> None:
        """Copy one moment of a database into an empty file, and check all of it."""
        with work.on(source, self._open) as line, closing(opened(part, 0, "rw")) as target:
            target.execute("PRAGMA journal_mode = OFF")  # nobody knows the file yet
            target.execute("PRAGMA synchronous = OFF")
            line.execute("BEGIN")  # one snapshot, whoever writes meanwhile
            line.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            with work.part("copy"):
                work.pour(line, target)
        with work.part("check"), work.on(part, lambda path: opened(path, 0, "rw")) as line:
            line.execute("PRAGMA journal_mode = DELETE")  # without a log beside it
            verdict = str(line.execute("PRAGMA quick_check(1)").fetchone()[0])
        if verdict != "ok":
            raise StartRefused(f"db: {source} is damaged: {' '.join(verdict.split())}.")

    async def restore(self, source: Path, progress: Progress) -> Restored:
        migrations = self._migrations()
        kept = self._usual("-before-restore")

        def put_back(work: Work) -> Restored:
            return self._restore(source, migrations, kept, work)

        return await Work(self._wait_s, progress).run(put_back)

    def _restore(
        self, source: Path, migrations: Sequence[Migration], kept: Path, work: Work
    ) -> Restored:
        if not source.is_file():
            raise StartRefused(f"db: {source} is no file; expected a backup.")
        there = self._path.exists()
        with unnamed(self._path) as part:
            self._copy(source, part, work)
            with work.on(part, self._open_to_write) as line:
                applied = recorded(line)
                if not applied:
                    raise StartRefused(
                        f"db: {source} has no record of migrations; nothing is done."
                    )
                before = compared(applied, migrations, str(source))
                expect_known(before, source, self._recorded(work) if there else {})
                migrate(line, migrations, self._env.clock.now(), work.part)
            if there:
                self._back_up(kept, work)
            with work.on(part, self._open) as line, work.part("replace"):
                self._replace(line, work)
        steps = before.plan("").pending
        return Restored(str(self._path), str(source), str(kept) if there else "", steps)

    def _replace(self, line: Connection, work: Work) -> None:
        """Write all pages in one transaction: others find the state before, or the one after."""
        with closing(self._open_to_write(self._path)) as live:
            work.pour(line, live)

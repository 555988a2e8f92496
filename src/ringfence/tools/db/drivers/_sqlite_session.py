"""One transaction on the writing connection.

Statements that have proved short run on the event loop, others on the writer's thread. A write
there may have to be interrupted, which ends the whole of SQLite's transaction: so what others have
ended is committed first. Invariant: it passes the turn on exactly once, however it ends. Made by
`_sqlite_writer.py`.
"""

import asyncio
import logging
import math
import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from ringfence.errors import ToolError
from ringfence.tools.db.contract import HeldTooLong, SerializationFailure, StorageFailure
from ringfence.tools.db.drivers._sqlite_group import Failure, Group
from ringfence.tools.db.drivers._sqlite_line import (
    Pacing,
    measured,
    native,
    run,
    run_many,
    run_on_thread,
    stopped,
    translated,
)
from ringfence.tools.db.drivers._worker import Job
from ringfence.tools.db.held import whereabouts
from ringfence.tools.db.prepared import Params
from ringfence.tools.db.rows import Answer
from ringfence.tools.db.sql import Kind, Pace, Statement
from ringfence.tools.db.work import Execute

if TYPE_CHECKING:
    from ringfence.tools.db.drivers._sqlite_writer import Writer

R = TypeVar("R")
_log = logging.getLogger("ringfence.db")

# Up to so many rows of one `execute_many` are written on the event loop: about a millisecond.
_FEW_ROWS = 200


class WriterSession:
    """A transaction; `member` says that others have ended before it in the same group.

    `ends_at` is when it has held the connection for too long, on the driver's clock.
    """

    def __init__(
        self,
        writer: "Writer",
        group: Group,
        holder: str,
        member: bool,
        hold_s: float,
        began_at: float,
    ) -> None:
        self.ends_at = began_at + hold_s
        self.ended: Failure | None = None
        self._writer = writer
        self._line = writer.line
        self._group = group
        self._holder = holder
        self._member = member
        self._hold_s = hold_s
        self._began_at = began_at
        self._task = asyncio.current_task()
        self._job: Job[object] | None = None
        self._parting = False  # the connection is COMMIT's, or waits for another process
        self._marks: list[str] = []
        self._harmless = True  # whether what is on the thread may be interrupted
        self._read = False
        self._wrote = False
        self._lost = False
        self._left = False

    @property
    def alive(self) -> bool:
        return (
            not self._left
            and self.ended is None
            and not self._writer.turn.closed
            and self._line.in_transaction
        )

    # ---- statements

    async def run(self, statement: Statement, params: Params) -> Answer:
        self._use()
        values = native(params, statement.shown)
        line, writes = self._line, statement.kind is Kind.WRITE
        if statement.pace is not Pace.SHORT:
            return await self._on_thread(lambda: run_on_thread(line, statement, values), writes)
        self._note(writes)
        inline = self._writer.inline
        try:
            answer = inline.run(line, statement, values)
        except BaseException:
            self._notice_loss()
            raise
        if inline.due():
            await asyncio.sleep(0)
        return answer

    async def run_many(self, statement: Statement, rows: Sequence[Params]) -> int:
        self._use()
        values = [native(params, statement.shown) for params in rows]
        line = self._line
        if statement.pace is not Pace.SHORT or len(values) > _FEW_ROWS:
            return await self._on_thread(lambda: run_many(line, statement, values), True)
        self._note(writes=True)
        try:
            return run_many(line, statement, values)
        except BaseException:
            self._notice_loss()
            raise

    async def work(self, pacing: Pacing, call: Callable[[Execute], R]) -> R:
        """Run a unit of work: here once it has proved short, until then on the thread."""
        self._use()
        if pacing.pace is not Pace.SHORT:
            return await self._on_thread(
                lambda: measured(pacing, lambda: call(self._execute)), True
            )
        try:
            return self._writer.inline.work(pacing, call, self._execute)
        except BaseException:
            self._notice_loss()
            raise

    def _execute(self, statement: Statement, params: Params) -> Answer:
        """For a unit of work, on the thread or the loop that it runs on."""
        if self.ended is not None:
            raise self.ended()
        values = native(params, statement.shown)
        self._note(statement.kind is Kind.WRITE)
        return run(self._line, statement, values)

    async def _on_thread(self, call: Callable[[], R], writes: bool) -> R:
        if writes:
            await self._part()
        self._harmless = not (writes and self._group.members)
        self._note(writes)
        job = self._writer.worker.submit(call)
        self._job = cast(Job[object], job)
        try:
            return await job.wait_or_stop(self._line.interrupt if self._harmless else _let_it_end)
        except ToolError:
            if self.ended is not None:
                raise self.ended() from None
            raise
        finally:
            self._job = None
            self._notice_loss()
            if self.ended is not None:
                self.undo()

    async def _part(self) -> None:
        """Have what others have ended committed, so that only this one is lost if it is stopped."""
        if not self._group.members:
            return
        writer = self._writer
        if self._wrote:  # too late this time: it runs to its end
            writer.keep_apart(self._holder)
            return
        seen, before = self._version(), self._group
        self._writer.do("RELEASE ringfence_member")
        self._member = False
        await self._begin_anew()
        for name in self._marks:
            self._writer.do(f"SAVEPOINT {name}")
        if self._read and (before.failure is not None or seen != self._version()):
            raise SerializationFailure(
                "another process wrote while this transaction was under way.",
                subject="db.transaction",
                hint="Try again; nothing of it was kept.",
            )

    async def _begin_anew(self) -> None:
        """Commit what others have ended, and go on in a group of one's own; the time that this
        takes is not the holder's."""
        writer = self._writer
        left_s = self.ends_at - writer.clock.monotonic()
        self._parting, self.ends_at = True, math.inf
        try:
            await writer.commit_now()
            self._use()
            await writer.open()
            assert writer.group is not None
            self._group = writer.group
            self._use()
        finally:
            self._parting, self.ends_at = False, writer.clock.monotonic() + left_s
            writer.watch(self.ends_at)

    def _version(self) -> int:
        """Return a number that changes when another connection has committed."""
        version: int = self._line.execute("PRAGMA data_version").fetchone()[0]
        return version

    def _note(self, writes: bool) -> None:
        self._wrote = self._wrote or writes
        self._read = True

    def _use(self) -> None:
        if self.ended is not None:
            raise self.ended()
        if self._writer.turn.closed:
            raise stopped()

    def _notice_loss(self) -> None:
        """A full disk, a failing one or an interrupt may have ended SQLite's transaction."""
        if not self._left and self._writer.usable and not self._line.in_transaction:
            self._lost = True
            self._writer.lose(self._group)

    # ---- savepoints

    async def mark(self, name: str) -> None:
        self._use()
        self._writer.do(f"SAVEPOINT {name}")
        self._marks.append(name)

    async def keep(self, name: str) -> None:
        self._use()
        self._writer.do(f"RELEASE {name}")
        self._marks.pop()

    async def rewind(self, name: str) -> None:
        self._marks.pop()
        if self.alive:
            self._writer.do(f"ROLLBACK TO {name}")
            self._writer.do(f"RELEASE {name}")

    # ---- its end

    async def commit(self) -> None:
        if self.ended is not None:
            raise self.ended()
        if not self.alive:
            self._leave()
            raise StorageFailure("the transaction was lost.", subject="db.transaction")
        group = self._group
        if self._member:
            try:
                self._writer.do("RELEASE ringfence_member")
            except BaseException:
                self.undo()
                raise
        now = self._writer.clock.monotonic()
        group.join(self._holder, self._wrote, now)
        self._leave(now)
        await group.outcome()

    async def rollback(self) -> None:
        """Undo it; its failure is known only when what it saw of others is known to be kept."""
        self.undo()
        if self._member and not self._lost:
            await self._group.outcome(undone=True)

    async def fail(self, error: BaseException) -> None:
        """End it after that error of a unit of work."""
        self._notice_loss()
        if isinstance(error, Exception):
            await self.rollback()
        else:
            self.undo()

    def undo(self) -> None:
        """Undo it and answer nothing: for whoever is cancelled."""
        if self._left:
            return
        try:
            if not self._writer.usable or self._writer.group is not self._group:
                return
            if not self._member:
                self._writer.group = None
                if self._line.in_transaction:
                    self._line.step("ROLLBACK")
            elif self._line.in_transaction:
                self._line.step("ROLLBACK TO ringfence_member")
                self._line.step("RELEASE ringfence_member")
        except sqlite3.Error as error:
            self._writer.lose(self._group)
            raise translated(error, "db.transaction", self._line) from None
        finally:
            self._leave()

    def _leave(self, now: float | None = None) -> None:
        self._left = True
        now = self._writer.clock.monotonic() if now is None else now
        self._writer.leave(self._holder, now - self._began_at, now)

    # ---- ended by others

    def expire(self) -> None:
        """It has held the connection for too long: undo it, now or as soon as it can be."""
        places = whereabouts(self._task, self._holder)
        held = "\n".join(f"    {place}" for place in places) or "    nowhere that can be seen"
        self.ended = lambda: _too_long(self._holder, self._hold_s, places)
        _log.warning(
            "transaction of %s: rolled back; it held the database for over %g s, at\n%s",
            self._holder,
            self._hold_s,
            held,
        )
        self._end_now()

    def give_up(self) -> None:
        """The driver stops."""
        self.ended = stopped
        self._end_now()

    def _end_now(self) -> None:
        if self._parting:
            return  # it finds out when it has the connection again
        if self._job is None:
            self.undo()
        elif self._harmless:
            self._job.insist(self._line.interrupt)


def _let_it_end() -> None:
    """Do nothing: to interrupt it would undo what others have ended."""


def _too_long(holder: str, hold_s: float, places: tuple[str, ...]) -> ToolError:
    own = f"/{holder.replace('.', '/')}.py:"  # rather than what it called, such as asyncio
    place = next((each for each in reversed(places) if own in each), "".join(places[-1:]))
    where = f", at {place}" if place else ""
    return HeldTooLong(
        f"it held the database for over {hold_s:g} s{where}; it was rolled back, and nothing of it "
        "was kept.",
        subject=f"transaction of {holder}",
        hint="Let nothing wait inside it, or allow it longer: `transaction(hold_s=…)`.",
    )

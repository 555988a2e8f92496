"""The one writing connection: who has it, and which transactions share a COMMIT.

Transactions run one after another, each to its end, inside one BEGIN: the first as it is, those
that follow in a savepoint. When nobody waits for the turn, or the group is due, one COMMIT decides
for all of them, on the worker's thread; until then none of them answers, and readers see none of
it. Invariant: while a job is on the thread nobody else touches the connection. Called by
`sqlite.py`.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from ringfence.errors import ToolError
from ringfence.kernel.ports import Clock, Timer
from ringfence.tools.db.contract import Busy, SerializationFailure, StorageFailure
from ringfence.tools.db.drivers._sqlite_group import Group, Turn
from ringfence.tools.db.drivers._sqlite_line import Inline, Line, patience, stopped, translated
from ringfence.tools.db.drivers._sqlite_lock import writer
from ringfence.tools.db.drivers._sqlite_session import WriterSession
from ringfence.tools.db.drivers._sqlite_units import Units
from ringfence.tools.db.drivers._worker import Job, Worker

# How long one attempt at another process's lock lasts: a cancelled wait ends this soon.
_SLICE_S = 0.05
# Who has held the connection for longer than this is kept apart from what others have ended, for
# so many of his transactions: the others would wait for him with their answers.
_SLOW_S = 0.005
_APART = 8
_MOST_APART = 64


class Writer:
    """The writing connection, its thread, its turn, and the group that is open on it."""

    def __init__(
        self,
        line: Line,
        worker: Worker,
        inline: Inline,
        clock: Clock,
        busy_timeout_s: float,
        hold_s: float,
    ) -> None:
        self.line = line
        self.worker = worker
        self.inline = inline
        self.clock = clock
        self.turn = Turn(self._when_idle)
        self.units = Units(self)
        self.group: Group | None = None  # set while a BEGIN is in force
        self.holder: WriterSession | None = None
        self.committed: Callable[[], object] = _settled_alone  # called after each COMMIT that wrote
        self.usable = True  # the connection may be used on the event loop
        self._busy_timeout_s = busy_timeout_s
        self._hold_s = hold_s
        self._slow: dict[str, int] = {}
        self._soon = False
        self._timer: Timer | None = None
        self._timer_at = 0.0

    # ---- taking the turn

    async def begin(self, holder: str, hold_s: float | None) -> WriterSession:
        """Take the turn and open a transaction, in the group that is open or in a new one.

        Args:
            holder: The plugin that asks.
            hold_s: How long it may last; None for what is configured.
        """
        member = self.open_now(holder)
        if member is None:
            member = await self._open_in_turn(holder)
        session = self.holder = self.session(holder, member, hold_s, self.clock.monotonic())
        self.watch(session.ends_at)
        return session

    def open_now(self, holder: str) -> bool | None:
        """Take the turn and open a transaction, as `begin`, if nothing has to be waited for.

        Returns:
            Whether others have ended before it in the same group; None if it has to wait.
        """
        if holder in self._slow or not self.turn.seize_here():
            return None
        member = self.group is not None
        try:
            self.line.step("SAVEPOINT ringfence_member" if member else "BEGIN IMMEDIATE")
        except sqlite3.Error:  # what it is, whoever waits for the lock is told
            self.turn.give()
            return None
        if not member:
            self.group = Group()
        return member

    async def _open_in_turn(self, holder: str) -> bool:
        asked_at = self.clock.monotonic()
        await self.turn.take()
        try:
            if self.group is not None and holder in self._slow:
                await self.commit_now()
            if self.turn.closed:
                raise stopped()
            member = self.group is not None
            if member:
                self.do("SAVEPOINT ringfence_member")
            else:
                await self.open(asked_at)
        except BaseException:
            self.pass_on(self.clock.monotonic())
            raise
        return member

    def session(
        self, holder: str, member: bool, hold_s: float | None, began_at: float
    ) -> WriterSession:
        """Return the transaction that has been opened, for whoever needs more than its end."""
        assert self.group is not None
        limit_s = self._hold_s if hold_s is None else hold_s
        return WriterSession(self, self.group, holder, member, limit_s, began_at)

    def do(self, sql: str) -> None:
        """Run what marks a transaction or ends it."""
        try:
            self.line.step(sql)
        except sqlite3.Error as error:
            raise translated(error, "db.transaction", self.line) from None

    async def open(self, asked_at: float | None = None) -> None:
        """BEGIN, for whoever has the turn; who has waited for that has waited for the lock."""
        try:
            self.do("BEGIN IMMEDIATE")
        except Busy:
            waited_s = 0.0 if asked_at is None else self.clock.monotonic() - asked_at
            await self._open_later(self._busy_timeout_s - waited_s)
        self.group = Group()

    async def _open_later(self, left_s: float) -> None:
        """Wait for another process to let go; SQLite can only wait on a thread."""
        unwanted = threading.Event()
        job = self.worker.submit(lambda: self._open_in_slices(unwanted, left_s))
        try:
            await job.wait_or_stop(unwanted.set)
        except BaseException:  # cancelled, perhaps just when it had the lock
            if self.usable and self.line.in_transaction:
                self.line.execute("ROLLBACK")
            raise

    def _open_in_slices(self, unwanted: threading.Event, left_s: float) -> None:
        slices = max(1, round(left_s / _SLICE_S))
        with patience(self.line, _SLICE_S):
            for left in reversed(range(slices)):
                try:
                    self.line.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.Error as error:
                    refused = translated(error, "db.transaction", self.line)
                    if self.turn.closed:
                        raise stopped() from None
                    if not isinstance(refused, Busy) or not left or unwanted.is_set():
                        raise self._told(refused) from None

    def _told(self, refused: ToolError) -> ToolError:
        if isinstance(refused, Busy):
            who = writer(self.line.path)
            refused.message = (
                f"{who} holds the database's lock; expected it within {self._busy_timeout_s:g} s."
            )
        return refused

    async def version(self) -> int:
        """Return a number that changes when another process has written."""
        await self.turn.take()
        try:
            version: int = self.line.execute("PRAGMA data_version").fetchone()[0]
        finally:
            self.pass_on(self.clock.monotonic())
        return version

    # ---- passing it on

    def pass_on(self, now: float) -> None:
        """Let the next one write, or commit what has gathered: the connection is free."""
        self.holder = None
        if self.group is not None and self.group.is_due(now):
            self._commit_group()
        else:
            self.turn.give()

    def _when_idle(self) -> None:
        """Commit once whatever is ready to run has had its chance to join."""
        if self.group is not None and self.usable and not self._soon:
            self._soon = True
            asyncio.get_running_loop().call_soon(self._commit_if_idle)

    def _commit_if_idle(self) -> None:
        self._soon = False
        if self.group is not None and self.turn.seize():
            self._commit_group()

    def leave(self, holder: str, held_s: float, now: float) -> None:
        """Pass it on; remember who has held it for long, until he has been short often enough."""
        apart = self._slow.get(holder, 0)
        if held_s > _SLOW_S:
            self.keep_apart(holder)
        elif apart > 1:
            self._slow[holder] = apart - 1
        elif apart:
            del self._slow[holder]
        self.pass_on(now)

    def keep_apart(self, holder: str) -> None:
        """Let what others have ended be committed before he writes."""
        self._slow[holder] = min(_MOST_APART, self._slow.get(holder, 0) + _APART)

    # ---- COMMIT

    def _commit_group(self) -> None:
        """Commit what has gathered; the turn is the COMMIT's until it is over."""
        group = self.group
        assert group is not None
        self.group = None
        if not group.wrote:
            self._settle(group, self._committed_here())
            self.turn.give()
            return
        job = self.worker.submit(self._commit, then=lambda: self._settled(group, job))

    def _settled(self, group: Group, job: Job[None]) -> None:
        self._settle(group, job.error)
        self.turn.give()

    async def commit_now(self) -> None:
        """Commit what has gathered, for whoever has the turn and goes on with it."""
        group = self.group
        assert group is not None
        self.group = None
        if not group.wrote:
            self._settle(group, self._committed_here())
            return
        job = self.worker.submit(self._commit, then=lambda: self._settle(group, job.error))
        cancelled = await job.outcome()
        if cancelled is not None:
            raise cancelled

    def _committed_here(self) -> BaseException | None:
        try:
            self._commit()
        except (sqlite3.Error, ToolError) as error:
            return error
        return None

    def _commit(self) -> None:
        """On the thread, where there is something to sync."""
        if not self.line.in_transaction:
            raise StorageFailure("the transaction was lost.", subject="db.transaction")
        try:
            # Not execute("COMMIT"): this wants the interpreter's lock back once, not three times.
            self.line.commit()
        except sqlite3.Error:
            with suppress(sqlite3.Error):  # a full disk may have ended it already
                self.line.rollback()
            raise

    def _settle(self, group: Group, error: BaseException | None) -> None:
        if error is None:
            group.settle(None)
            if group.wrote:
                self.committed()
            return
        if isinstance(error, sqlite3.IntegrityError) and group.members > 1:
            # Which of them it was, nobody can tell; each on his own will be told by his own COMMIT.
            for holder in group.holders:
                self.keep_apart(holder)
            group.settle(partial(_shared, str(error)))
        elif isinstance(error, sqlite3.Error):
            told = translated(error, "db.transaction", self.line)
            group.settle(partial(_again, told))
        else:
            group.settle(partial(_again, error))

    def lose(self, group: Group) -> None:
        """SQLite has ended the whole transaction by itself; nothing of the group was kept."""
        if self.group is group:
            self.group = None
        group.settle(_lost)

    # ---- how long one may hold it

    def watch(self, ends_at: float) -> None:
        """Look again when the holder's time is up; one timer serves all who are short."""
        if ends_at == float("inf") or self.turn.closed:
            return
        if self._timer is not None:
            if self._timer_at <= ends_at:
                return
            self._timer.cancel()
        self._timer_at = ends_at
        self._timer = self.clock.call_at(ends_at, self._look)

    def _look(self) -> None:
        self._timer = None
        holder = self.holder
        if holder is None:
            return
        if self.clock.monotonic() >= holder.ends_at:
            holder.expire()
        else:
            self.watch(holder.ends_at)

    # ---- the end

    def close(self) -> None:
        """Refuse who waits and who comes, undo what is in progress, commit what has ended."""
        self.turn.close()
        if self._timer is not None:
            self._timer.cancel()
        holder = self.holder
        if holder is not None:
            holder.give_up()
        self.usable = False
        group, self.group = self.group, None
        if group is not None and group.members:
            rest = partial(self._commit_rest, holder is not None and self.holder is holder)
            job = self.worker.submit(rest, then=lambda: self._settle(group, job.error))

    def _commit_rest(self, held: bool) -> None:
        """On the thread, after what is in progress there, which is undone."""
        if held and self.line.in_transaction:
            self.line.execute("ROLLBACK TO ringfence_member")
        self._commit()


def _settled_alone() -> None:
    """Nobody wants to know."""


def _lost() -> ToolError:
    return SerializationFailure(
        "the transaction that it shared with others was lost; nothing of it was kept.",
        subject="db.transaction",
        hint="Try again.",
    )


def _shared(reason: str) -> ToolError:
    return SerializationFailure(
        f"the COMMIT that it shared with others failed ({reason}); nothing of it was kept.",
        subject="db.transaction",
        hint="Try again; a constraint that is deferred fails at COMMIT, whoever broke it.",
    )


def _again(error: BaseException) -> ToolError:
    assert isinstance(error, ToolError)
    return type(error)(
        error.message, subject=error.subject, hint=error.hint, retry_after_s=error.retry_after_s
    )

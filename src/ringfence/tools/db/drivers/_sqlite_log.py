"""Bounds the write-ahead log while reads overlap without a gap.

SQLite begins its log anew only when nobody reads of it, which COMMIT cannot wait for. Once the log
has outgrown LOG_BYTES, `Log` takes the turn to write like any transaction, and waits on the
writer's thread until all of it is in the database and nobody needs it, or gives up. Invariant: it
has the turn for no longer than a transaction may. Made by `sqlite.py`; called by
`_sqlite_writer.py` after each COMMIT.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ringfence.errors import ToolError
from ringfence.kernel.ports import Clock
from ringfence.tools.db.drivers._sqlite_line import LOG_BYTES, patience
from ringfence.tools.db.drivers._sqlite_lock import users
from ringfence.tools.db.drivers._sqlite_readers import Pool
from ringfence.tools.db.drivers._sqlite_trouble import shown_bytes
from ringfence.tools.db.drivers._sqlite_wal import log_of
from ringfence.tools.db.drivers._sqlite_writer import Writer
from ringfence.tools.db.sql import signature

# Of the time that it has: the rest is for copying.
_WAITING = 0.8

_logger = logging.getLogger("ringfence.db")


class Log:
    """The log of one file that is open.

    Args:
        path: The database.
        writer: Whose turn and thread it takes.
        pools: Those who may be reading.
        clock: By which it gives up.
        hold_s: After so long.
    """

    def __init__(
        self, path: Path, writer: Writer, pools: Sequence[Pool], clock: Clock, hold_s: float
    ) -> None:
        self._path = path
        self._log = log_of(path)
        self._writer = writer
        self._pools = pools
        self._clock = clock
        self._hold_s = hold_s
        self._due = LOG_BYTES
        self._emptying: asyncio.Task[None] | None = None

    def look(self) -> None:
        """See to it that the log is emptied if it has outgrown its limit, or once more if it could
        not be and has grown by as much again."""
        size = self._size()
        if size <= LOG_BYTES:
            self._due = LOG_BYTES
        elif size > self._due and self._emptying is None and not self._writer.turn.closed:
            self._emptying = asyncio.get_running_loop().create_task(self._empty())

    def _size(self) -> int:
        try:
            return self._log.stat().st_size
        except OSError:  # it was taken away, which `Presence` tells
            return 0

    async def close(self) -> None:
        """Wait for what runs; the turn is closed, so it is soon over."""
        if self._emptying is not None:
            await asyncio.wait([self._emptying])

    async def _empty(self) -> None:
        writer = self._writer
        try:
            with suppress(ToolError):  # the driver is being stopped
                await writer.turn.take()
                try:
                    if writer.group is not None:
                        await writer.commit_now()
                    if not writer.turn.closed:  # then the thread has had its last job
                        await self._attempt()
                finally:
                    writer.turn.give()
        finally:
            self._emptying = None

    async def _attempt(self) -> None:
        """Empty it, for whoever has the turn; tell what it is kept by."""
        line = self._writer.line
        job = self._writer.worker.submit(self._checkpoint)
        give_up_at = self._clock.monotonic() + self._hold_s
        timer = self._clock.call_at(give_up_at, line.interrupt)  # copying may take long as well
        cancelled = await job.outcome()
        timer.cancel()
        if cancelled is not None:
            raise cancelled
        reason = await job.wait()
        if not reason:
            self._due = LOG_BYTES
            return
        size = self._size()
        self._due = size + LOG_BYTES
        _logger.warning(
            "log_outgrown: %s has %s; expected %s at most. It could not be emptied within %g s: "
            "%s. Nothing is lost, and it is tried again when it has grown by as much",
            self._log,
            shown_bytes(size),
            shown_bytes(LOG_BYTES),
            self._hold_s,
            self._oldest() or reason,
        )

    def _checkpoint(self) -> str:
        """On the thread; return what prevented it, '' where nothing did."""
        line = self._writer.line
        try:
            with patience(line, self._hold_s * _WAITING):
                row = line.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            return f"copying it into the database was ended ({error})"
        if not row[0]:
            return ""
        return f"{', '.join(users(self._path)) or 'another process'} uses the database"

    def _oldest(self) -> str:
        """Say who of this process has read of it for longest; '' where nobody does."""
        lent = [each for pool in self._pools for each in pool.lent.values()]
        if not lent:
            return ""
        oldest = min(lent, key=lambda each: each.since)
        signed = signature(oldest.statement.text)
        whose = signed.plugin if signed is not None and signed.plugin else "the kernel"
        since_s = self._clock.monotonic() - oldest.since
        return (
            f"the oldest {oldest.kind} is of {whose}, `{oldest.statement.shown}`, begun "
            f"{since_s:.1f} s ago; let it end sooner, or read page by page"
        )

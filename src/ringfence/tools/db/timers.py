"""Where the timers of an application are stored: one table, through the contract of the database.

`Timers` is the kernel's `TimerStore`; a driver offers it as `timers()` and creates TABLE when it
starts. Every write is one statement that compares the version and sets the next one, so that of
several processes exactly one deals with an occurrence.
"""

from datetime import UTC, datetime, timedelta
from typing import Protocol, runtime_checkable

from msgspec import Struct

from ringfence.kernel.ports import TimerState, TimerStore
from ringfence.tools.db.contract import Database

TABLE = """
CREATE TABLE IF NOT EXISTS ringfence_timers (
    name TEXT PRIMARY KEY,
    spec TEXT NOT NULL,
    version BIGINT NOT NULL,
    last_us BIGINT NOT NULL,
    running BIGINT NOT NULL
)
"""

_LOAD = "SELECT name, spec, version, last_us, running FROM ringfence_timers WHERE name = $1"
_PUT = """
INSERT INTO ringfence_timers (name, spec, version, last_us, running)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO UPDATE SET
    spec = excluded.spec,
    version = excluded.version,
    last_us = excluded.last_us,
    running = excluded.running
WHERE ringfence_timers.version = $6
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class _Row(Struct):
    """A row; its moment in microseconds since 1970, which every database counts alike."""

    name: str
    spec: str
    version: int
    last_us: int
    running: int


@runtime_checkable
class KeepsTimers(Protocol):
    """A driver that offers to be the store of an application's timers."""

    def timers(self) -> TimerStore: ...


class Timers:
    """The timers of one application, in one of its databases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, name: str) -> TimerState | None:
        """Return what is stored of a timer; raises ToolUnavailable while the database is down."""
        row = await self._database.fetch_one(_LOAD, name, into=_Row)
        if row is None:
            return None
        last_at = _EPOCH + row.last_us * _MICROSECOND
        return TimerState(row.name, row.spec, row.version, last_at, bool(row.running))

    async def put(self, state: TimerState) -> bool:
        """Store `state` if its version is the stored one; raises ToolUnavailable while the
        database is down."""
        last_us = (state.last_at - _EPOCH) // _MICROSECOND
        seen = state.version
        running = int(state.running)
        changed = await self._database.execute(
            _PUT, state.name, state.spec, seen + 1, last_us, running, seen
        )
        return changed == 1

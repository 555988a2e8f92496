"""Units of work on the writing connection: here and now where nobody has to be waited for.

One whose function has proved short, on a free turn, is run without a session: it cannot be
suspended, so it can neither be ended by others nor hold the connection for too long. Any other, and
one that fails, goes the way of all transactions. Invariant: on both ways it has its savepoint, and
answers after its COMMIT. Called by `sqlite.py`.
"""

from collections.abc import Callable
from types import CodeType
from typing import TYPE_CHECKING, TypeVar
from weakref import ref

from ringfence.tools.db.contract import StorageFailure
from ringfence.tools.db.drivers._sqlite_line import Pacing, native, run
from ringfence.tools.db.engine import alone
from ringfence.tools.db.prepared import Params
from ringfence.tools.db.rows import Answer
from ringfence.tools.db.sql import Kind, Pace, Statement
from ringfence.tools.db.work import Execute

if TYPE_CHECKING:
    from ringfence.tools.db.drivers._sqlite_writer import Writer

R = TypeVar("R")


class Units:
    """Runs units of work, and remembers how long each takes."""

    def __init__(self, writer: "Writer") -> None:
        self._writer = writer
        self._execute: Execute = self._run
        self._wrote = False  # the one that runs now
        # By their code, weakly: functions are made anew for each run, and plugins are replaced. By
        # its identity, since to compare code is to compare all that it consists of.
        self._pacings: dict[int, tuple[ref[CodeType], Pacing]] = {}

    async def run(
        self, holder: str, function: Callable[..., object], call: Callable[[Execute], R]
    ) -> R:
        """Serve `engine.Engine.work`."""
        writer, pacing = self._writer, self._pacing(function)
        member = writer.open_now(holder) if pacing.pace is Pace.SHORT else None
        if member is None:
            opening = writer.begin(holder, None)
            return await alone(opening, lambda session: session.work(pacing, call))
        group, began_at = writer.group, writer.clock.monotonic()
        assert group is not None
        self._wrote = False
        try:
            result = writer.inline.work(pacing, call, self._execute)
            if not writer.line.in_transaction:
                raise StorageFailure("the transaction was lost.", subject="db.transaction")
            if member:
                writer.do("RELEASE ringfence_member")
        except BaseException as error:
            await writer.session(holder, member, None, began_at).fail(error)
            raise
        now = writer.clock.monotonic()
        group.join(holder, self._wrote, now)
        writer.leave(holder, now - began_at, now)
        await group.outcome()
        return result

    def _run(self, statement: Statement, params: Params) -> Answer:
        if statement.kind is Kind.WRITE:
            self._wrote = True
        return run(self._writer.line, statement, native(params, statement.shown))

    def _pacing(self, function: Callable[..., object]) -> Pacing:
        """Return what is known of how long a unit of work takes; of what has no code, nothing."""
        code = getattr(function, "__code__", None)
        if code is None:
            code = getattr(getattr(function, "func", None), "__code__", None)  # of a partial
        known = self._pacings.get(id(code))
        if known is not None and known[0]() is code:
            return known[1]
        pacing = Pacing()
        if isinstance(code, CodeType):
            key, pacings = id(code), self._pacings
            self._pacings[key] = ref(code, lambda _: pacings.pop(key, None)), pacing
        return pacing

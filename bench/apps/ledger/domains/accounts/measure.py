"""Count units of work and transactions a second, from within a feature."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from ringfence import Plugin, service
from ringfence.tools.db import Database, UnitOfWork

UPDATE = "UPDATE account SET amount = amount + $2 WHERE id = $1"
INSERT = "INSERT INTO entry (account_id, amount) VALUES ($1, $2)"


class Measure(Plugin):
    db: Database

    @service("accounts.units_per_s")
    async def units_per_s(self, callers: int, times: int) -> float:
        """Run units of work, so many callers at once."""
        return await self._per_s(self._unit, callers, times)

    @service("accounts.transactions_per_s")
    async def transactions_per_s(self, callers: int, times: int) -> float:
        """Run the same as transactions with an `await` for each statement."""
        return await self._per_s(self._transaction, callers, times)

    async def _per_s(
        self, run: Callable[[int], Awaitable[None]], callers: int, times: int
    ) -> float:
        async def caller(first: int) -> None:
            for number in range(first, times, callers):
                await run(number % 10)

        started = time.perf_counter()
        await asyncio.gather(*(caller(number) for number in range(callers)))
        return times / (time.perf_counter() - started)

    async def _unit(self, account_id: int) -> None:
        def enter(unit: UnitOfWork) -> None:
            unit.execute(UPDATE, account_id, 1)
            unit.execute(INSERT, account_id, 1)

        await self.db.run(enter)

    async def _transaction(self, account_id: int) -> None:
        async with self.db.transaction() as tx:
            await tx.execute(UPDATE, account_id, 1)
            await tx.execute(INSERT, account_id, 1)

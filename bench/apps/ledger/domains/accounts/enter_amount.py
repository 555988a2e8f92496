"""Enter an amount into an account: two statements in a transaction, over HTTP."""

from msgspec import Struct

from ringfence import NotFound, Plugin
from ringfence.tools.db import Database
from ringfence.tools.http import post


class NewEntry(Struct):
    account_id: int
    amount: int


class Entry(Struct):
    id: int
    account_id: int
    amount: int


class NoAccount(NotFound, code="accounts.no_account"):
    """There is no such account."""


class EnterAmount(Plugin):
    db: Database

    @post("/entries", status=201)
    async def enter(self, entry: NewEntry) -> Entry:
        async with self.db.transaction() as tx:
            changed = await tx.execute(
                "UPDATE account SET amount = amount + $2 WHERE id = $1",
                entry.account_id,
                entry.amount,
            )
            if not changed:
                raise NoAccount(f"no account {entry.account_id}")
            entry_id = await tx.fetch_value(
                "INSERT INTO entry (account_id, amount) VALUES ($1, $2) RETURNING id",
                entry.account_id,
                entry.amount,
                into=int,
            )
        return Entry(entry_id, entry.account_id, entry.amount)

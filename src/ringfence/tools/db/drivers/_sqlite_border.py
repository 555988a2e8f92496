"""Which statements keep to their own domain's tables, as far as their text can say.

What the connections to one file share. A text is looked at before it runs for the first time: one
that names what belongs to somebody else has to compile alone. Called by `_sqlite_authorizer.py`,
which sees what a text does not say, and `_sqlite_schema.py`.
"""

import sqlite3
from itertools import pairwise

from ringfence.errors import ToolError
from ringfence.kernel.ports import did_you_mean
from ringfence.tools.db.contract import ForeignTable, QueryError
from ringfence.tools.db.drivers._sqlite_alone import Alone
from ringfence.tools.db.drivers._sqlite_owners import RINGFENCE, SQLITE, Owners
from ringfence.tools.db.sql import Signature, fold, restored, shorten, significant

_HINTS = {
    SQLITE: "Names from sqlite_ on are SQLite's; which tables there are, the migrations say.",
    RINGFENCE: "Names from ringfence_ on are no feature's.",
}


class Border:
    """What the connections to one file share: the owners, and the texts that were cleared."""

    def __init__(self) -> None:
        self.owners = Owners()
        self.alone = Alone(self.owners)
        # Text → domain, '' for what is bound to none. Filled by authorizers.
        self.cleared: dict[str, str] = {}

    def reload(self, line: sqlite3.Connection) -> None:
        """Read the owners anew: after a restore, or a change from outside."""
        self.owners.load(line)
        self.cleared.clear()

    def foreign(self, text: str, domain: str) -> list[str]:
        """List the names in a statement that are also those of a table which is not the domain's.

        Whether they are meant as one is not said. All names that begin with `sqlite_` are, but
        for functions.
        """
        if not self.owners.may_be_named(text, domain):
            return []
        words = [*significant(text), None]
        found: list[str] = []
        for word, after in pairwise(words):
            if word is None or word.kind not in {"word", "name", "text"}:
                continue
            owner = self.owners.of(word.called)
            function = owner == SQLITE and after is not None and after.text == "("
            if owner not in {None, domain} and not function:
                found.append(word.called)
        return found

    def stranger(
        self, line: sqlite3.Connection, text: str, domain: str, adopting: bool = False
    ) -> str:
        """Return the table of somebody else that a statement uses, '' where it uses none.

        Raises:
            sqlite3.Error: It does not compile, for another reason.
        """
        named = self.foreign(text, domain)
        if adopting:
            named = [name for name in named if self.owners.of(name)]
        if not named:
            return ""
        for name in named:
            if self.owners.of(name) == SQLITE:
                return name
        error = self.alone.compile(line, domain, text, adopting)
        table = missing(error)
        if error is None or table in named:
            return table
        raise error

    def refusal(self, who: Signature, text: str, table: str, what: str) -> ToolError:
        """Return the error for a table that is not the domain's."""
        owner = self.owners.of(table)
        shown = shorten(restored(text.removeprefix(who.comment())))
        if not owner:
            close = did_you_mean(table, self.owners.tables(who.domain)).removeprefix("; ")
            return QueryError(
                f"no such table: {table}; expected one that a migration of {who.domain} creates.",
                subject=shown,
                hint=close[:1].upper() + close[1:]
                or f"Write it: domains/{who.domain}/migrations/<YYYYMMDDhhmmss>_{table}.sql",
            )
        used = what or f"uses {table}"
        return ForeignTable(
            f"it {used} in `{shown}`; expected tables of {who.domain}, got one of {owner}.",
            subject=who.plugin or who.domain,
            hint=_HINTS.get(owner, f"Call a service of {owner}."),
        )


def missing(error: sqlite3.Error | None) -> str:
    """Return the table that an error says is not there, folded and without its schema."""
    return fold(str(error).partition("no such table: ")[2]).removeprefix("main.")

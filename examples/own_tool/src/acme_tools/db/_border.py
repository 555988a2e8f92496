"""A domain's statements use its own tables: each is compiled once where there are no others.

For each domain there is a database in memory that has the schema of the domain's own tables, and
none of their rows. What does not compile there does not run. Loaded when the driver starts; used on
all of its threads.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from threading import Lock

from acme_tools.db._decimals import compared
from acme_tools.db._errors import FAILURES, explained
from ringfence.errors import ToolError
from ringfence.tools.db import ForeignTable
from ringfence.tools.db.migrations import Migration, owners
from ringfence.tools.db.sql import Signature, Statement, fold, signature, significant

# Texts of statements that are remembered as allowed.
_MOST_ALLOWED = 5000
_RINGFENCE = "Ringfence itself"
_MISSING = "no such table: "


class Border:
    """Which domain owns which table."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}
        self._alone: dict[str, sqlite3.Connection] = {}
        self._allowed: set[str] = set()
        self._lock = Lock()  # guards the connections, and what is allowed

    def load(self, line: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
        """Learn the schema of a database to which all migrations have been applied."""
        self._owners = {name: domain for name, (domain, _) in owners(migrations).items()}
        for domain in {migration.domain for migration in migrations}:
            self._alone[domain] = self._copied(line, domain)

    def close(self) -> None:
        """Let go of what is in memory."""
        with self._lock:
            while self._alone:
                self._alone.popitem()[1].close()

    def admit(self, statement: Statement) -> None:
        """Look at a statement that comes for the first time.

        Raises:
            ForeignTable: It uses a table of another domain.
            QueryError: It is wrong.
        """
        text = statement.text
        if text in self._allowed:
            return
        who = signature(text)
        with self._lock:
            if who is not None and who.domain:
                self._compile(who, statement)
            if len(self._allowed) >= _MOST_ALLOWED:
                self._allowed.clear()
            self._allowed.add(text)

    def _compile(self, who: Signature, statement: Statement) -> None:
        line = self._alone.get(who.domain)
        if line is None:  # a domain without tables
            line = self._alone[who.domain] = _empty()
        explains = next(significant(statement.text)).keyword == "EXPLAIN"
        text = statement.text if explains else f"EXPLAIN {statement.text}"
        nothing = statement.bound((None,) * statement.parameters)
        try:
            with closing(line.execute(text, nothing)):
                pass
        except FAILURES as error:
            raise self._refusal(who, statement, error, line) from None

    def _refusal(
        self, who: Signature, statement: Statement, error: Exception, line: sqlite3.Connection
    ) -> ToolError:
        table = fold(str(error).partition(_MISSING)[2]).removeprefix("main.")
        reserved = table.startswith("ringfence_")
        owner = _RINGFENCE if reserved else self._owners.get(table, who.domain)
        line.set_authorizer(None)
        try:
            if owner == who.domain:
                return explained(error, statement, line)
        finally:
            line.set_authorizer(_authorized)
        return ForeignTable(
            f"it uses {table} in `{statement.shown}`; expected tables of {who.domain}, got one of "
            f"{owner}.",
            subject=who.plugin,
            hint="" if reserved else f"Call a service of {owner}.",
        )

    def _copied(self, line: sqlite3.Connection, domain: str) -> sqlite3.Connection:
        alone = _empty()
        alone.set_authorizer(None)
        rows = line.execute("SELECT tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
        for table, sql in rows.fetchall():
            if self._owners.get(fold(table)) == domain:
                with suppress(sqlite3.Error):  # what a virtual table has made by itself
                    alone.execute(sql)
        alone.set_authorizer(_authorized)
        return alone


def _empty() -> sqlite3.Connection:
    line = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    line.create_collation("decimal", compared)
    line.set_authorizer(_authorized)
    return line


def _authorized(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Refuse what reaches out of the domain without naming a table of another one."""
    name = fold(first or "")
    refused = (
        (action == sqlite3.SQLITE_READ and name.startswith(("sqlite_", "pragma_")))
        or (action == sqlite3.SQLITE_FUNCTION and fold(second or "") == "load_extension")
        or action in (sqlite3.SQLITE_PRAGMA, sqlite3.SQLITE_ATTACH)
    )
    return sqlite3.SQLITE_DENY if refused else sqlite3.SQLITE_OK

"""Compiles a statement against the tables of one domain and no others.

SQLite's authorizer is not told of every access: the columns of `JOIN … USING` and of
`NATURAL JOIN` are read without asking it, and for a name from which no column is read it does not
say whether a table or a common table expression is meant. So a statement that names what belongs
to somebody else is compiled in an empty copy, in memory, of what its own domain has: what compiles
there reaches nothing else. Called by `_sqlite_border.py`, rarely; nothing is ever run there.
"""

import sqlite3
import threading
from contextlib import suppress

from ringfence.tools.db.drivers._sqlite_owners import Owners, version
from ringfence.tools.db.drivers._sqlite_values import order_decimals
from ringfence.tools.db.sql import significant

_SCHEMA = """
SELECT tbl_name, sql FROM sqlite_schema
WHERE sql IS NOT NULL AND name NOT IN (SELECT name FROM pragma_table_list WHERE type = 'shadow')
ORDER BY CASE type WHEN 'table' THEN 1 WHEN 'view' THEN 2 WHEN 'index' THEN 3 ELSE 4 END
"""


class Alone:
    """The copy that was asked for last; several threads may ask."""

    def __init__(self, owners: Owners) -> None:
        self._owners = owners
        self._lock = threading.Lock()
        self._copy: sqlite3.Connection | None = None
        self._of: tuple[str, int, bool] | None = None

    def compile(
        self, line: sqlite3.Connection, domain: str, text: str, adopting: bool = False
    ) -> sqlite3.Error | None:
        """Return why a statement does not compile with a domain's own tables; None if it does.

        Args:
            line: A connection to the database itself, to copy the schema from.
            domain: Whose tables there are.
            text: One statement.
            adopting: Whether there are also the tables that nobody owns.
        """
        explained = next(significant(text)).keyword == "EXPLAIN"
        with self._lock:
            copy = self._made(line, domain, adopting)
            try:
                copy.execute(text if explained else f"EXPLAIN {text}").close()
            except sqlite3.ProgrammingError:
                return None  # compiled: what it lacks are the values of its parameters
            except sqlite3.Error as error:
                return error
        return None

    def _made(self, line: sqlite3.Connection, domain: str, adopting: bool) -> sqlite3.Connection:
        wanted = (domain, version(line), adopting)
        if self._copy is not None and self._of == wanted:
            return self._copy
        self._drop()
        copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        order_decimals(copy)
        copy.execute("PRAGMA trusted_schema = OFF")
        mine = {domain, ""} if adopting else {domain}
        for table, sql in line.execute(_SCHEMA).fetchall():
            if self._owners.of(table) in mine:
                with suppress(sqlite3.Error):  # what is broken there is broken here as well
                    copy.execute(sql)
        self._copy, self._of = copy, wanted
        return copy

    def close(self) -> None:
        """Let go of the copy; it is made again when it is asked for."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._copy is not None:
            self._copy.close()
        self._copy = self._of = None

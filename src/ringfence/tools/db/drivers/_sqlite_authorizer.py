"""Asked by SQLite whenever it prepares something: may this domain do that?

Two guards hold a statement to its domain's tables, since neither sees everything. `admit` looks at
its text before it runs for the first time (`_sqlite_border.py`). The callback is asked for each
access of whatever SQLite prepares, also by itself, for a view, a trigger, a foreign key or a
virtual table; it allows what is listed here and nothing else. A text that has run before costs one
look-up. Called by `_sqlite_line.py`, and by `_sqlite_schema.py` for migrations.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from ringfence.errors import ToolError
from ringfence.tools.db.drivers._sqlite_border import Border, missing
from ringfence.tools.db.drivers._sqlite_owners import SQLITE, version
from ringfence.tools.db.sql import fold, signature

# Texts that are remembered as cleared: more than a connection keeps prepared of them.
_MOST_CLEARED = 8192

_HARMLESS = {  # BEGIN, COMMIT and savepoints are the driver's; `sql.py` lets no feature write them
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_RECURSIVE,
    sqlite3.SQLITE_TRANSACTION,
    sqlite3.SQLITE_SAVEPOINT,
}
_VERBS = {
    sqlite3.SQLITE_READ: "reads",
    sqlite3.SQLITE_INSERT: "writes",
    sqlite3.SQLITE_UPDATE: "writes",
    sqlite3.SQLITE_DELETE: "deletes from",
}
# Where the table stands among the two arguments of what only a migration may do.
_SCHEMA = {
    sqlite3.SQLITE_CREATE_TABLE: 0,
    sqlite3.SQLITE_CREATE_VIEW: 0,
    sqlite3.SQLITE_CREATE_VTABLE: 0,
    sqlite3.SQLITE_DROP_TABLE: 0,
    sqlite3.SQLITE_DROP_VIEW: 0,
    sqlite3.SQLITE_DROP_VTABLE: 0,
    sqlite3.SQLITE_ANALYZE: 0,
    sqlite3.SQLITE_CREATE_INDEX: 1,
    sqlite3.SQLITE_CREATE_TRIGGER: 1,
    sqlite3.SQLITE_DROP_INDEX: 1,
    sqlite3.SQLITE_DROP_TRIGGER: 1,
    sqlite3.SQLITE_ALTER_TABLE: 1,
}
# Modules whose tables hold their own data, or show that of a table which they have to ask for.
_MODULES = {"fts3", "fts4", "fts5", "fts4aux", "fts5vocab", "rtree", "rtree_i32", "geopoly"}
# Functions that reach files, code or tables past SQLite; most are extensions of the command line.
_DANGEROUS = {
    *("load_extension", "fts3_tokenizer", "icu_load_collation", "readfile", "writefile"),
    *("edit", "eval", "lsmode", "sqlite_log", "sqlar_compress", "sqlar_uncompress"),
}
_WHOLE = {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_DELETE}
_OTHERS = {sqlite3.SQLITE_ATTACH: "ATTACH", sqlite3.SQLITE_DETACH: "DETACH"}
_FOR_ALL = {"json_each", "json_tree"}
# What virtual tables ask for by themselves.
_PRAGMAS = {"data_version", "page_size"}
# What SQLite does by itself when it connects a virtual table.
_BY_ITSELF = {
    (sqlite3.SQLITE_UPDATE, "sqlite_master", "type"),
    (sqlite3.SQLITE_UPDATE, "sqlite_master", "name"),
    (sqlite3.SQLITE_UPDATE, "sqlite_master", "tbl_name"),
    (sqlite3.SQLITE_UPDATE, "sqlite_master", "rootpage"),
    (sqlite3.SQLITE_UPDATE, "sqlite_master", "sql"),
    (sqlite3.SQLITE_READ, "sqlite_master", "ROWID"),
    (sqlite3.SQLITE_READ, "sqlite_stat1", "tbl"),
    (sqlite3.SQLITE_READ, "sqlite_stat1", "stat"),
}


class Refused(Struct, frozen=True):
    """What an authorizer did not allow; `table` is empty where it is no table's."""

    what: str
    table: str = ""


class Authorizer:
    """Asked by SQLite for each access that something it prepares on one connection would make.

    `text` is the statement in hand: what SQLite asks, it asks for that one. One that is bound to no
    domain may do all.
    """

    def __init__(self, border: Border) -> None:
        self.border = border
        self.cleared = border.cleared
        self.text = ""
        self.refused: Refused | None = None
        self._bound = ""
        self._migrating = False

    def __call__(
        self, action: int, first: str | None, second: str | None, base: str | None, _: str | None
    ) -> int:
        domain = self._bound or self._domain()
        if not domain:
            return sqlite3.SQLITE_OK
        refused = self._refused(domain, action, first or "", second or "", base)
        if refused is None:
            return sqlite3.SQLITE_OK
        self.refused = self.refused or refused
        return sqlite3.SQLITE_DENY

    def _domain(self) -> str:
        domain = self.cleared.get(self.text)
        if domain is None:  # it was forgotten meanwhile
            who = signature(self.text)
            domain = who.domain if who is not None else ""
        return domain

    @contextmanager
    def bound(self, domain: str, migrating: bool = False) -> Iterator[None]:
        """Bind to a domain whatever is prepared inside; `migrating` allows what makes a schema."""
        self._bound, self._migrating, self.refused = domain, migrating, None
        try:
            yield
        finally:
            self._bound, self._migrating = "", False

    def admit(self, line: sqlite3.Connection, text: str) -> None:
        """Look at a text that comes for the first time.

        Raises:
            ForeignTable: It uses a table of another domain.
            sqlite3.Error: It does not compile with the domain's own tables.
        """
        border = self.border
        who = signature(text)
        if who is not None and who.domain:
            if version(line) != border.owners.version:
                border.reload(line)
            table = border.stranger(line, text, who.domain)
            if table:
                raise border.refusal(who, text, table, self._use(line, text, who.domain, table))
        if len(border.cleared) >= _MOST_CLEARED:
            border.cleared.clear()
        border.cleared[text] = who.domain if who is not None else ""
        self.text = text
        self.refused = None

    def judged(
        self, line: sqlite3.Connection, error: sqlite3.Error
    ) -> ToolError | sqlite3.Error | None:
        """Return what to raise when the statement in hand failed; None where it should run again,
        since it was refused by what was true of an older schema."""
        border, text, refused = self.border, self.text, self.refused
        if not self._domain():
            return error
        self.refused = None
        table = refused.table if refused is not None else missing(error)
        who = signature(text)
        if who is None or (refused is None and not table):
            return error
        if refused is not None and version(line) != border.owners.version:
            border.reload(line)
            return None
        border.cleared.pop(text, None)
        if refused is None:
            return border.refusal(who, text, table, "")
        if not table:
            return sqlite3.OperationalError(f"not for a feature: {refused.what}")
        return border.refusal(who, text, table, refused.what)

    def _use(self, line: sqlite3.Connection, text: str, domain: str, table: str) -> str:
        """Return what a statement would do with a table, as SQLite says when it prepares it."""
        try:
            with self.bound(domain):
                sqlite3.Connection.execute(line, f"EXPLAIN {text}").close()
        except sqlite3.ProgrammingError:
            pass  # compiled: what it lacks are the values of its parameters
        except sqlite3.Error:
            refused, self.refused = self.refused, None
            said = refused is not None and fold(refused.table) == table
            return refused.what if refused is not None and said else f"uses {table}"
        return f"reads {table}"  # that is what SQLite does not always ask for

    def _refused(
        self, domain: str, action: int, first: str, second: str, base: str | None
    ) -> Refused | None:
        if action in _HARMLESS or (self._migrating and action == sqlite3.SQLITE_REINDEX):
            return None
        if action == sqlite3.SQLITE_FUNCTION:
            return Refused(f"the function {second}") if fold(second) in _DANGEROUS else None
        if action == sqlite3.SQLITE_PRAGMA:
            asked = first in _PRAGMAS and not second
            return None if asked else Refused(f"PRAGMA {first}")
        if base and fold(base) != "main" and not fold(first).startswith("sqlite_"):
            return Refused(f"{base}.{first}")
        if action in _VERBS:
            column = "" if action in _WHOLE or not second else f".{second}"
            unread = action == sqlite3.SQLITE_READ and not second and base is None
            if unread or self._allows(domain, action, first, second):
                return None
            return Refused(f"{_VERBS[action]} {first}{column}", first)
        if not self._migrating or action not in _SCHEMA:
            return Refused(_OTHERS.get(action, "a change of the schema"))
        if action == sqlite3.SQLITE_CREATE_VTABLE and fold(second) not in _MODULES:
            return Refused(f"the module {second}")
        table = (first, second)[_SCHEMA[action]]
        allowed = self._allows(domain, action, table, "")
        return None if allowed else Refused(f"changes {table}", table)

    def _allows(self, domain: str, action: int, table: str, column: str) -> bool:
        owner = self.border.owners.of(table)
        if owner == SQLITE:  # by itself: no statement that names one comes this far
            return self._migrating or (action, table, column) in _BY_ITSELF
        if owner is None:
            return self._migrating or fold(table) in _FOR_ALL
        # A table that nobody owns and the text does not name is reached by a foreign key or a
        # trigger that somebody added from outside.
        return owner in {domain, ""}

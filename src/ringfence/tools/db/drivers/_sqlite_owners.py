"""Which domain owns each table and view of a SQLite file.

`follow` records what a migration made, in the migration's own transaction; `load` reads it;
`derive` fills in what was made before there was a record. Names are compared as SQLite does it:
without regard to case in ASCII, and in ASCII alone. Called by `_sqlite_border.py`,
`_sqlite_schema.py` and `_sqlite_migrations.py`.
"""

import re
import sqlite3
from collections.abc import Sequence

from ringfence.tools.db.migrations import Migration, owners
from ringfence.tools.db.sql import fold

RECORD = """
CREATE TABLE IF NOT EXISTS ringfence_owners (
    name TEXT PRIMARY KEY,
    domain TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""
SQLITE = "SQLite itself"
RINGFENCE = "Ringfence itself"
_WORD = re.compile(r"[a-z0-9_$]+")


class Owners:
    """The owners of one file's tables, as `load` found them."""

    def __init__(self) -> None:
        self.version = -1  # of the schema
        self._domains: dict[str, str] = {}
        self._all_plain = True  # names are words of ASCII, which a text holds as they are

    def of(self, table: str) -> str | None:
        """Return the owner of a table or view: '' where nobody is, None where no such table is."""
        name = fold(table)
        if name.startswith("sqlite_"):
            return SQLITE
        return RINGFENCE if name.startswith("ringfence_") else self._domains.get(name)

    def may_be_named(self, text: str, domain: str) -> bool:
        """Whether a text can name a table that is not the domain's; quick, and never wrongly no."""
        lower = text.lower()
        if "sqlite_" in lower or not self._all_plain:
            return True
        words = self._domains.keys() & set(_WORD.findall(lower))
        return any(self._domains.get(word) != domain for word in words)

    def tables(self, domain: str) -> list[str]:
        """List what a domain owns."""
        return [name for name, owner in self._domains.items() if owner == domain]

    def load(self, line: sqlite3.Connection) -> None:
        """Read schema and record; what is in neither has no owner."""
        names = _names(line)
        known: dict[str, str] = {}
        if "ringfence_owners" in names:
            known = dict(line.execute("SELECT name, domain FROM ringfence_owners"))
        self._domains = {name: known.get(name, "") for name in names}
        self._all_plain = all(map(_WORD.fullmatch, names))
        self.version = version(line)

    def follow(self, line: sqlite3.Connection, domain: str, created: str) -> None:
        """Record what a statement of a domain's migration made and dropped.

        Args:
            line: The connection, inside the migration's transaction.
            domain: Whose migration it is.
            created: The name that the statement creates; a table that was there before, and was
                nobody's, is the domain's from now on.
        """
        if version(line) == self.version and self.of(created) != "":
            return
        names = _names(line)
        new = [name for name in names if name not in self._domains]
        if self._domains.get(created) == "":
            new.append(created)
        _record(line, dict.fromkeys(new, domain))
        gone = self._domains.keys() - names
        line.executemany("DELETE FROM ringfence_owners WHERE name = ?", [(name,) for name in gone])
        self.load(line)

    def derive(self, line: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
        """Record the owners of tables that were made before there was a record."""
        self.load(line)
        missing = {name for name, owner in self._domains.items() if self.of(name) == "" == owner}
        if not missing:
            return
        made = {name: domain for name, (domain, _) in owners(migrations).items()}
        found = {name: made[name] for name in missing if name in made}
        shadows = line.execute("SELECT name FROM pragma_table_list WHERE type = 'shadow'")
        for shadow in (fold(name) for (name,) in shadows.fetchall()):
            virtual = [name for name in made if shadow.startswith(f"{name}_")]
            if shadow in missing and virtual:
                found[shadow] = made[max(virtual, key=len)]
        _record(line, found)
        self.load(line)


def version(line: sqlite3.Connection) -> int:
    """Return the number that grows with each change of the schema."""
    found: int = line.execute("PRAGMA schema_version").fetchone()[0]
    return found


def _names(line: sqlite3.Connection) -> set[str]:
    rows = line.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")
    return {fold(name) for (name,) in rows if not fold(name).startswith("sqlite_")}


def _record(line: sqlite3.Connection, found: dict[str, str]) -> None:
    line.executemany("INSERT OR REPLACE INTO ringfence_owners VALUES (?, ?)", found.items())

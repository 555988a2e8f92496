"""What a migration may do: make, change and fill its own domain's tables, and use no others.

`Surveyor.run` runs one statement as the domain; `Surveyor.survey` looks at what there is when all
have run: a foreign key to another domain's table, a view or a trigger that uses one, or that cannot
be used at all, which would also keep other domains from altering their tables. Called by
`_sqlite_migrations.py`, inside the migration's transaction.
"""

import sqlite3
from collections.abc import Iterator

from ringfence.errors import Finding
from ringfence.tools.db.drivers._sqlite_border import missing
from ringfence.tools.db.drivers._sqlite_line import Line
from ringfence.tools.db.drivers._sqlite_values import declared
from ringfence.tools.db.migrations import FAILED, Command, Migration, created, foreign
from ringfence.tools.db.sql import fold, shorten, significant

_PARENTS = 'SELECT "table" FROM pragma_foreign_key_list(?)'
_VIRTUAL = "SELECT name FROM pragma_table_list WHERE type = 'virtual'"


class Trespass(Exception):
    """What a migration does is none of its business, or does not hold; carries the finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


class Surveyor:
    """Runs one migration on a connection and looks at what it leaves."""

    def __init__(self, line: Line, migration: Migration) -> None:
        self._line = line
        self._owners = line.guard.border.owners
        self._migration = migration
        self._owners.load(line)  # another process may have been here

    def run(self, command: Command) -> None:
        """Run one statement.

        Raises:
            Trespass: It uses, changes or makes a table of another domain.
            sqlite3.Error: It fails.
        """
        line, domain, guard = self._line, self._migration.domain, self._line.guard
        table = guard.border.stranger(line, command.text, domain, adopting=True)
        if table:
            raise self._trespass(command, table)
        try:
            with guard.bound(domain, migrating=True):
                self._execute(declared(command.text))
        except sqlite3.Error:
            refused = guard.refused
            if refused is None:
                raise
            if not refused.table:
                raise sqlite3.OperationalError(f"not for a migration: {refused.what}") from None
            raise self._trespass(command, refused.table) from None
        if line.in_transaction:
            self._owners.follow(line, domain, created(command))

    def survey(self) -> None:
        """Look at the domain's tables, views and triggers, as the schema is now.

        Raises:
            Trespass: One of them is tied to another domain's table, or cannot be used.
        """
        domain = self._migration.domain
        for table in self._owners.tables(domain):
            for parent in self._column(_PARENTS, table):
                if self._owners.of(parent) not in {None, "", domain}:
                    raise self._trespass(self._command(table, parent), parent)
        for name, text in [*self._views(), *self._triggered()]:
            error = self._line.guard.border.alone.compile(self._line, domain, text)
            if error is None or str(error).startswith("cannot modify"):
                continue  # a view's trigger is for one kind of change, or two
            table = missing(error)
            command = self._command(name, table)
            if self._owners.of(table):
                raise self._trespass(command, table)
            raise Trespass(failed(self._migration, command, f"{name} cannot be used: {error}"))
        for name in self._column(_VIRTUAL):
            if self._owners.of(name) == domain:
                self._open(name)

    def _views(self) -> Iterator[tuple[str, str]]:
        for name in self._column("SELECT name FROM sqlite_schema WHERE type = 'view'"):
            if self._owners.of(name) == self._migration.domain:
                yield name, f"SELECT * FROM {_quoted(name)}"  # noqa: S608

    def _triggered(self) -> Iterator[tuple[str, str]]:
        """Yield the statements that compile every trigger of the domain's."""
        for name in self._column(
            "SELECT DISTINCT tbl_name FROM sqlite_schema WHERE type='trigger'"
        ):
            if self._owners.of(name) == self._migration.domain:
                table = _quoted(name)
                columns = self._column("SELECT name FROM pragma_table_info(?)", name)
                same = ", ".join(f"{_quoted(column)} = NULL" for column in columns)
                yield name, f"INSERT INTO {table} DEFAULT VALUES"
                yield name, f"UPDATE {table} SET {same}"  # noqa: S608
                yield name, f"DELETE FROM {table}"  # noqa: S608

    def _open(self, name: str) -> None:
        """Read a virtual table as the domain: what is behind it is asked for only then."""
        guard = self._line.guard
        try:
            with guard.bound(self._migration.domain):
                self._execute(f"SELECT * FROM {_quoted(name)} LIMIT 1").fetchone()  # noqa: S608
        except sqlite3.Error as error:
            refused = guard.refused
            if refused is not None and self._owners.of(refused.table):
                command = self._command(name, refused.table)
                raise self._trespass(command, refused.table) from None
            what = f"{name} cannot be used: {error}"
            raise Trespass(failed(self._migration, self._command(name), what)) from None

    def _execute(self, sql: str) -> sqlite3.Cursor:
        """Run what the guard is bound for, not what its text says."""
        return sqlite3.Connection.execute(self._line, sql)

    def _column(self, sql: str, *values: str) -> list[str]:
        return [row[0] for row in self._line.execute(sql, values).fetchall()]

    def _command(self, *names: str) -> Command:
        """Return the last statement in which all of the names stand, or the last of all."""
        wanted = {fold(name) for name in names if name}
        for command in reversed(self._migration.commands):
            if wanted <= {token.called for token in significant(command.text)}:
                return command
        return self._migration.commands[-1]

    def _trespass(self, command: Command, table: str) -> Trespass:
        owner = self._owners.of(table) or ""
        return Trespass(foreign(self._migration, command, fold(table), owner))


def failed(migration: Migration, command: Command, what: str) -> Finding:
    """Return the finding for a migration of which a statement cannot be carried out."""
    return Finding(
        migration.shown,
        command.line,
        FAILED,
        f"{what}, in `{shorten(command.text)}`.",
        "Correct the file and start again; it was not applied, so changing it is safe.",
    )


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'

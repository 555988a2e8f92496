"""Which error of the contract stands for one of SQLite's, and that nothing else comes out."""

import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from ringfence.errors import ToolError, ToolUnavailable
from ringfence.tools.db import (
    Busy,
    CheckViolation,
    ConstraintViolation,
    Database,
    ForeignKeyViolation,
    ForeignTable,
    InvalidParameter,
    NotNullViolation,
    QueryError,
    RowMismatch,
    SerializationFailure,
    StorageFailure,
    UniqueViolation,
)
from ringfence.tools.db.drivers._sqlite_errors import translated
from ringfence.tools.db.drivers.sqlite import Config

from .support import handle, make, migrations, running

pytestmark = pytest.mark.anyio

SCHEMA = """
CREATE TABLE note (id INTEGER PRIMARY KEY, body);
CREATE TABLE exact (n INTEGER NOT NULL) STRICT;
CREATE TRIGGER never BEFORE DELETE ON exact BEGIN SELECT RAISE(ABORT, 'rows stay'); END;
CREATE VIEW broken AS SELECT body AS nowhere FROM note;
CREATE VIRTUAL TABLE words USING fts5 (text);
"""
SECRET = "canary-77"


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    migrations(tmp_path, {"orders": SCHEMA})
    async with running(make(tmp_path)) as driver:
        with closing(sqlite3.connect(tmp_path / "data" / "shop.db")) as line:
            line.execute("DROP VIEW broken")  # from outside: no migration may leave it so
            line.execute("CREATE VIEW broken AS SELECT nowhere FROM note")
        yield handle(driver)


# Every code that SQLite has, by the class of its error; those below them go with them.
EXPECTED: dict[str, type[ToolError]] = {
    "SQLITE_ERROR": QueryError,
    "SQLITE_AUTH": QueryError,
    "SQLITE_RANGE": QueryError,
    "SQLITE_TOOBIG": InvalidParameter,
    "SQLITE_MISMATCH": InvalidParameter,
    "SQLITE_INTERRUPT": ToolUnavailable,
    "SQLITE_BUSY": Busy,
    "SQLITE_BUSY_SNAPSHOT": SerializationFailure,
    "SQLITE_LOCKED": Busy,
    "SQLITE_SCHEMA": SerializationFailure,
    "SQLITE_ABORT": SerializationFailure,
    "SQLITE_CONSTRAINT": ConstraintViolation,
    "SQLITE_CONSTRAINT_UNIQUE": UniqueViolation,
    "SQLITE_CONSTRAINT_PRIMARYKEY": UniqueViolation,
    "SQLITE_CONSTRAINT_ROWID": UniqueViolation,
    "SQLITE_CONSTRAINT_FOREIGNKEY": ForeignKeyViolation,
    "SQLITE_CONSTRAINT_CHECK": CheckViolation,
    "SQLITE_CONSTRAINT_TRIGGER": CheckViolation,
    "SQLITE_CONSTRAINT_NOTNULL": NotNullViolation,
}
NO_ERRORS = {"SQLITE_OK", "SQLITE_ROW", "SQLITE_DONE", "SQLITE_NOTICE", "SQLITE_WARNING"}
PRIMARY = {
    name
    for name, code in vars(sqlite3).items()
    if name.startswith("SQLITE_") and name.count("_") == 1 and isinstance(code, int) and code < 29
} - NO_ERRORS
# These constants are no result codes, but share their numbers.
OTHERS = {"SQLITE_DENY", "SQLITE_IGNORE", "SQLITE_SELECT", "SQLITE_INSERT", "SQLITE_UPDATE"}
OTHERS |= {"SQLITE_DELETE", "SQLITE_PRAGMA", "SQLITE_READ", "SQLITE_TRANSACTION", "SQLITE_ATTACH"}
OTHERS |= {"SQLITE_DETACH", "SQLITE_REINDEX", "SQLITE_ANALYZE"}
EXTENDED = {
    name
    for name, code in vars(sqlite3).items()
    if name.startswith("SQLITE_") and isinstance(code, int) and code > 255 and 0 < code & 0xFF < 27
}


@pytest.mark.parametrize("name", sorted((PRIMARY - OTHERS) | EXTENDED))
def test_each_code_has_one_meaning(name: str) -> None:
    """One that is not in the list is the storage's; mistakes are no reason to try again."""
    error = sqlite3.OperationalError("it said so")
    error.sqlite_errorcode, error.sqlite_errorname = getattr(sqlite3, name), name
    told = translated(error, "SELECT 1")
    primary = "_".join(name.split("_")[:2])
    assert type(told) is EXPECTED.get(name, EXPECTED.get(primary, StorageFailure))
    assert told.subject
    assert told.message


def test_there_are_codes_to_look_at() -> None:
    """An interpreter without them would pass all of it."""
    assert len(PRIMARY - OTHERS) > 20
    assert len(EXTENDED) > 40


@pytest.mark.parametrize(
    "kind,sql,params",
    [
        (InvalidParameter, "INSERT INTO note (id) VALUES ($1)", ("text",)),
        (InvalidParameter, "SELECT id FROM note LIMIT $1", ("text",)),
        (InvalidParameter, "SELECT zeroblob($1)", (2_000_000_000,)),
        (CheckViolation, "INSERT INTO exact (n) VALUES ($1)", (SECRET,)),
        (NotNullViolation, "INSERT INTO exact (n) VALUES ($1)", (None,)),
        (CheckViolation, "DELETE FROM exact WHERE n = $1", (1,)),
        (UniqueViolation, "INSERT INTO note (id) VALUES (1), (1)", ()),
        (RowMismatch, "SELECT CAST($1 AS TEXT) AS body", (b"canary-77\xff",)),
        (QueryError, "SELECT * FROM broken WHERE $1 = 1", (SECRET,)),
        (QueryError, "SELECT rowid FROM words WHERE words MATCH $1", (f'"{SECRET}',)),
        (QueryError, "SELECT rowid FROM words WHERE words MATCH $1", ("canary: x",)),
        (QueryError, "SELECT json_extract('{}', $1)", (SECRET,)),
        (QueryError, "SELECT json_extract($1, '$.a')", (SECRET,)),
        (QueryError, "SELECT abs(-9223372036854775807 - $1)", (1,)),
        (QueryError, "SELECT 'a' LIKE 'b' ESCAPE $1", (SECRET,)),
        (QueryError, "SELECT load_extension($1)", (SECRET,)),
        (QueryError, "SELECT sum(id) OVER (ROWS $1 PRECEDING) FROM note", (-1,)),
        (QueryError, "UPDATE broken SET nowhere = 1", ()),
        (QueryError, "SELECT 1 FROM note INDEXED BY nothing", ()),
        (QueryError, " UNION ALL ".join(["SELECT 1"] * 600), ()),
        (QueryError, f"SELECT {'-' * 1200} 1", ()),
        (QueryError, f"SELECT {'(' * 990}1{')' * 990} + {' + '.join(['1'] * 1100)}", ()),
        (QueryError, "SELECT now()", ()),
    ],
)
async def test_what_can_be_provoked_is_of_the_contract(
    db: Database, kind: type[ToolError], sql: str, params: tuple[object, ...]
) -> None:
    """On the reading connection and on the writing one; without the values."""
    await db.execute("INSERT INTO exact (n) VALUES (1)")
    await db.execute("INSERT INTO note (id) VALUES (50)")

    async def in_a_transaction() -> None:
        async with db.transaction() as tx:
            await tx.fetch_all(sql, *params)

    for run in (lambda: db.fetch_all(sql, *params), in_a_transaction):
        with pytest.raises(ToolError) as caught:
            await run()
        assert type(caught.value) is kind
        assert "canary" not in f"{caught.value}{vars(caught.value)}"
    assert await db.fetch_value("SELECT count(*) FROM exact", into=int) == 1


async def test_a_function_of_another_database_has_a_hint(db: Database) -> None:
    """What is written by habit, and what to write instead."""
    with pytest.raises(QueryError, match="parameter"):
        await db.fetch_all("SELECT now()")
    with pytest.raises(QueryError, match=r"a \|\| b"):
        await db.fetch_all("SELECT concat('a', 'b')")


async def test_a_hint_names_only_what_there_is(db: Database) -> None:
    """The tool's own tables are nobody's business, and what is like nothing has no hint."""
    with pytest.raises(ForeignTable, match="uses ringfence_migration in") as refused:
        await db.fetch_all("SELECT * FROM ringfence_migration")
    assert "did you mean" not in str(refused.value).lower()
    with pytest.raises(QueryError) as caught:
        await db.fetch_all("SELECT wholly_different FROM note")
    assert "did you mean" not in str(caught.value).lower()


async def test_another_process_that_was_faster_is_no_mistake(tmp_path: Path) -> None:
    """A lock that is not let go within time is Busy, on a read as on a write."""
    migrations(tmp_path, {"orders": SCHEMA})
    async with running(make(tmp_path, config=Config(busy_timeout_s=0.1))) as driver:
        db = handle(driver)
        with closing(sqlite3.connect(tmp_path / "data" / "shop.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Busy):
                await db.execute("INSERT INTO exact (n) VALUES (1)")
            assert [row async for row in db.stream("SELECT n FROM exact")] == []


STARVED = """
import asyncio, pathlib, sqlite3, sys
sys.path.insert(0, sys.argv[2])
from tests.tools.db.support import handle, make, migrations, running
from ringfence.tools.db import StorageFailure

async def main():
    root = pathlib.Path(sys.argv[1])
    migrations(root, {"orders": "CREATE TABLE note (id INTEGER PRIMARY KEY, body)"})
    async with running(make(root)) as driver:
        db = handle(driver)
        await db.execute("INSERT INTO note (body) VALUES ($1)", "a")
        sqlite3.connect(":memory:").execute("PRAGMA hard_heap_limit = 3000000")
        try:
            await db.fetch_value("SELECT length(hex(zeroblob(4000000)))", into=int)
        except StorageFailure as error:
            print(error)
        print(await db.fetch_value("SELECT count(*) FROM note", into=int))

asyncio.run(main())
"""


@pytest.mark.timeout(60)
def test_too_little_memory_is_a_failure_of_the_storage(tmp_path: Path) -> None:
    """It passes, so trying again makes sense; the database works on."""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", STARVED, str(tmp_path), str(root)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert "not enough memory" in ran.stdout, ran.stderr
    assert ran.stdout.endswith("\n1\n")

"""Migrations are applied in order, each wholly or not at all, and never twice."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.errors import Finding, StartRefused
from ringfence.kernel.ports import Facts
from ringfence.tools.db import SPEC, Database
from ringfence.tools.db.migrations import check, split

from .support import kernel, make, migration, running

pytestmark = pytest.mark.anyio

TRIGGER = """CREATE TRIGGER t AFTER INSERT ON a BEGIN
    UPDATE a SET x = CASE WHEN 1 THEN 2 ELSE 3 END; -- ; END;
    DELETE FROM a WHERE x = ';END;';
END"""


async def refusal(root: Path) -> StartRefused:
    """Start the driver in vain."""
    with pytest.raises(StartRefused) as caught:
        async with running(make(root)):
            pass
    return caught.value


def findings(root: Path) -> list[Finding]:
    """Check the application in `root`."""
    domains = {path.name: path for path in sorted((root / "domains").iterdir())}
    return check(Facts(declared=(), domains=domains, root=root))


async def tables(db: Database) -> list[str]:
    """List the tables that migrations made."""
    rows = await db.fetch_all(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'ringfence%' "
        "ORDER BY name"
    )
    return [str(row["name"]) for row in rows]


async def test_they_are_applied_by_stamp_then_domain(tmp_path: Path) -> None:
    """Across domains the stamp decides; for one stamp, the domain's name."""
    for domain, stamp in (
        ("b", "20260101000001"),
        ("b", "20260101000002"),
        ("a", "20260101000003"),
        ("a", "20260101000002"),
    ):
        text = f"CREATE TABLE {domain}{stamp[-1]} (x)"
        migration(tmp_path, domain, f"{stamp}_note.sql", text)
    async with running(make(tmp_path)) as driver:
        sql = "SELECT domain, name FROM ringfence_migrations ORDER BY applied_at"
        applied = await kernel(driver).fetch_all(sql)
        seen = [f"{row['domain']}{str(row['name'])[13]}" for row in applied]
        assert seen == ["b1", "a2", "b2", "a3"]
        assert len(await tables(kernel(driver))) == 4


async def test_a_second_start_applies_only_what_is_new(tmp_path: Path) -> None:
    """Also a file whose stamp is before what was applied, as two branches leave it."""
    migration(tmp_path, "a", "20260102000000_one.sql", "CREATE TABLE one (x)")
    async with running(make(tmp_path)) as driver:
        assert await tables(kernel(driver)) == ["one"]
    migration(tmp_path, "a", "20260101000000_two.sql", "CREATE TABLE two (x)")
    async with running(make(tmp_path)) as driver:
        assert await tables(kernel(driver)) == ["one", "two"]


async def test_a_failing_one_leaves_nothing_of_itself(tmp_path: Path) -> None:
    """The refusal names file, line and statement; mended, the next start goes on from there."""
    migration(tmp_path, "a", "20260101000000_good.sql", "CREATE TABLE good (x);")
    path = migration(
        tmp_path,
        "a",
        "20260101000001_bad.sql",
        "CREATE TABLE half (x);\n\n-- next\nINSERT INTO nowhere VALUES (1);\nCREATE TABLE b (x);",
    )
    error = await refusal(tmp_path)
    (finding,) = error.findings
    assert finding.file == "domains/a/migrations/20260101000001_bad.sql"
    assert (finding.line, finding.rule) == (4, "RF204")
    assert "nowhere" in finding.message
    assert "INSERT INTO nowhere VALUES (1)" in str(error)
    path.write_text("CREATE TABLE whole (x);")
    async with running(make(tmp_path)) as driver:
        assert await tables(kernel(driver)) == ["good", "whole"]


async def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    """What was applied is history; other line ends are no change."""
    path = migration(tmp_path, "a", "20260101000000_one.sql", "CREATE TABLE one (\nx);")
    async with running(make(tmp_path)):
        pass
    path.write_bytes(b"CREATE TABLE one (\r\nx);")
    async with running(make(tmp_path)):
        pass
    path.write_text("CREATE TABLE one (x, y);")
    migration(tmp_path, "a", "20260101000001_two.sql", "CREATE TABLE two (x);")
    error = await refusal(tmp_path)
    assert [finding.rule for finding in error.findings] == ["RF205"]
    assert "new migration" in str(error)
    path.write_text("CREATE TABLE one (\nx);")
    async with running(make(tmp_path)) as driver:
        assert await tables(kernel(driver)) == ["one", "two"]


async def test_a_table_may_be_rebuilt(tmp_path: Path) -> None:
    """Dropping the old form of a table takes nothing along that refers to it."""
    migration(
        tmp_path,
        "a",
        "20260101000000_one.sql",
        "CREATE TABLE a (id INTEGER PRIMARY KEY);\n"
        "CREATE TABLE b (a_id INTEGER REFERENCES a (id) ON DELETE CASCADE);\n"
        "INSERT INTO a VALUES (1);\nINSERT INTO b VALUES (1);",
    )
    async with running(make(tmp_path)):
        pass
    migration(
        tmp_path,
        "a",
        "20260101000001_two.sql",
        "CREATE TABLE a2 (id INTEGER PRIMARY KEY, more TEXT);\n"
        "INSERT INTO a2 (id) SELECT id FROM a;\nDROP TABLE a;\nALTER TABLE a2 RENAME TO a;",
    )
    async with running(make(tmp_path)) as driver:
        assert await kernel(driver).fetch_value("SELECT count(*) FROM b", into=int) == 1


async def test_one_that_breaks_references_is_refused(tmp_path: Path) -> None:
    """References are checked before it is kept."""
    migration(
        tmp_path,
        "a",
        "20260101000000_one.sql",
        "CREATE TABLE a (id INTEGER PRIMARY KEY);\n"
        "CREATE TABLE b (a_id INTEGER REFERENCES a (id));\nINSERT INTO b VALUES (7);",
    )
    error = await refusal(tmp_path)
    assert "rows of b would refer to rows of a" in str(error)


async def test_a_trigger_is_one_statement(tmp_path: Path) -> None:
    """The semicolons of its body end nothing."""
    text = f"CREATE TABLE a (x);\n{TRIGGER};\nCREATE TABLE b (x)"
    migration(tmp_path, "a", "20260101000000_one.sql", text)
    assert [(each.text, each.line) for each in split(text)] == [
        ("CREATE TABLE a (x)", 1),
        (TRIGGER, 2),
        ("CREATE TABLE b (x)", 6),
    ]
    async with running(make(tmp_path)) as driver:
        assert await tables(kernel(driver)) == ["a", "b"]


PIECES = ["CREATE TABLE t (x)", "INSERT INTO t VALUES ('a;b')", TRIGGER, "DROP TABLE [a;b]"]
SPACES = st.sampled_from([" ", "\n", " -- ; comment\n", "/* ; */", ";", ""])


@given(st.lists(st.tuples(SPACES, st.sampled_from(PIECES), SPACES)))
def test_splitting_agrees_with_sqlite(parts: list[tuple[str, str, str]]) -> None:
    """The statements come out as they went in, and SQLite takes each for a whole one."""
    text = "".join(f"{before}{piece}{after};" for before, piece, after in parts)
    commands = [command.text for command in split(text)]
    assert len(commands) == len(parts)
    assert all(
        command.startswith(piece) for command, (_, piece, _) in zip(commands, parts, strict=True)
    )
    assert all(sqlite3.complete_statement(command + ";") for command in commands)


@pytest.mark.parametrize(
    "text",
    [
        "BEGIN; CREATE TABLE a (x); COMMIT;",
        "CREATE TABLE a (x); rollback;",
        "SAVEPOINT a;",
        "PRAGMA foreign_keys = OFF;",
        "ATTACH 'other.db' AS other;",
        "VACUUM;",
        "CREATE TEMP TABLE a (x);",
        "CREATE TABLE b (x REFERENCES a (x) DEFERRABLE INITIALLY DEFERRED);",
        'CREATE TABLE "Ringfence_migrations" (x);',
    ],
)
async def test_what_no_migration_may_do_is_refused(tmp_path: Path, text: str) -> None:
    """Found before anything starts, and refused by the driver as well."""
    migration(tmp_path, "a", "20260101000000_one.sql", text)
    assert {finding.rule for finding in findings(tmp_path)} == {"RF203"}
    assert (await refusal(tmp_path)).findings
    assert not (tmp_path / "data").exists()


async def test_one_that_ends_its_transaction_is_refused(tmp_path: Path) -> None:
    """A rollback in disguise is found when it happens, and nothing is left."""
    text = (
        "CREATE TABLE a (x UNIQUE);\nINSERT INTO a VALUES (1);\n"
        "INSERT OR ROLLBACK INTO a VALUES (1);"
    )
    migration(tmp_path, "a", "20260101000000_one.sql", text)
    error = await refusal(tmp_path)
    assert error.findings[0].line == 3


@pytest.mark.parametrize(
    "name",
    [
        "1_one.sql",
        "20260101_one.sql",
        "20260101000000_One.sql",
        "20260101000000_one.SQL",
        "20260101000000one.sql",
        "20260101000000_.sql",
        "20260101000000_a-b.sql",
        "20260101000000_a b.sql",
        "20261301000000_one.sql",
        "20260101000000_one.sql.sql",
        "20260101000000_..sql",
        "2026010100000a_one.sql",
        "٢٠٢٦٠١٠١٠٠٠٠٠٠_one.sql",
        "create_orders.sql",
        "20260101000000_\x1b]0;x.sql",
    ],
)
async def test_a_bad_name_is_refused(tmp_path: Path, name: str) -> None:
    """A file that would be skipped or sorted wrongly is an error, and shown without harm."""
    migration(tmp_path, "a", name, "CREATE TABLE a (x);")
    (finding,) = findings(tmp_path)
    assert finding.rule == "RF201"
    assert finding.file.isprintable()
    assert "YYYYMMDDhhmmss" in finding.fix
    assert (await refusal(tmp_path)).findings


async def test_links_are_refused(tmp_path: Path) -> None:
    """A file or a folder that lies elsewhere is not read, nor is a folder named as a file."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "20260101000000_one.sql").write_text("CREATE TABLE a (x);")
    inside = migration(tmp_path, "a", "20260101000001_link.sql", "")
    inside.unlink()
    inside.symlink_to(outside / "20260101000000_one.sql")
    (inside.parent / "20260101000002_folder.sql").mkdir()
    other = tmp_path / "domains" / "b"
    other.mkdir()
    (other / "migrations").symlink_to(outside)
    assert [(finding.rule, finding.file) for finding in findings(tmp_path)] == [
        ("RF201", "domains/a/migrations/20260101000001_link.sql"),
        ("RF201", "domains/a/migrations/20260101000002_folder.sql"),
        ("RF201", "domains/b/migrations"),
    ]
    assert len((await refusal(tmp_path)).findings) == 3


async def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """Neither another encoding nor a NUL reaches the database."""
    migration(tmp_path, "a", "20260101000000_one.sql", "").write_bytes(b"-- \xe9\n")
    migration(tmp_path, "a", "20260101000001_two.sql", "SELECT '\0'")
    assert [finding.rule for finding in findings(tmp_path)] == ["RF201", "RF201"]


async def test_notes_and_hidden_files_are_left_alone(tmp_path: Path) -> None:
    """Only what is or looks like a migration counts."""
    migration(tmp_path, "a", "README.md", "How we migrate.")
    migration(tmp_path, "a", ".20260101000000_one.sql.swp", "…")
    assert findings(tmp_path) == []
    async with running(make(tmp_path)) as driver:
        assert await tables(kernel(driver)) == []


@pytest.mark.parametrize(
    "other",
    [
        "CREATE TABLE orders (x)",
        "create table if not exists ORDERS (x)",
        'CREATE TABLE "Orders" (x)',
        "CREATE TABLE main.[orders] (x)",
        "CREATE VIRTUAL TABLE `orders` USING fts5 (x)",
        "CREATE VIEW 'orders' AS SELECT 1",
        "CREATE TABLE mine (x);\nALTER TABLE mine RENAME TO orders",
    ],
)
async def test_two_domains_cannot_have_one_table(tmp_path: Path, other: str) -> None:
    """However its name is written, the finding names both owners and both places."""
    migration(tmp_path, "orders", "20260101000000_orders.sql", "\nCREATE TABLE orders (x);")
    migration(tmp_path, "billing", "20260101000001_mine.sql", other)
    (finding,) = findings(tmp_path)
    assert finding.rule == "RF202"
    assert finding.file == "domains/billing/migrations/20260101000001_mine.sql"
    assert finding.line == other.count("\n") + 1
    assert "orders (domains/orders/migrations/20260101000000_orders.sql:2)" in finding.message
    assert "billing" in finding.message
    assert (await refusal(tmp_path)).findings == (finding,)


async def test_another_database_has_migrations_of_its_own(tmp_path: Path) -> None:
    """Those of the instance `archive` are in a folder of that name, and checked alike."""
    migration(tmp_path, "a", "20260101000000_one.sql", "CREATE TABLE one (x);")
    migration(tmp_path, "a", "archive/20260101000000_old.sql", "CREATE TABLE old (x);")
    async with running(make(tmp_path)) as driver, running(make(tmp_path, "archive")) as archive:
        assert await tables(kernel(driver)) == ["one"]
        assert await tables(kernel(archive, "archive")) == ["old"]
    migration(tmp_path, "a", "archive/bad.sql", "")
    assert [finding.file for finding in findings(tmp_path)] == [
        "domains/a/migrations/archive/bad.sql"
    ]


def test_the_tool_announces_its_check() -> None:
    """The kernel finds the check where it looks for it."""
    assert SPEC.check is check

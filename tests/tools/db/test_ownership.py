"""In SQLite, a domain's statements reach its own tables, in whatever way others are written."""

import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from ringfence.errors import StartRefused
from ringfence.tools.db import Database, ForeignTable, QueryError
from ringfence.tools.db.suite.ownership import Handles, OwnershipConformance, Start

from .support import handle, kernel, make, migration, migrations, running

pytestmark = pytest.mark.anyio


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """A database over a folder of its own."""

    @asynccontextmanager
    async def started(texts: Mapping[str, str]) -> AsyncIterator[Handles]:
        migrations(tmp_path, texts)
        async with running(make(tmp_path)) as driver:
            yield lambda plugin: handle(driver, plugin) if "." in plugin else kernel(driver)

    return started


class TestSqlite(OwnershipConformance):
    """SQLite's authorizer, and what it is not told of."""

    @pytest.fixture
    def start(self, start: Start) -> Start:
        return start


STOCK = """
CREATE TABLE Stock (sku TEXT PRIMARY KEY, name TEXT, on_hand INTEGER NOT NULL);
CREATE TABLE "odd ""name" (n INTEGER);
CREATE TABLE Ärmel (n INTEGER);
CREATE TABLE seen (id INTEGER PRIMARY KEY AUTOINCREMENT, sku TEXT);
CREATE VIEW shelf AS SELECT sku FROM Stock;
CREATE VIRTUAL TABLE words USING fts5 (body);
CREATE INDEX stock_by_name ON Stock (name);
INSERT INTO Stock VALUES ('tea', 'stock', 7);
INSERT INTO words VALUES ('secret');
INSERT INTO seen (sku) VALUES ('tea');
"""
ORDERS = """
CREATE TABLE orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sku TEXT, name TEXT, sql TEXT, seq INTEGER, type TEXT
);
CREATE TABLE lines (order_id INTEGER REFERENCES orders (id) ON DELETE CASCADE, n INTEGER);
CREATE TABLE ärmel (n INTEGER);
CREATE TABLE "stoc\u212a" (n INTEGER);
CREATE VIEW last_orders AS SELECT * FROM orders ORDER BY id DESC LIMIT 5;
CREATE VIRTUAL TABLE notes USING fts5 (body);
CREATE VIRTUAL TABLE places USING rtree (id, low, high);
CREATE VIRTUAL TABLE older USING fts4 (body);
CREATE VIRTUAL TABLE terms USING fts5vocab ('notes', 'row');
CREATE TRIGGER count_lines AFTER INSERT ON orders BEGIN
    INSERT INTO lines VALUES (new.id, 1);
END;
INSERT INTO orders (sku, name) VALUES ('tea', 'Stock');
"""
SCHEMAS = {"inventory": STOCK, "orders": ORDERS}

REFUSED = [
    # However the name is written.
    "SELECT 1 FROM sToCk",
    "SELECT 1 FROM main.stock",
    'SELECT 1 FROM "main"."stock"',
    "SELECT 1 FROM [stock]",
    "SELECT 1 FROM `stock`",
    "SELECT 1 FROM 'stock'",
    "SELECT 1 FROM/**/stock--",
    "SELECT 1 FROM/**/\ufeffstock",
    "SELECT 1 FROM \ufeff stock",
    'SELECT 1 FROM "odd ""name"',
    'SELECT 1 FROM [odd "name]',
    "SELECT 1 FROM Ärmel",
    # Where SQLite's authorizer is not asked.
    "SELECT o.id FROM orders o JOIN stock USING (sku)",
    "SELECT o.id FROM orders o LEFT JOIN stock s USING (sku, name)",
    "SELECT o.id FROM orders o NATURAL JOIN stock",
    "SELECT o.id FROM (SELECT sku, id FROM orders) o NATURAL JOIN (stock)",
    "UPDATE orders SET name = 'x' WHERE id IN (SELECT o.id FROM orders o JOIN stock USING (sku))",
    "DELETE FROM orders WHERE EXISTS (SELECT 1 FROM lines NATURAL JOIN stock)",
    "SELECT o.id FROM orders o JOIN shelf USING (sku)",
    "SELECT 1 FROM orders o JOIN sqlite_master USING (name)",
    "SELECT 1 FROM orders o JOIN sqlite_schema USING (sql)",
    "SELECT 1 FROM orders o JOIN sqlite_sequence USING (seq)",
    "SELECT 1 FROM orders o JOIN pragma_table_list USING (name)",
    "SELECT 1 FROM orders o JOIN dbstat USING (name)",
    "SELECT 1 FROM orders o JOIN sqlite_stmt USING (sql)",
    # In every place where a table may stand.
    "SELECT 1 WHERE 'tea' IN stock",
    "SELECT id FROM orders WHERE (sku, name, 1) IN main.stock",
    "SELECT 1 FROM orders, (stock)",
    "SELECT 1 FROM (orders CROSS JOIN stock)",
    "SELECT * FROM orders ORDER BY (SELECT on_hand FROM stock)",
    "SELECT id FROM orders GROUP BY id HAVING count(*) > (SELECT count(*) FROM stock)",
    "SELECT id FROM orders LIMIT (SELECT count(*) FROM stock)",
    "SELECT CASE WHEN EXISTS (SELECT 1 FROM stock) THEN 1 END",
    "SELECT sum(id) OVER (ORDER BY (SELECT 1 FROM stock)) FROM orders",
    "SELECT sum(id) FILTER (WHERE sku IN stock) FROM orders",
    "SELECT json_group_array(on_hand) FROM stock",
    "SELECT value FROM json_each((SELECT json_group_array(on_hand) FROM stock))",
    "VALUES ((SELECT on_hand FROM stock))",
    "VALUES (1) UNION ALL SELECT on_hand FROM stock",
    "SELECT 1 INTERSECT SELECT on_hand FROM stock",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT on_hand FROM stock, r) SELECT * FROM r",
    "WITH stock AS (SELECT 1) SELECT * FROM main.stock",
    "WITH stock AS NOT MATERIALIZED (SELECT 1) SELECT count(*) FROM stock, main.stock AS other",
    "INSERT INTO orders (name) WITH s AS (SELECT name FROM stock) SELECT name FROM s",
    "INSERT INTO lines SELECT 1, 1 FROM stock",
    "INSERT INTO orders (id) VALUES (1) ON CONFLICT DO UPDATE SET seq = (SELECT 1 FROM stock)",
    "INSERT INTO lines VALUES (1, 1) RETURNING (SELECT name FROM stock)",
    "WITH stock AS (SELECT 1) INSERT INTO stock (sku, on_hand) VALUES ('a', 1)",
    "REPLACE INTO stock (sku, on_hand) VALUES ('tea', 0)",
    "INSERT OR IGNORE INTO stock DEFAULT VALUES",
    "UPDATE OR FAIL stock SET on_hand = 1 RETURNING sku",
    "UPDATE orders SET (name, sku) = (SELECT name, sku FROM stock)",
    "UPDATE lines SET n = s.on_hand FROM stock AS s",
    "DELETE FROM stock INDEXED BY stock_by_name WHERE name = 'stock'",
    "EXPLAIN QUERY PLAN SELECT * FROM stock",
    # What others have besides tables.
    "SELECT * FROM shelf",
    "SELECT * FROM words",
    "SELECT * FROM words_content",
    "SELECT * FROM words_data",
    "DELETE FROM words_data",
    "INSERT INTO words (words) VALUES ('delete-all')",
    "INSERT INTO notes SELECT body FROM words WHERE words MATCH 'secret'",
    # What SQLite tells of the whole file.
    "SELECT * FROM sqlite_master",
    "SELECT name FROM main.sqlite_schema",
    "SELECT * FROM temp.sqlite_master",
    "SELECT * FROM sqlite_temp_schema",
    "SELECT * FROM 'sqlite_master'",
    "SELECT * FROM sqlite_sequence",
    "UPDATE sqlite_sequence SET seq = 0 WHERE name = 'seen'",
    "DELETE FROM sqlite_sequence",
    "SELECT * FROM sqlite_stat1",
    "SELECT sql FROM sqlite_stmt",
    "SELECT * FROM sqlite_dbpage",
    "SELECT * FROM dbstat",
    "SELECT name FROM pragma_table_list",
    "SELECT * FROM pragma_table_info('stock')",
    "SELECT * FROM pragma_foreign_key_list('stock')",
    "SELECT * FROM pragma_index_list('stock')",
    "SELECT file FROM pragma_database_list",
    "SELECT count(*) FROM pragma_function_list",
    "SELECT (SELECT group_concat(name) FROM pragma_table_xinfo('stock'))",
    # Out of the file, or around the rules.
    "ATTACH 'copy.db' AS copy",
    "EXPLAIN ATTACH 'copy.db' AS copy",
    "DETACH main",
    "VACUUM",
    "VACUUM INTO 'copy.db'",
    "PRAGMA writable_schema = ON",
    "EXPLAIN PRAGMA writable_schema = ON",
    "EXPLAIN PRAGMA query_only = OFF",
    "SELECT load_extension('evil')",
    "SELECT fts3_tokenizer('simple')",
    "INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 2, 'CREATE TABLE x (y)')",
    "UPDATE sqlite_master SET sql = '' WHERE name = 'stock'",
    "CREATE TEMP TABLE stock (sku)",
    "CREATE TEMP VIEW orders AS SELECT * FROM stock",
    "CREATE TEMP TRIGGER t AFTER INSERT ON orders BEGIN DELETE FROM stock; END",
    "EXPLAIN CREATE TEMP TABLE stock (sku)",
    "ALTER TABLE stock RENAME TO stolen",
    "DROP TABLE stock",
    "REINDEX stock",
    "ANALYZE stock",
    "EXPLAIN DROP TABLE stock",
    "SELECT 1; SELECT * FROM stock",
    "SELECT 1 /* ; */; SELECT * FROM stock",
]

HARMLESS = [
    "SELECT * FROM orders",
    "SELECT count(*) FROM orders, lines",
    "SELECT * FROM last_orders",
    "SELECT count(*) FROM last_orders",
    "SELECT 1 FROM\ufeffstock",  # a column's name
    "SELECT * FROM ärmel",
    "SELECT count(*) FROM ärmel",
    "SELECT * FROM stoc\u212a",
    "SELECT 'SELECT * FROM stock', \"sku\" AS [stock] FROM orders /* stock */ -- stock",
    "SELECT stock.sku FROM orders AS stock",
    "SELECT * FROM (SELECT 1 AS n) AS stock",
    "SELECT count(*) FROM (SELECT 1 AS n) AS stock",
    "WITH stock AS (SELECT 1 AS n) SELECT count(*) FROM stock",
    "WITH stock(n) AS (SELECT 1) SELECT n FROM stock NATURAL JOIN lines",
    "WITH stock AS (SELECT 1) INSERT INTO lines SELECT NULL, count(*) FROM stock",
    "INSERT INTO lines WITH stock AS (SELECT 1) SELECT NULL, count(*) FROM stock",
    "WITH stock AS (SELECT 3) INSERT INTO lines VALUES (NULL, 1) RETURNING (SELECT 1 FROM stock)",
    "WITH RECURSIVE shelf(i) AS (VALUES (1) UNION SELECT 2 FROM shelf) SELECT count(*) FROM shelf",
    "SELECT o.id FROM orders o JOIN lines l ON l.order_id = o.id NATURAL JOIN ärmel",
    "SELECT count(*) FROM json_each('[1, 2]')",
    "SELECT key FROM json_tree('{\"stock\": 1}'), orders",
    "SELECT sqlite_version()",
    "INSERT INTO orders (sku) VALUES ('a') RETURNING id",
    "INSERT INTO orders (id, sku) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET sku = 'b'",
    "UPDATE orders SET seq = lines.n FROM lines WHERE lines.order_id = orders.id",
    "DELETE FROM orders",
    "INSERT INTO notes VALUES ('tea for two')",
    "SELECT snippet(notes, 0, '<', '>', '…', 5) FROM notes WHERE notes MATCH 'tea'",
    "INSERT INTO notes (notes) VALUES ('optimize')",
    "DELETE FROM notes WHERE rowid = 1",
    "SELECT * FROM notes_content",
    "SELECT term FROM terms",
    "INSERT INTO older VALUES ('tea')",
    "SELECT count(*) FROM older WHERE older MATCH 'tea'",
    "INSERT OR REPLACE INTO places VALUES (1, 2, 3)",
    "SELECT id FROM places WHERE low > 1",
    "EXPLAIN QUERY PLAN SELECT * FROM orders",
]


async def contents(database: Database) -> list[object]:
    """All that inventory has."""
    tables = ("stock", "words", "seen", '"odd ""name"', "Ärmel", "sqlite_sequence")
    return [await database.fetch_all(f"SELECT * FROM {table}") for table in tables]


async def outcome(database: Database, sql: str) -> str:
    """Run a statement on the reading and on the writing connection; say how it was refused."""
    try:
        await database.fetch_all(sql)
    except (ForeignTable, QueryError) as error:
        with pytest.raises(type(error)):
            async with database.transaction() as tx:
                await tx.fetch_all(sql)
        return f"{error.code}: {error}"
    async with database.transaction() as tx:
        await tx.fetch_all(sql)
    return ""


async def test_every_way_to_another_domains_table_is_closed(start: Start, tmp_path: Path) -> None:
    """Each is refused, nothing of the other domain changes, and nothing is told of it."""
    async with start(SCHEMAS) as handles:
        orders, kernel = handles("orders.place_order"), handles("kernel")
        before = await contents(kernel)
        outcomes = {sql: await outcome(orders, sql) for sql in REFUSED}
        assert [sql for sql, said in outcomes.items() if not said] == []
        assert [said for said in outcomes.values() if "on_hand INTEGER" in said] == []
        assert await contents(kernel) == before
        assert not list(tmp_path.rglob("copy.db*"))


async def test_what_is_a_domains_own_is_not_refused(start: Start) -> None:
    """Whatever it is called, the first time and the next."""
    async with start(SCHEMAS) as handles:
        orders, kernel = handles("orders.place_order"), handles("kernel")
        before = await contents(kernel)
        for _ in range(2):
            outcomes = {sql: await outcome(orders, sql) for sql in HARMLESS}
            assert [said for said in outcomes.values() if said] == []
        assert (await contents(kernel))[:-1] == before[:-1]


TIED = {
    "a list": "DELETE FROM orders WHERE sku IN stock;",
    "a view over a list": "CREATE VIEW v AS SELECT id FROM orders WHERE sku IN stock;",
    "a check of a trigger": "CREATE TRIGGER t BEFORE UPDATE ON orders WHEN new.sku NOT IN stock\n"
    "BEGIN SELECT raise(ABORT, 'unknown'); END;",
    "a trigger's change": "CREATE TRIGGER t AFTER DELETE ON orders BEGIN DELETE FROM stock; END;",
    "a view's trigger": "CREATE TRIGGER t INSTEAD OF DELETE ON last_orders\n"
    "BEGIN SELECT 1 WHERE 'a' IN stock; END;",
    "another's trigger": "CREATE TRIGGER t AFTER INSERT ON stock BEGIN SELECT 1; END;",
    "another's index": "CREATE INDEX IF NOT EXISTS i ON main.stock (name);",
    "another's index's end": "DROP INDEX stock_by_name;",
    "a search over another's rows": "CREATE VIRTUAL TABLE s USING fts5 (name, content='stock');",
    "a search over another's words": "CREATE VIRTUAL TABLE s USING fts5vocab ('words', 'row');",
    "what a search keeps": "DELETE FROM words_data;",
    "a list for a copy": "CREATE TABLE copy AS SELECT id FROM orders WHERE sku IN stock;",
    "an unseen join": "CREATE TABLE t AS SELECT id FROM orders JOIN (stock) USING (sku);",
    "statistics": "ANALYZE stock;",
}
FORBIDDEN = {
    "the schema": "INSERT INTO orders (sql) SELECT sql FROM sqlite_schema;",
    "the schema by its table": "CREATE TABLE copy AS SELECT sql FROM 'sqlite_master';",
    "counters": "UPDATE sqlite_sequence SET seq = 0;",
    "the pages": "CREATE VIRTUAL TABLE p USING dbstat;",
    "a temporary table": "CREATE TABLE temp.copy (sku);",
    "an extension": "INSERT INTO lines SELECT 1, load_extension('evil');",
    "a pragma": "INSERT INTO orders (name) SELECT name FROM pragma_table_list;",
    "a view of nothing": "CREATE VIEW v AS SELECT * FROM nowhere;",
    "a trigger for nothing": "CREATE TRIGGER t AFTER DELETE ON lines\n"
    "BEGIN DELETE FROM nowhere; END;",
}


async def refusal(start: Start, more: str) -> StartRefused:
    """Start in vain, with more in the migration of orders."""
    with pytest.raises(StartRefused) as refused:
        async with start({"inventory": STOCK, "orders": ORDERS + "\n\n" + more}):
            pass
    return refused.value


@pytest.mark.parametrize("tie", TIED)
async def test_a_migration_cannot_tie_itself_to_another_domain(start: Start, tie: str) -> None:
    """What its text does not show is found when it is applied, at its line; nothing is kept."""
    (finding,) = (await refusal(start, TIED[tie])).findings
    assert finding.rule == "RF210"
    assert finding.line == ORDERS.count("\n") + 3
    assert "one of inventory" in finding.message
    async with start({"inventory": STOCK, "orders": ORDERS}) as handles:
        assert await handles("kernel").fetch_value("SELECT count(*) FROM orders", into=int) == 1


@pytest.mark.parametrize("what", FORBIDDEN)
async def test_a_migration_keeps_to_tables(start: Start, what: str) -> None:
    """A view or a trigger that cannot be used would keep other domains from altering theirs."""
    (finding,) = (await refusal(start, FORBIDDEN[what])).findings
    assert finding.rule in {"RF203", "RF204"}
    assert finding.line == ORDERS.count("\n") + 3


async def test_owners_follow_what_migrations_do(tmp_path: Path) -> None:
    """A name given up is nobody's, a new one is the domain's, what belongs to it too."""
    migrations(tmp_path, SCHEMAS)
    async with running(make(tmp_path)):
        pass
    more = (
        "DROP TABLE lines; DROP TRIGGER count_lines; ALTER TABLE notes RENAME TO remarks;\n"
        "CREATE TABLE newer (id INTEGER PRIMARY KEY, sku TEXT);\n"
        "INSERT INTO newer SELECT id, sku FROM orders; DROP VIEW last_orders; DROP TABLE orders;\n"
        "ALTER TABLE newer RENAME TO orders; DROP VIEW IF EXISTS nowhere; DROP TABLE terms;"
    )
    migration(tmp_path, "orders", "20260102000000_more.sql", more)
    async with running(make(tmp_path)) as driver:
        orders = handle(driver)
        assert await orders.fetch_all("SELECT * FROM orders") == [{"id": 1, "sku": "tea"}]
        assert await orders.execute("INSERT INTO remarks VALUES ('kept')") == 1
        assert await orders.fetch_all("SELECT * FROM remarks_content")
        owned = await kernel(driver).fetch_all("SELECT name, domain FROM ringfence_owners")
        of_orders = {row["name"] for row in owned if row["domain"] == "orders"}
        assert of_orders >= {"orders", "remarks", "remarks_data", "places", "places_node"}
        assert not of_orders & {"newer", "lines", "notes", "notes_data", "last_orders", "terms"}


async def test_a_database_from_before_there_were_owners_gets_them(
    start: Start, tmp_path: Path
) -> None:
    """From the text of its migrations; the tables behind a virtual one are its creator's."""
    async with start(SCHEMAS) as handles:
        recorded = await handles("kernel").fetch_all("SELECT * FROM ringfence_owners")
    with closing(sqlite3.connect(tmp_path / "data" / "shop.db")) as line:
        line.execute("DROP TABLE ringfence_owners")
        line.commit()
    async with start(SCHEMAS) as handles:
        assert recorded
        assert await handles("kernel").fetch_all("SELECT * FROM ringfence_owners") == recorded
        assert await handles("orders.place_order").fetch_all("SELECT body FROM notes") == []


async def test_a_migration_may_take_over_a_table_that_is_nobodys(tmp_path: Path) -> None:
    """An application that had a database before keeps it; until then the table is hidden."""
    (tmp_path / "data").mkdir()
    with closing(sqlite3.connect(tmp_path / "data" / "shop.db")) as line:
        line.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT)")
        line.execute("INSERT INTO customers VALUES (1, 'Ada')")
        line.execute("CREATE TABLE archive (id INTEGER)")
        line.commit()
    migrations(tmp_path, {"orders": "CREATE TABLE IF NOT EXISTS customers (id, name);"})
    async with running(make(tmp_path)) as driver:
        found = await handle(driver).fetch_all("SELECT name FROM customers")
        assert found == [{"name": "Ada"}]
        with pytest.raises(ForeignTable):
            await handle(driver, "billing.charge").fetch_all("SELECT name FROM customers")
        with pytest.raises(QueryError, match="no such table: archive; expected one that"):
            await handle(driver).fetch_all("SELECT count(*) FROM archive")


async def test_what_changed_outside_is_seen_at_once(start: Start, tmp_path: Path) -> None:
    """A schema that another process changed makes SQLite prepare anew what had run before: for
    the domain that runs it, under the owners of now."""
    async with start(SCHEMAS) as handles:
        orders, inventory = handles("orders.place_order"), handles("inventory.count")
        own, other = "SELECT count(*) FROM lines", "SELECT on_hand FROM stock"
        with closing(sqlite3.connect(tmp_path / "data" / "shop.db")) as line:
            for column in ("one", "two", "three"):
                assert await orders.fetch_value(own, into=int) == 1
                assert await inventory.fetch_value(other, into=int) == 7
                with pytest.raises(ForeignTable):
                    await orders.fetch_value(other)
                line.execute(f"ALTER TABLE stock ADD COLUMN {column} TEXT")
            line.execute("CREATE TABLE audit (sku TEXT)")
            line.execute(
                "CREATE TRIGGER by_hand AFTER UPDATE ON stock "
                "BEGIN INSERT INTO audit VALUES (new.sku); END"
            )
            line.execute("CREATE TABLE bins (n INTEGER)")
            line.execute("INSERT INTO ringfence_owners VALUES ('bins', 'inventory')")
            line.commit()
        for _ in range(2):
            assert await inventory.execute("UPDATE stock SET on_hand = on_hand") == 1
            assert await inventory.execute("INSERT INTO bins VALUES (1)") == 1
            with pytest.raises(ForeignTable):
                await orders.execute("INSERT INTO bins VALUES (1)")
        assert await handles("kernel").fetch_value("SELECT count(*) FROM audit", into=int) == 2


async def test_more_texts_than_are_remembered(start: Start) -> None:
    """Of those that are looked at again, each is looked at as the first time."""
    async with start(SCHEMAS) as handles:
        orders = handles("orders.place_order")
        assert await orders.fetch_value("SELECT count(*) FROM orders", into=int) == 1
        for number in range(9000):
            await orders.fetch_value(f"SELECT {number}")
        assert await orders.fetch_value("SELECT count(*) FROM orders", into=int) == 1
        with pytest.raises(ForeignTable):
            await orders.fetch_value("SELECT count(*) FROM stock")


async def test_a_change_from_outside_costs_many_rows_none_of_them(
    start: Start, tmp_path: Path
) -> None:
    """What is refused by the owners of before runs again, from the first row on."""
    schemas = {
        "orders": "CREATE TABLE note (id INTEGER PRIMARY KEY);",
        "inventory": "CREATE TABLE seen (id INTEGER);",
    }
    insert = "INSERT INTO note (id) VALUES ($1)"
    async with start(schemas) as handles:
        db = handles("orders.place")
        for number in range(3):
            assert await db.execute_many(insert, [(number,)]) == 1
        with closing(sqlite3.connect(tmp_path / "data" / "shop.db", isolation_level=None)) as line:
            line.execute("UPDATE ringfence_owners SET domain = 'orders' WHERE name = 'seen'")
            line.execute(
                "CREATE TRIGGER look AFTER INSERT ON note "
                "BEGIN INSERT INTO seen VALUES (new.id); END"
            )
        assert await db.execute_many(insert, [(10,), (11,), (12,)]) == 3
        for table in ("note", "seen"):
            found = await db.fetch_all(f"SELECT id FROM {table} WHERE id > 9 ORDER BY id")
            assert [row["id"] for row in found] == [10, 11, 12]

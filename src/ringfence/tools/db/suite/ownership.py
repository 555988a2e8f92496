"""The executable contract of table ownership: what every driver that keeps it does.

    @pytest.mark.anyio
    class TestMyDriver(OwnershipConformance):
        @pytest.fixture
        def start(self, tmp_path: Path) -> Start: ...

`start` takes the text of one migration for each domain, and gives a started database as a function
from a plugin's name to its handle, inside an `async with`. A plugin without a dot is the kernel.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager

import pytest

from ringfence.errors import StartRefused
from ringfence.tools.db.contract import Database, ForeignTable, QueryError

Handles = Callable[[str], Database]
Start = Callable[[Mapping[str, str]], AbstractAsyncContextManager[Handles]]

SCHEMAS = {
    "inventory": "CREATE TABLE stock (sku VARCHAR(20) PRIMARY KEY, on_hand BIGINT NOT NULL);\n"
    "INSERT INTO stock VALUES ('tea', 7);",
    "orders": "CREATE TABLE orders (id BIGINT PRIMARY KEY, sku VARCHAR(20), on_hand BIGINT);\n"
    "CREATE VIEW teas AS SELECT id FROM orders WHERE sku = 'tea';\n"
    "INSERT INTO orders VALUES (1, 'tea', 0);",
}

FOREIGN = [
    "SELECT * FROM stock",
    "SELECT on_hand FROM stock WHERE sku = 'tea'",
    "SELECT count(*) FROM stock",
    "SELECT nowhere FROM stock",
    'SELECT count(*) FROM "stock"',
    "SELECT count(*) FROM STOCK",
    "SELECT s.on_hand FROM orders o JOIN stock s ON s.sku = o.sku",
    "SELECT orders.id FROM orders JOIN stock USING (sku)",
    "SELECT orders.id FROM orders NATURAL JOIN stock",
    "SELECT orders.id FROM orders, stock",
    "SELECT id FROM orders WHERE sku IN (SELECT sku FROM stock)",
    "SELECT id FROM orders WHERE EXISTS (SELECT 1 FROM stock)",
    "SELECT (SELECT max(on_hand) FROM stock)",
    "SELECT x.sku FROM (SELECT sku FROM stock) AS x",
    "SELECT sku FROM orders UNION SELECT sku FROM stock",
    "WITH s AS (SELECT sku FROM stock) SELECT * FROM s",
    "WITH stock2 AS (SELECT count(*) AS n FROM stock) SELECT n FROM stock2",
    "SELECT (WITH stock AS (SELECT 1) SELECT count(*) FROM stock), (SELECT count(*) FROM stock)",
    "INSERT INTO stock VALUES ('coffee', 1)",
    "INSERT INTO stock SELECT 'coffee', 1",
    "INSERT INTO orders SELECT 9, sku, on_hand FROM stock",
    "INSERT INTO stock VALUES ('tea', 1) ON CONFLICT (sku) DO UPDATE SET on_hand = 0",
    "INSERT INTO orders VALUES (9, 'a', 1) RETURNING (SELECT max(on_hand) FROM stock)",
    "UPDATE stock SET on_hand = 0",
    "UPDATE orders SET sku = stock.sku FROM stock WHERE stock.on_hand > orders.id",
    "UPDATE orders SET on_hand = (SELECT max(on_hand) FROM stock)",
    "DELETE FROM stock",
    "DELETE FROM orders WHERE sku IN (SELECT sku FROM stock)",
    "WITH few AS (SELECT 'tea' AS sku) DELETE FROM stock WHERE sku IN (SELECT sku FROM few)",
    "EXPLAIN SELECT * FROM stock",
]

OWN = [
    ("SELECT count(*) AS n FROM orders", 1),
    ("SELECT count(*) AS n FROM teas", 1),
    ("WITH stock AS (SELECT 5 AS n) SELECT n FROM stock", 5),
    ("WITH stock AS (SELECT 5 AS n) SELECT count(*) AS n FROM stock", 1),
    ("SELECT (WITH stock AS (SELECT 3) SELECT count(*) FROM stock) AS n", 1),
    ("SELECT stock.id AS n FROM orders AS stock", 1),
    ("SELECT id AS n FROM orders WHERE sku <> 'stock'", 1),
    ('SELECT id AS "stock" FROM orders', 1),
    ("WITH RECURSIVE i(n) AS (VALUES (1) UNION SELECT 3 FROM i) SELECT max(n) AS n FROM i", 3),
]

TIED = {
    "a reference": "CREATE TABLE holds (sku VARCHAR(20) REFERENCES stock (sku))",
    "a named reference": "CREATE TABLE holds (sku VARCHAR(20), "
    "CONSTRAINT of_stock FOREIGN KEY (sku) REFERENCES stock (sku) ON DELETE CASCADE)",
    "a view": "CREATE VIEW held AS SELECT * FROM orders, stock",
    "a view that reads no column": "CREATE VIEW held AS SELECT o.id FROM orders o "
    "NATURAL JOIN (stock)",
    "a change": "ALTER TABLE stock ADD COLUMN more BIGINT",
    "a drop": "DROP TABLE stock",
    "a drop of what may be missing": "DROP TABLE IF EXISTS stock",
    "an index": "CREATE UNIQUE INDEX by_hand ON stock (on_hand)",
    "rows": "INSERT INTO stock VALUES ('coffee', 3)",
    "an update": "UPDATE stock SET on_hand = 0",
    "a delete": "DELETE FROM stock WHERE sku IN (SELECT sku FROM orders)",
    "a copy": "CREATE TABLE copies AS SELECT * FROM stock",
    "a copy of rows": "INSERT INTO orders SELECT 5, sku, 1 FROM stock",
}


class OwnershipConformance:
    """A domain reads and writes the tables that its own migrations create, and no others."""

    @pytest.fixture
    def start(self) -> Start:
        """Override it."""
        raise NotImplementedError

    @pytest.fixture
    async def handles(self, start: Start) -> AsyncIterator[Handles]:
        """Two domains, started."""
        async with start(SCHEMAS) as started:
            yield started

    @pytest.mark.parametrize("sql", FOREIGN)
    async def test_another_domains_table_is_refused(self, handles: Handles, sql: str) -> None:
        """With who, what and whose; nothing changes, and neither domain is harmed."""
        orders = handles("orders.place_order")
        with pytest.raises(ForeignTable) as refused:
            await orders.fetch_all(sql)
        text = str(refused.value)
        for said in ("orders.place_order", "stock", "inventory", "Call a service of inventory."):
            assert said in text
        with pytest.raises(ForeignTable):
            async with orders.transaction() as tx:
                await tx.execute(sql)
        kernel = handles("kernel")
        assert await kernel.fetch_all("SELECT * FROM stock") == [{"sku": "tea", "on_hand": 7}]
        assert await orders.fetch_all("SELECT * FROM orders") == [
            {"id": 1, "sku": "tea", "on_hand": 0}
        ]
        assert await handles("inventory.count").execute("UPDATE stock SET on_hand = 8") == 1

    @pytest.mark.parametrize("sql,expected", OWN)
    async def test_what_only_looks_like_one_is_not(
        self, handles: Handles, sql: str, expected: int
    ) -> None:
        """A name of its own for something of its own is a domain's own affair."""
        (row,) = await handles("orders.place_order").fetch_all(sql)
        assert list(row.values()) == [expected]

    async def test_one_text_is_judged_for_each_domain(self, handles: Handles) -> None:
        """Prepared for its owner, again and again, it is still not another's."""
        sql = "SELECT on_hand FROM stock WHERE sku = $1"
        orders, inventory = handles("orders.place_order"), handles("inventory.count")
        for _ in range(5):
            assert await inventory.fetch_value(sql, "tea") == 7
            assert await handles("kernel").fetch_value(sql, "tea") == 7
            with pytest.raises(ForeignTable):
                await orders.fetch_value(sql, "tea")
        for disguised in ("/* inventory inventory.count */ " + sql, "/* * kernel */ " + sql):
            with pytest.raises(ForeignTable):
                await orders.fetch_value(disguised, "tea")

    async def test_two_plugins_of_a_domain_share_its_tables(self, handles: Handles) -> None:
        """The domain owns them, not the feature."""
        for plugin in ("orders.place_order", "orders.cancel"):
            assert await handles(plugin).fetch_value("SELECT count(*) FROM orders", into=int) == 1

    async def test_a_savepoint_contains_a_refusal(self, handles: Handles) -> None:
        """As it does any other statement that fails."""
        orders = handles("orders.place_order")

        async def attempt() -> None:
            async with orders.transaction() as inner:
                await inner.execute("INSERT INTO orders VALUES (3, 'coffee', 1)")
                await inner.execute("DELETE FROM stock")

        async with orders.transaction() as tx:
            await tx.execute("INSERT INTO orders VALUES (2, 'coffee', 1)")
            with pytest.raises(ForeignTable):
                await attempt()
        assert await orders.fetch_value("SELECT max(id) FROM orders", into=int) == 2

    async def test_a_table_that_nobody_has_is_none(self, handles: Handles) -> None:
        """What is suggested instead is the domain's own; others' tables are not told of."""
        orders = handles("orders.place_order")
        with pytest.raises(QueryError, match="orders"):
            await orders.fetch_all("SELECT * FROM oders")
        with pytest.raises(QueryError) as unknown:
            await orders.fetch_all("SELECT * FROM stok")
        assert "stock" not in str(unknown.value)
        assert not isinstance(unknown.value, ForeignTable)

    async def test_the_tools_own_tables_are_no_features(self, handles: Handles) -> None:
        """The record of migrations is read by nobody else."""
        with pytest.raises(ForeignTable, match="Ringfence"):
            await handles("orders.place_order").fetch_all("SELECT * FROM ringfence_migrations")
        assert await handles("kernel").fetch_all("SELECT * FROM ringfence_migrations")

    @pytest.mark.parametrize("tie", TIED)
    @pytest.mark.parametrize("late", [False, True])
    async def test_a_migration_keeps_to_its_own_tables(
        self, start: Start, tie: str, late: bool
    ) -> None:
        """The finding names the file, the line and the owner, whichever of both comes first."""
        before, after = ("zoo", "orders") if late else ("inventory", "orders")
        schemas = {before: SCHEMAS["inventory"], after: SCHEMAS["orders"] + "\n\n" + TIED[tie]}
        with pytest.raises(StartRefused) as refused:
            async with start(schemas):
                pass
        (finding,) = refused.value.findings
        assert finding.rule == "RF210"
        assert finding.file.startswith("domains/orders/migrations/")
        assert finding.line == SCHEMAS["orders"].count("\n") + 3
        assert "stock" in finding.message
        assert f"one of {before}" in finding.message

"""SQL that reaches for another domain's table: refused with its owner's name, whatever the way."""

from pathlib import Path
from typing import cast

import pytest

from ringfence.errors import BootError
from ringfence.testing import TestApplication
from ringfence.tools.db import Database, ForeignTable, QueryError
from tests.kernel.apps import feature, running

from .bystander import BYSTANDER, asked_throughout, failed

pytestmark = pytest.mark.anyio

STOCK = "domains/inventory/migrations/20260101000000_stock.sql"
ORDERS = "domains/orders/migrations/20260102000000_orders.sql"
FILES = {
    **BYSTANDER,
    STOCK: "CREATE TABLE stock (sku TEXT PRIMARY KEY, on_hand INTEGER NOT NULL);\n"
    "CREATE VIEW shelf AS SELECT sku FROM stock;\nINSERT INTO stock VALUES ('tea', 7);",
    ORDERS: "CREATE TABLE orders (id INTEGER PRIMARY KEY, sku TEXT NOT NULL);",
    "domains/inventory/level.py": feature(
        """
        from ringfence.tools.db import Database, ForeignTable, QueryError


        class Level(Plugin):
            db: Database

            @service("inventory.level")
            async def level(self, sku: str) -> int:
                sql = "SELECT on_hand FROM stock WHERE sku = $1"
                return await self.db.fetch_value(sql, sku, into=int)
        """
    ),
    "domains/orders/place.py": feature(
        """
        from ringfence.tools.db import Database, Transaction


        class Place(Plugin):
            db: Database

            @service("orders.run")
            async def run(self, sql: str) -> int:
                return await self.db.execute(sql)

            @service("orders.run_inside")
            async def run_inside(self, sql: str, tx: Transaction) -> int:
                await tx.execute("INSERT INTO orders (sku) VALUES ('lost')")
                return await tx.execute(sql)

            @service("orders.place")
            async def place(self, sku: str) -> int:
                sql = "INSERT INTO orders (sku) VALUES ($1) RETURNING id"
                return await self.db.fetch_value(sql, sku, into=int)

            @service("orders.search")
            async def search(self, text: str) -> int:
                sql = "SELECT count(*) FROM orders WHERE sku LIKE '" + text + "'"
                return await self.db.fetch_value(sql, into=int)
        """
    ),
}
FOREIGN = [
    "SELECT on_hand FROM stock WHERE sku = 'tea'",
    "SELECT orders.id FROM orders JOIN stock USING (sku)",
    "UPDATE stock SET on_hand = 0",
    "DELETE FROM stock",
    "INSERT INTO orders (sku) SELECT sku FROM stock",
    "SELECT * FROM shelf",
]
ESCAPES = [
    "ATTACH 'copy.db' AS copy",
    "VACUUM INTO 'copy.db'",
    "PRAGMA writable_schema = ON",
    "EXPLAIN PRAGMA writable_schema = ON",
    "CREATE VIEW mine AS SELECT * FROM stock",
    "CREATE TEMP TABLE stock (sku TEXT)",
    "UPDATE sqlite_schema SET sql = 'CREATE TABLE stock (x)'",
    "SELECT 1; DELETE FROM stock",
]
INJECTED = [
    "x' UNION SELECT on_hand FROM stock --",
    "x' OR (SELECT on_hand FROM stock) > 5 --",
    "x'; DELETE FROM stock --",
    "x' UNION SELECT count(*) FROM sqlite_schema --",
]


async def is_whole(app: TestApplication) -> None:
    """Both domains work, and nothing of either was touched."""
    assert await app.call("inventory.level", sku="tea") == 7
    db = cast(Database, app.tool("db"))
    assert await db.fetch_value("SELECT count(*) FROM orders WHERE sku <> 'tea'", into=int) == 0
    assert isinstance(await app.call("orders.place", sku="tea"), int)


@pytest.mark.parametrize("service", ["orders.run", "orders.run_inside"])
async def test_another_domains_table_is_refused_with_its_owner(
    tmp_path: Path, service: str
) -> None:
    """The record names the plugin and the owner; the owner's own statements go on."""
    async with running(tmp_path, FILES) as app:
        async with asked_throughout(app):
            for sql in FOREIGN:
                with pytest.raises((ForeignTable, QueryError)):
                    await app.call(service, sql=sql)
                await is_whole(app)
        spans = failed(app, "orders.place", "ForeignTable")
        assert len({span.trace_id for span in spans}) == len(FOREIGN)
        for span in spans:
            assert span.failure is not None
            assert "inventory" in span.failure.message
            assert "orders.place" in span.failure.message


async def test_there_is_no_way_around(tmp_path: Path) -> None:
    """Neither out of the file, nor through its schema, nor by a name of one's own."""
    async with running(tmp_path, FILES) as app:
        async with asked_throughout(app):
            for sql in ESCAPES:
                with pytest.raises((ForeignTable, QueryError)):
                    await app.call("orders.run", sql=sql)
                await is_whole(app)
        assert len(app.spans) > len(ESCAPES)
        assert not list(tmp_path.rglob("copy.db*"))


async def test_what_is_injected_ends_at_the_domains_border(tmp_path: Path) -> None:
    """A feature that builds SQL from input is broken; what it breaks is its own domain's."""
    async with running(tmp_path, FILES) as app:
        async with asked_throughout(app):
            for text in INJECTED:
                with pytest.raises((ForeignTable, QueryError)):
                    await app.call("orders.search", text=text)
                await is_whole(app)
        assert len(failed(app, "orders.place", "ForeignTable")) == len(INJECTED) - 1
        assert len(failed(app, "orders.place", "QueryError")) == 1


@pytest.mark.parametrize(
    "more",
    [
        "ALTER TABLE orders ADD COLUMN of TEXT REFERENCES stock (sku);",
        "CREATE VIEW held AS SELECT orders.id FROM orders, stock;",
        "CREATE TRIGGER t AFTER INSERT ON orders BEGIN UPDATE stock SET on_hand = 0; END;",
        "CREATE TRIGGER t AFTER DELETE ON stock BEGIN DELETE FROM orders; END;",
        "DROP TABLE stock;",
        "DELETE FROM stock;",
    ],
)
async def test_a_migration_that_ties_two_domains_is_a_finding(tmp_path: Path, more: str) -> None:
    """With file and line, before anything starts; without it, the same database starts."""
    files = {**FILES, ORDERS: FILES[ORDERS] + "\n" + more}
    with pytest.raises(BootError) as refused:
        async with running(tmp_path, files):
            pass
    (finding,) = refused.value.findings
    assert (finding.file, finding.line, finding.rule) == (ORDERS, 2, "RF210")
    assert "inventory" in finding.message
    assert "service" in finding.fix
    async with running(tmp_path, FILES) as app:
        await is_whole(app)

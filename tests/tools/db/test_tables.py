"""What a statement's text says about the tables that it uses."""

import pytest

from ringfence.tools.db.tables import named

TRIGGER = """CREATE TRIGGER a AFTER UPDATE OF b, c ON d WHEN new.b IN (SELECT b FROM e) BEGIN
    UPDATE f SET g = 1;
    DELETE FROM h WHERE i;
    INSERT INTO j SELECT * FROM k JOIN l ON m;
END"""


@pytest.mark.parametrize(
    "sql,tables",
    [
        ("SELECT 1", []),
        ("SELECT a FROM b", ["b"]),
        ("SELECT a FROM b, c AS x, d y WHERE e = f ORDER BY g, h", ["b", "c", "d"]),
        ("SELECT a FROM main.b LEFT JOIN [C] ON a = d, `E``e` JOIN 'f' USING (g)",
         ["b", "c", "e`e", "f"]),
        ("SELECT a FROM (b JOIN c), ((d)), (SELECT 1 FROM e, f) AS x, g",
         ["b", "c", "d", "e", "f", "g"]),
        ("SELECT (SELECT max(a) FROM b), c FROM d WHERE EXISTS (SELECT 1 FROM e)", ["b", "d", "e"]),
        ("SELECT a FROM b UNION SELECT c FROM d", ["b", "d"]),
        ("SELECT * FROM json_each(a), b, generate_series(1, 2)", ["b"]),
        ("WITH a AS (SELECT 1 FROM b), c (x, y) AS MATERIALIZED (SELECT 2) SELECT * FROM a, c, d",
         ["b", "d"]),
        ("SELECT a IS NOT DISTINCT FROM b, extract(year FROM c), trim(both FROM d) FROM e", ["e"]),
        ("SELECT 'FROM a' /* FROM b */ -- FROM c", []),
        ("INSERT INTO a (b, c) SELECT d, e FROM f RETURNING g", ["a", "f"]),
        ("INSERT OR REPLACE INTO a VALUES (1) ON CONFLICT (b) DO UPDATE SET c = 1, d = 2", ["a"]),
        ("UPDATE OR IGNORE a SET b = 1, c = (SELECT 1 FROM d) FROM e, f", ["a", "d", "e", "f"]),
        ("DELETE FROM a WHERE b", ["a"]),
        ("CREATE TABLE a (b REFERENCES c (d) ON DELETE CASCADE ON UPDATE SET NULL)", ["c"]),
        ("CREATE TABLE a (e INT AS (b + 1), FOREIGN KEY (b, e) REFERENCES F)", ["f"]),
        ("CREATE UNIQUE INDEX IF NOT EXISTS a ON b (c) WHERE d IS DISTINCT FROM e", ["b"]),
        ("CREATE VIEW a AS SELECT b FROM c", ["c"]),
        (TRIGGER, ["d", "e", "f", "h", "j", "k", "l"]),
        ("CREATE TRIGGER a INSTEAD OF UPDATE ON b BEGIN SELECT 1 FROM c; END", ["b", "c"]),
        ("ALTER TABLE a ADD COLUMN b INT REFERENCES c", ["a", "c"]),
        ("ALTER TABLE a RENAME TO b", ["a"]),
        ("DROP TABLE IF EXISTS a", ["a"]),
        ("DROP VIEW main.a", ["a"]),
        ("SELECT a FROM", []),
        ("FROM", []),
        (") FROM a ) , b", ["a", "b"]),
    ],
)  # fmt: skip
def test_tables_are_told_from_columns(sql: str, tables: list[str]) -> None:
    """By the words before a name, in whatever way it is quoted; what is half a text is no error."""
    assert [token.called for token in named(sql)] == tables

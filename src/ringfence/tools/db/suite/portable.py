"""The SQL that means the same on every database: what `docs/db.md` lists, proved."""

from collections.abc import Sequence

import pytest

from ringfence.tools.db.contract import Database
from ringfence.tools.db.suite.subject import INSERT, Conformance

Rows = list[tuple[object, ...]]
# What it is, the statement, its parameters, the rows.
PORTABLE: Sequence[tuple[str, str, tuple[object, ...], Rows]] = [
    ("parameters", "SELECT name FROM item WHERE id = $2 AND amount > $1", (5, 1), [("a",)]),
    ("between", "SELECT id FROM item WHERE amount BETWEEN $1 AND $2 ORDER BY id", (10, 20),
     [(1,), (2,)]),
    ("in", "SELECT id FROM item WHERE id IN ($1, $2) ORDER BY id", (1, 3), [(1,), (3,)]),
    ("in none", "SELECT id FROM item WHERE id IN (SELECT item_id FROM part)", (), [(1,)]),
    ("exists", ("SELECT id FROM item WHERE NOT EXISTS (SELECT 1 FROM part WHERE item_id = item.id)"
     " ORDER BY id"), (), [(2,), (3,)]),
    ("inner join", "SELECT name, note FROM item JOIN part ON item_id = item.id", (), [("a", "n")]),
    ("left join", ("SELECT i.id, p.note FROM item AS i LEFT JOIN part AS p ON p.item_id = i.id"
     " ORDER BY i.id"), (), [(1, "n"), (2, None), (3, None)]),
    ("limit", "SELECT id FROM item ORDER BY id DESC LIMIT $1 OFFSET $2", (1, 1), [(2,)]),
    ("keyset", "SELECT id FROM item WHERE (amount, id) > ($1, $2) ORDER BY amount, id", (10, 1),
     [(2,), (3,)]),
    ("nulls", "SELECT id FROM item ORDER BY name NULLS LAST, id", (), [(1,), (2,), (3,)]),
    ("nulls first", "SELECT id FROM item ORDER BY name DESC NULLS FIRST", (), [(3,), (2,), (1,)]),
    ("group", ("SELECT amount >= 20 AS much, count(*) AS n FROM item GROUP BY amount >= 20"
     " HAVING count(*) > $1"), (1,), [(1, 2)]),
    ("aggregates", ("SELECT count(*) AS n, count(name) AS named, min(amount) AS low,"
     " max(amount) AS high, CAST(sum(amount) AS BIGINT) AS total,"
     " CAST(avg(amount) AS DOUBLE PRECISION) AS mean FROM item"), (), [(3, 2, 10, 30, 60, 20.0)]),
    ("no sum", "SELECT CAST(sum(amount) AS BIGINT) AS total FROM item WHERE id > 9", (), [(None,)]),
    ("filter", "SELECT count(*) FILTER (WHERE name IS NULL) AS n FROM item", (), [(1,)]),
    ("case", ("SELECT CASE WHEN amount > $1 THEN 'much' ELSE 'little' END AS w FROM item"
     " WHERE id = 3"), (25,), [("much",)]),
    ("coalesce", ("SELECT coalesce(name, 'none') AS w, nullif(amount, 30) AS x FROM item"
     " WHERE id = 3"), (), [("none", None)]),
    ("text", ("SELECT upper(name) || '-' || length(name) AS w, substr('abcdef', 2, 3) AS s,"
     " trim('  x ') AS t, replace('aba', 'a', 'c') AS r FROM item WHERE id = 1"), (),
     [("A-1", "bcd", "x", "cbc")]),
    ("like", "SELECT id FROM item WHERE lower(name) LIKE lower($1) ESCAPE '!'", ("A%",), [(1,)]),
    ("like literally", "SELECT id FROM item WHERE name LIKE $1 ESCAPE '!'", ("!%",), []),
    ("numbers", "SELECT 7 / 2 AS d, -7 / 2 AS n, 7 % 3 AS m, abs(-4) AS a, 7 / 2.0 AS f", (),
     [(3, -3, 1, 4, 3.5)]),
    ("null logic", "SELECT id FROM item WHERE (name = 'a') IS NOT TRUE ORDER BY id", (),
     [(2,), (3,)]),
    ("union", "SELECT 1 AS n UNION ALL SELECT 1 UNION SELECT 2 ORDER BY n", (), [(1,), (2,)]),
    ("except", "SELECT id FROM item EXCEPT SELECT item_id FROM part ORDER BY id", (),
     [(2,), (3,)]),
    ("with", "WITH much AS (SELECT id FROM item WHERE amount > $1) SELECT count(*) AS n FROM much",
     (15,), [(2,)]),
    ("with recursive", ("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
     " WHERE i < 4) SELECT i FROM n ORDER BY i"), (), [(1,), (2,), (3,), (4,)]),
    ("window", ("SELECT id, row_number() OVER (ORDER BY amount DESC) AS place,"
     " CAST(sum(amount) OVER (ORDER BY id) AS BIGINT) AS so_far FROM item ORDER BY id"), (),
     [(1, 3, 10), (2, 2, 30), (3, 1, 60)]),
    ("values", "WITH v (n) AS (VALUES (1), (2)) SELECT n FROM v ORDER BY n", (), [(1,), (2,)]),
    ("insert", INSERT + " RETURNING id, amount + 1 AS more", (9, "z", 1), [(9, 2)]),
    ("insert rows", "INSERT INTO item (id, amount) VALUES ($1, $2), ($3, $2)", (8, 1, 9), []),
    ("insert select", ("INSERT INTO item (id, amount) SELECT id + 10, amount FROM item"
     " WHERE id = $1 RETURNING id"), (1,), [(11,)]),
    ("with insert", ("WITH more AS (SELECT 40 AS id) INSERT INTO item (id, amount)"
     " SELECT id, 1 FROM more RETURNING id"), (), [(40,)]),
    ("on conflict do nothing", INSERT + " ON CONFLICT DO NOTHING RETURNING id", (1, "q", 1), []),
    ("on conflict do update", INSERT + " ON CONFLICT (id) DO UPDATE SET amount = item.amount"
     " + excluded.amount, name = excluded.name RETURNING name, amount", (1, "q", 5), [("q", 15)]),
    ("on conflict where", INSERT + " ON CONFLICT (id) DO UPDATE SET amount = excluded.amount"
     " WHERE item.amount < excluded.amount RETURNING amount", (1, "a", 5), []),
    ("update", ("UPDATE item SET amount = amount - $2 WHERE id = $1 AND amount >= $2"
     " RETURNING amount"), (1, 4), [(6,)]),
    ("update from", ("UPDATE item SET name = p.note FROM part AS p WHERE p.item_id = item.id"
     " RETURNING name"), (), [("n",)]),
    ("update of a subquery", ("UPDATE item SET amount = (SELECT count(*) FROM part) WHERE id = 2"
     " RETURNING amount"), (), [(1,)]),
    ("delete", "DELETE FROM item WHERE id = $1 RETURNING name", (2,), [("b",)]),
]  # fmt: skip


class PortableConformance(Conformance):
    """One text, one meaning."""

    @pytest.mark.parametrize(
        "sql,params,expected",
        [case[1:] for case in PORTABLE],
        ids=[case[0].replace(" ", "_") for case in PORTABLE],
    )
    async def test_portable_sql_means_the_same(
        self, db: Database, sql: str, params: tuple[object, ...], expected: Rows
    ) -> None:
        """Each construct that the documentation calls portable gives these rows."""
        for row in ((1, "a", 10), (2, "b", 20), (3, None, 30)):
            await db.execute(INSERT, *row)
        await db.execute("INSERT INTO part (id, item_id, note) VALUES (1, 1, 'n')")
        rows = await db.fetch_all(sql, *params)
        assert [tuple(row.values()) for row in rows] == expected

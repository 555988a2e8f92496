"""Statements are split, rewritten and refused by what they say, never by what they quote."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.tools.db import QueryError
from ringfence.tools.db.sql import (
    Kind,
    Signature,
    Statements,
    prepare,
    signature,
    significant,
    tokens,
)

LETTERS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
QUOTED = st.one_of(
    LETTERS.map(lambda text: "'" + text.replace("'", "''") + "'"),
    LETTERS.map(lambda text: '"' + text.replace('"', '""') + '"'),
    LETTERS.map(lambda text: "`" + text.replace("`", "``") + "`"),
    LETTERS.map(lambda text: "[" + text.replace("]", "") + "]"),
    LETTERS.map(lambda text: "--" + text.replace("\n", "") + "\n"),
    LETTERS.map(lambda text: "/*" + text.replace("*/", "") + " */"),
)
PLAIN = st.sampled_from(
    ["a", "a$1", "x1", "7", "+", "(", ")", ",", " ", "\n", "é$2", "||", ".", "/"]
)
PARAMETER = st.just("$")


@given(st.text())
def test_no_text_is_lost(sql: str) -> None:
    """The tokens of any text, put together, are the text."""
    assert "".join(token.text for token in tokens(sql)) == sql


@given(st.lists(st.one_of(QUOTED, PLAIN, PARAMETER), max_size=20))
def test_only_parameters_are_rewritten(pieces: list[str]) -> None:
    """Whatever surrounds them, `$n` becomes `?`, and nothing else changes."""
    count = 0
    written, expected = "SELECT ", "SELECT "
    for piece in pieces:
        if piece == "$":
            count += 1
            written += f" ${count} "
            expected += " ? "
        else:
            written += f" {piece} "
            expected += f" {piece} "
    statement = prepare(written)
    assert statement.text == expected
    assert statement.parameters == count


@given(
    st.permutations([1, 2, 3, 4]).flatmap(
        lambda all_four: st.lists(st.sampled_from(all_four), max_size=2).map(
            lambda again: [*all_four, *again]
        )
    ),
    st.lists(LETTERS, min_size=4, max_size=4),
)
def test_sqlite_binds_by_number(order: list[int], values: list[str]) -> None:
    """What SQLite answers is the values in the order in which the statement names them."""
    listed = ", ".join(f"${n} /* $9 ' */, '$1'" for n in order)
    statement = prepare(f"SELECT {listed}")
    with sqlite3.connect(":memory:") as line:
        found = line.execute(statement.text, statement.bound(tuple(values))).fetchone()
    line.close()
    assert list(found[::2]) == [values[n - 1] for n in order]
    assert set(found[1::2]) == {"$1"}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ?",
        "SELECT ?1",
        "SELECT :name",
        "SELECT @name",
        "SELECT $name",
        "SELECT $1a",
        "SELECT $0",
        "SELECT $1, $3",
        "SELECT $40000",
        "SELECT $" + "9" * 5000,
        "SELECT 1;;SELECT 2",
        "PRAGMA foreign_keys = OFF",
        "ATTACH 'x' AS y",
        "VACUUM",
        "VACUUM INTO 'x'",
        "WITH a AS (SELECT 1)",
        "END",
        "savepoint a",
        "/* SELECT */ BEGIN",
        ";",
    ],
)
def test_what_does_not_belong_is_refused(sql: str) -> None:
    """Other placeholders, gaps, several statements, and what only looks like a statement."""
    with pytest.raises(QueryError):
        Statements("orders").of(sql)


@pytest.mark.parametrize(
    "sql,kind",
    [
        ("select 1", Kind.READ),
        ("/* x */ -- y\n  Values (1)", Kind.READ),
        ("SELECT ';' ;  -- the end", Kind.READ),
        ("WITH a(b) AS (SELECT 1), c AS (SELECT 2) SELECT * FROM a", Kind.READ),
        ("WITH a AS (SELECT 'delete') INSERT INTO t SELECT * FROM a", Kind.WRITE),
        ("with a as (select 1) delete from t", Kind.WRITE),
        ("REPLACE INTO t VALUES (1)", Kind.WRITE),
        ("EXPLAIN QUERY PLAN DELETE FROM t", Kind.READ),
    ],
)
def test_kind_is_read_from_the_statement(sql: str, kind: Kind) -> None:
    """Comments, case and common table expressions do not hide what a statement does."""
    assert Statements("orders").of(sql).kind is kind


def test_each_plugin_has_statements_of_its_own() -> None:
    """The same text is another statement in another plugin, and prepared once in each."""
    orders, billing = Statements("orders", "orders.place"), Statements("billing", "billing.charge")
    assert orders.of("SELECT 1") is orders.of("SELECT 1")
    assert orders.of("SELECT 1").text == "/* orders orders.place */ SELECT 1"
    assert billing.of("SELECT 1").text == "/* billing billing.charge */ SELECT 1"


NAMES = st.text(max_size=8) | st.sampled_from(["*", "a */ b", "orders", "-- x", "a b", "%2A"])


@given(NAMES, NAMES, NAMES, NAMES, LETTERS)
def test_no_plugin_can_write_the_text_of_anothers_statement(
    domain: str, plugin: str, other: str, others: str, more: str
) -> None:
    """A statement says whose it is before it says anything else, whatever names are like."""
    mine, theirs = Signature(domain, plugin), Signature(other, others)
    assert signature(mine.comment() + more) == mine
    assert mine == theirs or not (mine.comment() + more).startswith(theirs.comment())


def test_a_byte_order_mark_is_space() -> None:
    """It is to SQLite: a name behind one is that name."""
    assert [token.text for token in significant("\ufeffSELECT 1 FROM \ufeffstock")] == [
        "SELECT",
        "1",
        "FROM",
        "stock",
    ]


def test_names_are_folded_as_sqlite_does_it() -> None:
    """In ASCII alone; the Kelvin sign is no k."""
    names = [token.called for token in significant('Stock "sTo""K" [A] `b``B` \'C\' Ä \u212a')]
    assert names == ["stock", 'sto"k', "a", "b`b", "c", "Ä", "\u212a"]


def test_built_statements_do_not_fill_the_memory() -> None:
    """Of ever new texts only the latest are remembered."""
    statements = Statements("orders")
    first = statements.of("SELECT 0")
    for number in range(2000):
        statements.of(f"SELECT {number}")
    assert statements.of("SELECT 1999") is statements.of("SELECT 1999")
    assert statements.of("SELECT 0") is not first

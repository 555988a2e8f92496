"""Errors: of a closed list, helpful, and without what a parameter held."""

from collections.abc import Sequence

import pytest

from ringfence.errors import ToolError
from ringfence.tools.db.contract import (
    CheckViolation,
    Database,
    ForeignKeyViolation,
    InvalidParameter,
    NotNullViolation,
    QueryError,
    UniqueViolation,
)
from ringfence.tools.db.suite.subject import COUNT, INSERT, Conformance

SECRET = "canary-5f0e"
Case = tuple[type[ToolError], str, tuple[object, ...]]
# What is refused, with a value in it that nobody may read.
REFUSED: Sequence[Case] = [
    (UniqueViolation, INSERT, (2, SECRET, 1)),
    (UniqueViolation, "UPDATE item SET id = 1, name = $1 WHERE id = 3", (SECRET + "x",)),
    (NotNullViolation, INSERT, (2, SECRET + "x", None)),
    (CheckViolation, INSERT, (2, SECRET + "x", -1)),
    (ForeignKeyViolation, "INSERT INTO part (id, item_id, note) VALUES (1, 99, $1)", (SECRET,)),
    (ForeignKeyViolation, "DELETE FROM item WHERE name = $1", (SECRET,)),
    (InvalidParameter, INSERT, (2, f"{SECRET}\0", 1)),
    (InvalidParameter, INSERT, (2, f"{SECRET}\ud800", 1)),
    (InvalidParameter, INSERT, (2, {SECRET: object()}, 1)),
    (InvalidParameter, INSERT, (2, (SECRET,), 1)),
    (QueryError, INSERT, (2, SECRET)),
    (QueryError, "SELECT nowhere FROM item WHERE name = $1", (SECRET,)),
    (QueryError, "SELECT id FROM item WHERE name = $1 AND", (SECRET,)),
    (QueryError, "SELECT name FROM item WHERE nosuchfunction(name) = $1", (SECRET,)),
]
MANY = ", ".join(["id"] * 5000)
DEEP = "(" * 5000 + "1" + ")" * 5000
# Statements that ask for more than a database does, or are none.
WRONG = [
    f"SELECT {MANY} FROM item",
    f"SELECT {DEEP}",
    "SELECT " + " + ".join(["id"] * 20_000) + " FROM item",
    "SELECT count(count(*)) FROM item",
    "SELECT id FROM item, part",
    "SELECT lower() FROM item",
    "SELECT '\ud800'",
    "SELECT 'open",
    "SELECT (1",
    "INSERT INTO item (id) VALUES (1, 2)",
    "INSERT INTO item VALUES (1)",
    "UPDATE item SET nowhere = 1",
    "SELECT id FROM item ORDER BY 9",
    "SELECT 1 UNION SELECT 1, 2",
    "SELECT $1x",
    "SELECT $99999999999999999999",
    "SELECT @name",
]


class ErrorConformance(Conformance):
    """What is wrong is said in the contract's words."""

    @pytest.mark.parametrize("kind,sql,params", REFUSED)
    async def test_no_error_shows_a_value(
        self, db: Database, kind: type[ToolError], sql: str, params: tuple[object, ...]
    ) -> None:
        """Of its kind and no subclass's; nothing that it says or carries holds a parameter."""
        await db.execute(INSERT, 1, SECRET, 1)
        await db.execute(INSERT, 3, "other", 1)
        await db.execute("INSERT INTO part (id, item_id) VALUES (7, 1)")
        for run in (db.execute, db.fetch_all):
            with pytest.raises(ToolError) as caught:
                await run(sql, *params)
            error = caught.value
            assert type(error) is kind
            assert error.subject
            said = [str(error), repr(error), str(vars(error)), *getattr(error, "__notes__", ())]
            assert not [text for text in said if SECRET in text]
            assert error.__cause__ is None
            assert error.__context__ is None or error.__suppress_context__
        assert await db.fetch_value(COUNT, into=int) == 2

    @pytest.mark.parametrize("sql", WRONG, ids=lambda sql: ascii(sql[:30]))
    async def test_a_wrong_statement_is_a_query_error(self, db: Database, sql: str) -> None:
        """However wrong; its text is cut short, and the database works on."""
        with pytest.raises(QueryError) as caught:
            await db.fetch_all(sql)
        assert len(str(caught.value)) < 500
        str(caught.value).encode()
        assert await db.execute(INSERT, 1, "a", 1) == 1

    @pytest.mark.parametrize("sql", [5, None, b"SELECT 1", ["SELECT 1"], object()])
    async def test_what_is_no_statement_is_a_query_error(self, db: Database, sql: str) -> None:
        """It says what was given."""
        with pytest.raises(QueryError, match=type(sql).__name__):
            await db.fetch_all(sql)
        with pytest.raises(QueryError, match=type(sql).__name__):
            await db.execute(sql)

    @pytest.mark.parametrize(
        "sql,meant",
        [
            ("SELECT * FROM itme", "item"),
            ("SELECT amuont FROM item", "amount"),
            ("SELECT i.amuont FROM item AS i", "amount"),
            ("INSERT INTO item (id, nmae) VALUES (1, 'a')", "name"),
            ("UPDATE item SET nmae = 'a'", "name"),
            ("SELECT id FROM item WHERE nmae = $1 OR id = $2", "name"),
        ],
    )
    async def test_a_mistyped_name_is_recognised(self, db: Database, sql: str, meant: str) -> None:
        """The error says which one was probably meant."""
        with pytest.raises(QueryError, match=f"(?i)did you mean '{meant}'"):
            await db.fetch_all(sql, *(["a", 1] if "$2" in sql else []))

    @pytest.mark.parametrize(
        "hostile",
        [
            "'; DROP TABLE item; --",
            "' OR '1'='1",
            "1; DELETE FROM item",
            "$1",
            "?",
            "/* */ --",
            '"',
            "\\'",
            "%",
            "x' UNION SELECT note FROM part --",
        ],
    )
    async def test_what_a_parameter_holds_is_never_sql(self, db: Database, hostile: str) -> None:
        """It is found as what it is, changes nothing else, and finds nothing else."""
        await db.execute(INSERT, 1, "kept", 1)
        assert await db.fetch_all("SELECT id FROM item WHERE name = $1", hostile) == []
        assert await db.execute("DELETE FROM item WHERE name = $1", hostile) == 0
        await db.execute(INSERT, 2, hostile, 2)
        found = await db.fetch_all("SELECT id, name FROM item WHERE name = $1", hostile)
        assert found == [{"id": 2, "name": hostile}]
        assert await db.execute("UPDATE item SET name = $1 WHERE name = $2", "b", hostile) == 1
        assert await db.fetch_value(COUNT, into=int) == 2

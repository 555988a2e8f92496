"""The executable contract of the database: what every driver does, run against each of them.

    @pytest.mark.anyio
    class TestMyDriver(DatabaseConformance):
        @pytest.fixture
        async def subject(self) -> AsyncIterator[Subject]: ...

The fixture gives a fresh database in which SCHEMA has been applied as a migration.
"""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from msgspec import Struct

from ringfence.errors import TransactionHeld
from ringfence.tools.db.contract import (
    CheckViolation,
    Database,
    ForeignKeyViolation,
    InvalidParameter,
    NoRow,
    NotNullViolation,
    QueryError,
    RowMismatch,
    Transaction,
    TransactionEnded,
    UniqueViolation,
    WrongTask,
)
from ringfence.tools.db.suite.core import CoreConformance
from ringfence.tools.db.suite.errors import ErrorConformance
from ringfence.tools.db.suite.portable import PortableConformance
from ringfence.tools.db.suite.streams import StreamConformance
from ringfence.tools.db.suite.subject import SCHEMA as SCHEMA
from ringfence.tools.db.suite.subject import Subject as Subject
from ringfence.tools.db.suite.values import ValueConformance
from ringfence.tools.db.suite.work import WorkConformance

INSERT = "INSERT INTO item (id, name, amount) VALUES ($1, $2, $3)"
COUNT = "SELECT count(*) FROM item"
AMOUNT = "SELECT amount FROM item WHERE id = $1"


class Item(Struct):
    """A row of `item`, but for its id."""

    name: str | None
    amount: int


class Part(Struct):
    """The columns of `part` whose types not every database has."""

    done: bool | None
    moment: datetime | None


class Deliberate(Exception):
    """What a test raises inside a transaction."""


class StatementConformance:
    """Statements: parameters, rows, counts and errors."""

    @pytest.fixture
    def db(self, subject: Subject) -> Database:
        """The handle of one plugin."""
        return subject.database("orders.place_order")

    async def test_parameters_go_by_number(self, db: Database) -> None:
        """`$2` is the second value wherever it stands, and may stand twice."""
        await db.execute("INSERT INTO item (amount, id, name) VALUES ($3, $1, $2)", 1, "a", 7)
        found = await db.fetch_one(
            "SELECT name, amount FROM item WHERE amount = $2 AND id = $1 AND amount = $2", 1, 7
        )
        assert found == {"name": "a", "amount": 7}

    async def test_parameters_in_text_and_comments_are_none(self, db: Database) -> None:
        """What looks like a parameter in a string, a quoted name or a comment stays as it is."""
        sql = """SELECT '$2 it''s' AS "a$3", name /* $4 */ FROM item WHERE id = $1 -- $5"""
        await db.execute(INSERT, 1, "x", 0)
        assert await db.fetch_all(sql, 1) == [{"a$3": "$2 it's", "name": "x"}]

    @pytest.mark.parametrize(
        "text", ["", "naïve", "日本語 🦊", "'; DROP TABLE item; --", "a\nb\tc", "$1", "null", "0"]
    )
    async def test_text_comes_back_as_it_was(self, db: Database, text: str) -> None:
        """Text is data whatever is in it."""
        await db.execute(INSERT, 1, text, 0)
        assert await db.fetch_value("SELECT name FROM item WHERE name = $1", text, into=str) == text

    @pytest.mark.parametrize("number", [0, 1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)])
    async def test_integers_have_64_bits(self, db: Database, number: int) -> None:
        """Integers up to the edge come back exactly."""
        await db.execute(INSERT, number, None, 0)
        assert await db.fetch_value("SELECT id FROM item", into=int) == number

    @pytest.mark.parametrize("value", [2**63, -(2**63) - 1, float("nan"), "\ud800", object()])
    async def test_values_that_cannot_be_held_are_refused(
        self, db: Database, value: object
    ) -> None:
        """Nothing is stored in their place, and the database works on."""
        with pytest.raises(InvalidParameter):
            await db.execute("INSERT INTO item (id, amount) VALUES (1, $1)", value)
        assert await db.fetch_value(COUNT, into=int) == 0
        assert await db.execute(INSERT, 1, "a", 1) == 1

    async def test_null_is_none(self, db: Database) -> None:
        """A NULL goes in and comes out as None, also in a typed row."""
        await db.execute(INSERT, 1, None, 5)
        assert await db.fetch_all("SELECT name, amount FROM item", into=Item) == [Item(None, 5)]
        assert await db.fetch_value("SELECT name FROM item") is None

    async def test_rows_are_read_as_the_declared_type(self, db: Database) -> None:
        """Booleans and times keep their meaning, whatever the database has for them."""
        moment = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=timezone(timedelta(hours=2)))
        await db.execute(INSERT, 1, None, 0)
        sql = "INSERT INTO part (id, item_id, done, moment) VALUES ($1, 1, $2, $3)"
        await db.execute(sql, 1, True, moment)
        await db.execute(sql, 2, False, moment.astimezone(UTC) - timedelta(seconds=1))
        await db.execute(sql, 3, None, None)
        parts = await db.fetch_all("SELECT * FROM part ORDER BY id", into=Part)
        assert [part.done for part in parts] == [True, False, None]
        assert parts[0].moment == moment
        earlier = await db.fetch_value("SELECT id FROM part WHERE moment < $1", moment, into=int)
        assert earlier == 2

    async def test_a_row_that_does_not_fit_is_an_error(self, db: Database) -> None:
        """A value is never bent into another type."""
        await db.execute(INSERT, 1, "many", 5)
        with pytest.raises(RowMismatch, match="amount"):
            await db.fetch_one("SELECT name, name AS amount FROM item", into=Item)
        with pytest.raises(RowMismatch):
            await db.fetch_value("SELECT name FROM item", into=int)
        with pytest.raises(RowMismatch, match="name"):
            await db.fetch_all("SELECT name, amount AS name FROM item")

    async def test_no_row_is_none_or_an_error(self, db: Database) -> None:
        """`fetch_one` answers None; `fetch_value` promises a value, so it raises."""
        assert await db.fetch_all(AMOUNT, 1) == []
        assert await db.fetch_one(AMOUNT, 1) is None
        with pytest.raises(NoRow, match="fetch_one"):
            await db.fetch_value(AMOUNT, 1, into=int)

    async def test_execute_counts_rows(self, db: Database) -> None:
        """Inserted, updated and deleted ones, also behind WITH or RETURNING; none for a read."""
        more = "INSERT INTO item (id, amount) VALUES (1, 1), (2, 2), (3, 3)"
        assert await db.execute(more) == 3
        assert await db.execute("UPDATE item SET amount = 9 WHERE id > $1 RETURNING id", 1) == 2
        chosen = "WITH few AS (SELECT 1 AS id) DELETE FROM item WHERE id IN (SELECT id FROM few)"
        assert await db.execute(chosen) == 1
        assert await db.execute("DELETE FROM item WHERE id = 77") == 0
        assert await db.execute("SELECT * FROM item") == 0

    async def test_a_write_may_return_rows(self, db: Database) -> None:
        """`INSERT … RETURNING` on the handle is a transaction of its own."""
        made = await db.fetch_value(INSERT + " RETURNING amount", 4, "d", 40, into=int)
        assert made == 40
        assert await db.fetch_value(COUNT, into=int) == 1

    async def test_a_write_whose_answer_does_not_fit_is_undone(self, db: Database) -> None:
        """An error says that nothing happened."""
        with pytest.raises(RowMismatch):
            await db.fetch_value(INSERT + " RETURNING name", 4, "d", 40, into=int)
        assert await db.fetch_value(COUNT, into=int) == 0

    async def test_what_the_data_refuses_has_a_name(self, db: Database) -> None:
        """Each kind of constraint has its error, and a refused statement leaves nothing."""
        await db.execute(INSERT, 1, "a", 1)
        with pytest.raises(UniqueViolation):
            await db.execute(INSERT, 1, "b", 1)
        with pytest.raises(UniqueViolation):
            await db.execute("INSERT INTO item (id, name, amount) VALUES (3, 'c', 1), (4, 'a', 1)")
        with pytest.raises(CheckViolation):
            await db.execute(INSERT, 2, "b", -1)
        with pytest.raises(NotNullViolation):
            await db.execute(INSERT, 2, "b", None)
        with pytest.raises(ForeignKeyViolation):
            await db.execute("INSERT INTO part (id, item_id) VALUES (1, 99)")
        await db.execute("INSERT INTO part (id, item_id) VALUES (1, 1)")
        with pytest.raises(ForeignKeyViolation):
            await db.execute("DELETE FROM item")
        assert await db.fetch_value(COUNT, into=int) == 1

    @pytest.mark.parametrize(
        "sql",
        [
            "SELEC 1",
            "SELECT * FROM nowhere",
            "",
            "-- nothing",
            "SELECT 1; SELECT 2",
            "SELECT 1; DROP TABLE item",
            "BEGIN",
            "COMMIT",
            "CREATE TABLE more (id BIGINT)",
            "DROP TABLE item",
            "SELECT $0",
            "SELECT '\0'",
        ],
    )
    async def test_what_is_no_statement_for_a_feature_is_refused(
        self, db: Database, sql: str
    ) -> None:
        """Faulty, several at once, or about schema and session: all are the author's mistake."""
        with pytest.raises(QueryError):
            await db.execute(sql)
        with pytest.raises(QueryError):
            await db.fetch_all(sql)
        assert await db.fetch_value(COUNT, into=int) == 0

    @pytest.mark.parametrize("params", [(), (1,), (1, 2, 3)])
    async def test_a_wrong_number_of_parameters_reads_well(
        self, db: Database, params: tuple[object, ...]
    ) -> None:
        """The error says how many there should be, and how many came."""
        with pytest.raises(QueryError, match=rf"expected 2.*got {len(params)}"):
            await db.fetch_all("SELECT * FROM item WHERE id > $1 AND id < $2", *params)


class TransactionConformance:
    """Transactions: visibility, savepoints, whose they are, and letting go."""

    @pytest.fixture
    def db(self, subject: Subject) -> Database:
        """The handle of one plugin."""
        return subject.database("orders.place_order")

    async def test_it_is_visible_when_it_ends(self, db: Database) -> None:
        """Inside, it sees its own writes; the handle reads the last commit, without waiting."""
        async with db.transaction() as tx:
            await tx.execute(INSERT, 1, "a", 1)
            assert await tx.fetch_value(COUNT, into=int) == 1
            assert await db.fetch_value(COUNT, into=int) == 0
        assert await db.fetch_value(COUNT, into=int) == 1

    async def test_it_is_undone_by_an_error(self, db: Database) -> None:
        """The error goes on unchanged, and later transactions are kept for real."""

        async def fail(number: int) -> None:
            async with db.transaction() as tx:
                await tx.execute(INSERT, number, None, 1)
                raise Deliberate

        for number in range(3):
            with pytest.raises(Deliberate):
                await fail(number)
        for number in range(3):
            async with db.transaction() as tx:
                await tx.execute(INSERT, number, None, 1)
        assert await db.fetch_value(COUNT, into=int) == 3

    async def test_inside_itself_it_is_a_savepoint(self, db: Database) -> None:
        """A savepoint's failure undoes its own part; what was kept ends with the whole."""

        async def fail() -> None:
            async with db.transaction() as inner:
                await inner.execute(INSERT, 2, "undone", 1)
                async with db.transaction() as innermost:
                    await innermost.execute(INSERT, 3, "undone with it", 1)
                raise Deliberate

        async with db.transaction() as tx:
            await tx.execute(INSERT, 1, "outer", 1)
            with pytest.raises(Deliberate):
                await fail()
            async with db.transaction() as inner:
                await inner.execute(INSERT, 4, "kept", 1)
            await tx.execute(INSERT, 5, "after", 1)
            assert await db.fetch_value(COUNT, into=int) == 0
        names = await db.fetch_all("SELECT name FROM item ORDER BY id")
        assert [row["name"] for row in names] == ["outer", "kept", "after"]

    async def test_a_whole_undoes_its_savepoints(self, db: Database) -> None:
        """What a savepoint kept is kept only if the whole is."""

        async def fail() -> None:
            async with db.transaction():
                async with db.transaction() as inner:
                    await inner.execute(INSERT, 1, None, 1)
                raise Deliberate

        with pytest.raises(Deliberate):
            await fail()
        assert await db.fetch_value(COUNT, into=int) == 0

    async def test_a_failed_statement_leaves_only_rollback(self, db: Database) -> None:
        """Its error cannot be swallowed: the rest is refused, and so is the commit."""

        async def swallow() -> None:
            async with db.transaction() as tx:
                await tx.execute(INSERT, 1, "a", 1)
                with pytest.raises(UniqueViolation):
                    await tx.execute(INSERT, 1, "a", 1)
                with pytest.raises(TransactionEnded, match=r"transaction\(\)"):
                    await tx.execute(INSERT, 2, "b", 1)

        with pytest.raises(TransactionEnded, match="only rollback"):
            await swallow()
        assert await db.fetch_value(COUNT, into=int) == 0

    async def test_a_savepoint_contains_a_failed_statement(self, db: Database) -> None:
        """An expected failure inside a savepoint leaves the transaction as it was before."""
        async with db.transaction() as tx:
            await tx.execute(INSERT, 1, "a", 1)
            with pytest.raises(UniqueViolation):
                async with db.transaction() as attempt:
                    await attempt.execute(INSERT, 2, "a", 1)
            await tx.execute("UPDATE item SET amount = 5 WHERE name = $1", "a")
        assert await db.fetch_value(AMOUNT, 1, into=int) == 5

    async def test_a_mistake_before_the_backend_leaves_it_usable(self, db: Database) -> None:
        """What never reached the database did no damage."""
        async with db.transaction() as tx:
            with pytest.raises(QueryError):
                await tx.execute(INSERT, 1)
            with pytest.raises(InvalidParameter):
                await tx.execute(INSERT, 2**64, "a", 1)
            await tx.execute(INSERT, 1, "a", 1)
        assert await db.fetch_value(COUNT, into=int) == 1

    async def test_another_plugin_is_refused_inside(self, subject: Subject, db: Database) -> None:
        """Both are named, at once, and the transaction goes on."""
        other = subject.database("orders.cancel")
        async with db.transaction() as tx:
            with pytest.raises(TransactionHeld, match=r"orders\.cancel.*orders\.place_order"):
                async with other.transaction():
                    pass
            await tx.execute(INSERT, 1, "a", 1)
        async with other.transaction() as tx:
            await tx.execute(INSERT, 2, "b", 1)
        assert await db.fetch_value(COUNT, into=int) == 2

    async def test_a_write_on_the_handle_is_refused_inside(self, db: Database) -> None:
        """It would wait for its own transaction to end."""
        async with db.transaction() as tx:
            with pytest.raises(TransactionHeld, match="tx"):
                await db.execute(INSERT, 1, "a", 1)
            with pytest.raises(TransactionHeld):
                await db.fetch_value(INSERT + " RETURNING id", 1, "a", 1, into=int)
            await tx.execute(INSERT, 1, "a", 1)
        assert await db.fetch_value(COUNT, into=int) == 1

    async def test_after_its_end_it_raises(self, db: Database) -> None:
        """Committed or rolled back, whole or savepoint."""
        async with db.transaction() as tx:
            async with db.transaction() as inner:
                await inner.execute(INSERT, 1, "a", 1)
            with pytest.raises(TransactionEnded):
                await inner.execute(INSERT, 2, "b", 1)
        with pytest.raises(TransactionEnded):
            await tx.fetch_value(COUNT, into=int)
        with pytest.raises(Deliberate):
            async with db.transaction() as tx:
                raise Deliberate
        with pytest.raises(TransactionEnded, match="rolled back"):
            await tx.execute(INSERT, 2, "b", 1)
        assert await db.fetch_value(COUNT, into=int) == 1

    async def test_it_belongs_to_its_task(self, db: Database) -> None:
        """Another task is refused, and the owner is not disturbed."""

        async def intrude(tx: Transaction) -> None:
            await tx.execute(INSERT, 1, "a", 1)

        async with db.transaction() as tx:
            with pytest.raises(WrongTask):
                await asyncio.create_task(intrude(tx))
            await tx.execute(INSERT, 2, "b", 1)
        assert await db.fetch_value("SELECT id FROM item", into=int) == 2

    async def test_writers_do_not_lose_updates(self, db: Database) -> None:
        """Reading, thinking and writing in one transaction is safe beside others that do so."""
        await db.execute(INSERT, 1, "a", 0)

        async def increase() -> None:
            async with db.transaction() as tx:
                amount = await tx.fetch_value(AMOUNT, 1, into=int)
                await asyncio.sleep(0)
                await tx.execute("UPDATE item SET amount = $2 WHERE id = $1", 1, amount + 1)

        await asyncio.gather(*(increase() for _ in range(20)))
        assert await db.fetch_value(AMOUNT, 1, into=int) == 20

    async def test_a_cancelled_one_is_undone_and_lets_go(self, db: Database) -> None:
        """The next writer goes ahead at once."""
        inside = asyncio.Event()

        async def hold() -> None:
            async with db.transaction() as tx:
                await tx.execute(INSERT, 1, "a", 1)
                inside.set()
                await asyncio.Event().wait()

        holder = asyncio.create_task(hold())
        await inside.wait()
        waiter = asyncio.create_task(db.execute(INSERT, 1, "b", 1))
        impatient = asyncio.create_task(db.execute(INSERT, 2, "c", 1))
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        holder.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holder
        assert await waiter == 1
        assert await db.fetch_all("SELECT name FROM item") == [{"name": "b"}]

    async def test_a_cancellation_says_whether_it_was_committed(self, db: Database) -> None:
        """Wherever it strikes: with the note `committed` the row is there, without it is not."""
        for turns in range(12):
            task = asyncio.create_task(db.execute(INSERT, turns, None, 1))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError as cancelled:
                notes = getattr(cancelled, "__notes__", [])
                expected = int(any(note.startswith("committed") for note in notes))
            else:
                expected = 1
            there = await db.fetch_value("SELECT count(*) FROM item WHERE id = $1", turns, into=int)
            assert there == expected


class DatabaseConformance(
    StatementConformance,
    ValueConformance,
    ErrorConformance,
    PortableConformance,
    StreamConformance,
    CoreConformance,
    TransactionConformance,
    WorkConformance,
):
    """Derive it with a `subject` fixture."""

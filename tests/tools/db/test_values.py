"""Values keep what they are: laws, on real tables of SQLite, and models as rows."""

import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cmp_to_key
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import defstruct
from pydantic import BaseModel

from ringfence.tools.db import Database, RowMismatch, UniqueViolation
from ringfence.tools.db.conformance import SCHEMA
from ringfence.tools.db.drivers._sqlite_values import _compared, declared
from ringfence.tools.db.rows import MOST_TYPES

from .support import handle, make, migrations, running

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def opened(root: Path, schema: str = SCHEMA) -> AsyncIterator[Database]:
    migrations(root, {"orders": schema})
    async with running(make(root)) as driver:
        yield handle(driver)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(tmp_path) as database:
        yield database


DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)
ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=ZONES)  # noqa: DTZ001
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
WORDS = st.text("a0u\\\"'\n$\x7fé\u2028🦊", max_size=8)  # what JSON escapes, or could
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(WORDS, below, max_size=3),
    max_leaves=6,
)
# A column, and what it keeps exactly.
LAWS: list[tuple[str, type, st.SearchStrategy[object]]] = [
    ("flag", bool, st.booleans()),
    ("whole", int, st.integers(-(2**63), 2**63 - 1)),
    ("ratio", float, st.floats(allow_nan=False)),
    ("words", str, TEXTS),
    ("raw", bytes, st.binary()),
    ("moment", datetime, MOMENTS),
    ("wall", datetime, st.datetimes()),
    ("day", date, st.dates()),
    ("hour", time, st.times()),
    ("price", Decimal, DECIMALS),
    ("doc", dict, st.dictionaries(WORDS, JSON, max_size=3)),
    ("doc", list, st.lists(JSON, max_size=3)),
]


@pytest.mark.parametrize("column,kind,values", LAWS)
async def test_every_value_comes_back(
    column: str, kind: type, values: st.SearchStrategy[object]
) -> None:
    """Exactly: as many digits, the same microsecond, the same bytes; and it finds itself."""
    with TemporaryDirectory() as folder:
        async with opened(Path(folder)) as db:
            await db.execute("INSERT INTO thing (id) VALUES (1)")

            async def keep(value: object) -> None:
                await db.execute(f"UPDATE thing SET {column} = $1", value)
                found: object = await db.fetch_value(f"SELECT {column} FROM thing", into=kind)
                assert (found, type(found)) == (value, kind)
                same = f"SELECT count(*) FROM thing WHERE {column} = $1"
                assert await db.fetch_value(same, value, into=int) == 1

            await for_examples(values, keep)


async def for_examples(
    values: st.SearchStrategy[object], check: Callable[[object], Awaitable[None]]
) -> None:
    """Have hypothesis choose values, and try them on the loop that runs already."""
    drawn: list[object] = []

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(values)
    def draw(value: object) -> None:
        drawn.append(value)

    draw()
    for value in drawn:
        await check(value)


@settings(deadline=None)
@given(st.lists(DECIMALS, min_size=2, max_size=2))
def test_decimals_as_text_compare_as_numbers(pair: list[Decimal]) -> None:
    """However they are written."""
    one, other = pair
    assert _compared(str(one), str(other)) == (one > other) - (one < other)


@given(st.lists(WORDS | DECIMALS.map(str), max_size=6))
def test_whatever_is_text_has_an_order(texts: list[str]) -> None:
    """Numbers come first; what is none, and what no decimal can hold, raises nothing."""
    texts += ["NaN", "sNaN", "Infinity", "1E+99999999999999999999", "", "1"]
    in_order = sorted(texts, key=cmp_to_key(_compared))
    for at, text in enumerate(in_order):
        assert all(_compared(text, later) <= 0 <= _compared(later, text) for later in in_order[at:])


@pytest.mark.parametrize(
    "written,meant",
    [
        ("CREATE TABLE t (a NUMERIC)", "CREATE TABLE t (a TEXT COLLATE decimal)"),
        ("create table t (a decimal(10, 2) NOT NULL, b TEXT)",
         "create table t (a TEXT COLLATE decimal NOT NULL, b TEXT)"),
        ("CREATE TABLE t (id BIGINT, a NUMERIC (9) DEFAULT 0)",
         "CREATE TABLE t (id BIGINT, a TEXT COLLATE decimal DEFAULT 0)"),
        ('CREATE TABLE t ("a" /* $ */ NUMERIC) STRICT',
         'CREATE TABLE t ("a" /* $ */ TEXT COLLATE decimal) STRICT'),
        ("ALTER TABLE t ADD COLUMN a NUMERIC(1,0) CHECK (a > 0)",
         "ALTER TABLE t ADD COLUMN a TEXT COLLATE decimal CHECK (a > 0)"),
        ("ALTER TABLE t ADD a NUMERIC", "ALTER TABLE t ADD a TEXT COLLATE decimal"),
    ],
)  # fmt: skip
def test_exact_numbers_are_declared_as_text(written: str, meant: str) -> None:
    """Under both names that SQL has for them, with and without a precision."""
    assert " ".join(declared(written).split()) == meant


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE decimal (numeric BIGINT, decimal TEXT)",
        "CREATE TABLE t (a TEXT DEFAULT 'b NUMERIC') -- c NUMERIC",
        "CREATE VIEW v AS SELECT CAST(a AS NUMERIC) AS b, CAST(a AS DECIMAL(1)) FROM t",
        "CREATE TABLE t (a BIGINT CHECK (CAST(a AS NUMERIC) > 1))",
        "INSERT INTO t (a, numeric) VALUES (1, 2)",
        "UPDATE t SET a = 1",
        "CREATE INDEX decimal ON t (numeric)",
    ],
)
def test_other_words_are_left_alone(text: str) -> None:
    """Names, casts, strings and comments."""
    assert declared(text) == text


async def test_the_ends_of_time_are_kept(db: Database) -> None:
    """The first and the last moment that Python has."""
    for moment in (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
        await db.execute("INSERT INTO thing (id, moment) VALUES ($1, $2)", moment.year, moment)
    rows = await db.fetch_all("SELECT moment FROM thing ORDER BY moment")
    assert len(rows) == 2
    assert await db.fetch_value("SELECT min(moment) FROM thing", into=datetime) == (
        datetime.min.replace(tzinfo=UTC)
    )


async def test_equal_decimals_are_one_key(tmp_path: Path) -> None:
    """In an index too, which stays sound."""
    schema = "CREATE TABLE t (a NUMERIC UNIQUE); CREATE INDEX i ON t (a DESC);"
    async with opened(tmp_path, schema) as db:
        for number in range(200):
            await db.execute("INSERT INTO t VALUES ($1)", Decimal(number * 7 % 200) / 10)
        with pytest.raises(UniqueViolation):
            await db.execute("INSERT INTO t VALUES ($1)", Decimal("1.50"))
        between = "SELECT count(*) FROM t WHERE a >= $1 AND a < 10"
        assert await db.fetch_value(between, Decimal("9.5"), into=int) == 5
    async with running(make(tmp_path)):  # the file is checked as it is opened
        pass


class Wanted(BaseModel):
    id: int
    flag: bool
    price: Decimal
    doc: dict[str, list[int]]


class Holder(BaseModel):
    wanted: list[Wanted]


async def test_models_are_rows_and_values(db: Database) -> None:
    """pydantic models are read from rows, written as JSON, and read from it again."""
    insert = "INSERT INTO thing (id, flag, price, doc) VALUES ($1, $2, $3, $4)"
    row = Wanted(id=1, flag=True, price=Decimal("1.10"), doc={"a": [1]})
    await db.execute(insert, 1, row.flag, row.price, row.doc)
    assert await db.fetch_one("SELECT id, flag, price, doc FROM thing", into=Wanted) == row
    assert [one async for one in db.stream("SELECT * FROM thing", into=Wanted)] == [row]
    holder = Holder(wanted=[row, row])
    await db.execute("UPDATE thing SET doc = $1", holder)
    assert await db.fetch_value("SELECT doc FROM thing", into=Holder) == holder
    with pytest.raises(RowMismatch, match="doc"):
        await db.fetch_one("SELECT id, flag, price, doc FROM thing", into=Wanted)


async def test_types_that_are_made_anew_do_not_pile_up(db: Database) -> None:
    """A class made within a function is forgotten after some hundred others."""
    first = defstruct("Row", [("id", int), ("flag", bool | None)])
    gone = weakref.ref(first)
    await db.fetch_all("SELECT id, flag FROM thing", into=first)
    del first
    for _ in range(MOST_TYPES):
        await db.fetch_all("SELECT id FROM thing", into=defstruct("Row", [("id", int)]))
    gc.collect()
    assert gone() is None

"""Values: what goes in through a parameter comes out through `into=`."""

import dataclasses
import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import TypedDict
from uuid import UUID

import pytest
from msgspec import Struct, defstruct

from ringfence.tools.db.contract import CheckViolation, Database, InvalidParameter, RowMismatch
from ringfence.tools.db.suite.subject import Conformance


class Colour(Enum):
    RED = "red"


class Grade(IntEnum):
    BEST = 1


class Line(Struct):
    sku: str
    price: Decimal
    at: datetime


@dataclasses.dataclass
class Point:
    x: int
    tags: list[str]


class Size(TypedDict):
    width: float


class Box(Struct):
    """A row with values that are made of others."""

    id: int
    doc: Line | None = None
    flag: bool | None = None


EAST = timezone(timedelta(hours=5, minutes=30))
MOMENT = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=EAST)
LINE = Line("a\n$1", Decimal("1.10"), datetime(2026, 1, 1, tzinfo=UTC))
# A column, the type to read it as, a value.
VALUES: Sequence[tuple[str, object, object]] = [
    ("flag", bool, True),
    ("flag", bool, False),
    ("whole", int, -(2**63)),
    ("whole", int, 2**63 - 1),
    ("whole", Grade, Grade.BEST),
    ("ratio", float, 0.1),
    ("ratio", float, -1e308),
    ("ratio", float, 5e-324),
    ("ratio", float, float("inf")),
    ("ratio", float, 3.0),
    ("words", str, "naïve 🦊 '\"\n"),
    ("words", str, "1.50"),
    ("words", str, ""),
    ("words", Colour, Colour.RED),
    ("raw", bytes, b"\x00\xff'"),
    ("raw", bytes, b""),
    ("moment", datetime, MOMENT),
    ("moment", datetime, datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ("moment", datetime, datetime(1000, 1, 1, tzinfo=UTC)),
    ("wall", datetime, datetime(2026, 3, 29, 2, 30)),  # noqa: DTZ001 - a wall clock's time
    ("day", date, date(2024, 2, 29)),
    ("hour", time, time(23, 59, 59, 1)),
    ("price", Decimal, Decimal("1.10")),
    ("price", Decimal, Decimal("-12345678901234567890.123456789012345678901234567890")),
    ("price", Decimal, Decimal("1E+20")),
    ("price", Decimal, Decimal("0.1")),
    ("price", Decimal, Decimal(100)),
    ("cost", Decimal, Decimal("1234567890.01")),
    ("uid", UUID, UUID("12345678-1234-5678-1234-567812345678")),
    ("uid", UUID, UUID(int=0)),
    ("doc", dict, {"a": [1, 2.5, None, "x"], "b": {"c": True}}),
    ("doc", dict, {}),
    ("doc", list, []),
    ("doc", list[int], [1, 2]),
    ("doc", Line, LINE),
    ("doc", list[Line], [LINE, LINE]),
    ("doc", dict[str, Line], {"first": LINE}),
    ("doc", Point, Point(1, ["a", "'"])),
    ("doc", Size, {"width": 1.5}),
]


class ValueConformance(Conformance):
    """One table of types, the same on every database."""

    @pytest.mark.parametrize("column,kind,value", VALUES)
    async def test_what_goes_in_comes_out(
        self, db: Database, column: str, kind: type, value: object
    ) -> None:
        """By itself, in a row and in rows, NULL included, and as what is compared with."""
        await db.execute(f"INSERT INTO thing (id, {column}) VALUES (1, $1)", value)
        await db.execute(f"INSERT INTO thing (id, {column}) VALUES (2, $1)", None)
        select = f"SELECT {column} AS value FROM thing"
        row = defstruct("row", [("value", kind | None)])
        found: list[object] = [await db.fetch_value(f"{select} WHERE id = 1", into=kind)]
        for one in [
            await db.fetch_one(f"{select} WHERE id = $1", 1, into=row),
            *await db.fetch_all(f"{select} ORDER BY id", into=row),
        ]:
            assert one is not None
            found.append(one.value)  # type: ignore[attr-defined]
        assert found == [value, value, value, None]
        assert all(type(one) is type(value) for one in found[:3])
        assert await db.fetch_one(f"{select} WHERE id = 2") == {"value": None}
        if column != "doc":
            equal = f"SELECT id FROM thing WHERE {column} = $1"
            assert await db.fetch_all(equal, value) == [{"id": 1}]

    async def test_aware_times_come_back_in_utc(self, db: Database) -> None:
        """A moment is a moment, wherever it was written down."""
        await db.execute("INSERT INTO thing (id, moment) VALUES (1, $1)", MOMENT)
        found = await db.fetch_value("SELECT moment FROM thing", into=datetime)
        assert (found, found.utcoffset()) == (MOMENT, timedelta(0))

    async def test_a_wall_clocks_time_has_no_zone(self, db: Database) -> None:
        """It comes back as naive as it went in."""
        wall = MOMENT.replace(tzinfo=None)
        await db.execute("INSERT INTO thing (id, wall) VALUES (1, $1)", wall)
        assert (await db.fetch_value("SELECT wall FROM thing", into=datetime)).tzinfo is None

    @pytest.mark.parametrize(
        "column,values",
        [
            ("moment", [MOMENT + timedelta(microseconds=n) for n in (-(10**6), -1, 0, 1, 10**13)]),
            ("moment", [MOMENT, (MOMENT + timedelta(seconds=1)).astimezone(UTC)]),
            ("day", [date(999, 12, 31), date(2025, 12, 31), date(2026, 1, 1)]),
            ("hour", [time(1), time(9, 59, 59, 999999), time(10)]),
            ("price", [Decimal(text) for text in ("-10", "-9.5", "0", "9.50", "10", "1E+3")]),
            ("whole", [-(2**63), -1, 0, 9, 10]),
            ("ratio", [-1e300, -0.5, 0.0, 9.5, 10.0]),
            ("raw", [b"", b"\x00", b"\x01", b"\xff"]),
            ("words", ["", "A", "B", "BA"]),
            ("flag", [False, True]),
        ],
    )
    async def test_they_are_ordered(self, db: Database, column: str, values: list[object]) -> None:
        """As in Python: sorted, as the least and the greatest, and compared with a parameter."""
        mixed = list(enumerate(values))
        random.Random(1).shuffle(mixed)
        for at, value in mixed:
            await db.execute(f"INSERT INTO thing (id, {column}) VALUES ($1, $2)", at, value)
        everything = [{"id": at} for at in range(len(values))]
        assert await db.fetch_all(f"SELECT id FROM thing ORDER BY {column}") == everything
        for at, value in enumerate(values):
            less = f"SELECT id FROM thing WHERE {column} < $1 ORDER BY id"
            assert await db.fetch_all(less, value) == everything[:at]
        if column != "flag":
            sql = f"SELECT min({column}) AS low, max({column}) AS high FROM thing"
            row = defstruct("row", [("low", type(values[0])), ("high", type(values[0]))])
            found = await db.fetch_one(sql, into=row)
            assert found == row(values[0], values[-1])

    async def test_decimals_compare_by_value(self, db: Database) -> None:
        """Also with numbers of the statement, where they are equal in another form, in a CHECK."""
        insert = "INSERT INTO thing (id, price, cost) VALUES ($1, $2, $3)"
        await db.execute(insert, 1, Decimal("9.50"), Decimal("0.00"))
        await db.execute(insert, 2, Decimal("10.10"), None)
        assert await db.fetch_value("SELECT id FROM thing WHERE price < 10", into=int) == 1
        assert await db.fetch_value("SELECT id FROM thing WHERE price = 9.5", into=int) == 1
        assert await db.fetch_value("SELECT id FROM thing WHERE price > $1", 10, into=int) == 2
        same = "SELECT count(DISTINCT price) FROM thing"
        await db.execute(insert, 3, Decimal("10.1"), Decimal("100"))
        assert await db.fetch_value(same, into=int) == 2
        with pytest.raises(CheckViolation):
            await db.execute(insert, 4, Decimal(0), Decimal("-0.01"))

    async def test_booleans_are_conditions(self, db: Database) -> None:
        """A column by itself, negated, compared with TRUE and with a parameter; an expression."""
        for at, flag in enumerate((True, False, None)):
            await db.execute("INSERT INTO thing (id, flag) VALUES ($1, $2)", at, flag)
        for sql, params, expected in [
            ("flag", (), 0),
            ("NOT flag", (), 1),
            ("flag = TRUE", (), 0),
            ("flag = $1", (False,), 1),
            ("flag IS NULL", (), 2),
        ]:
            where = f"SELECT id FROM thing WHERE {sql}"
            assert await db.fetch_all(where, *params) == [{"id": expected}]
        assert await db.fetch_value("SELECT id > 1 FROM thing WHERE id = 2", into=bool) is True

    async def test_rows_hold_composed_values(self, db: Database) -> None:
        """A field that is a Struct is read from JSON, beside others that are not."""
        insert = "INSERT INTO thing (id, doc, flag) VALUES ($1, $2, $3)"
        await db.execute(insert, 1, LINE, True)
        await db.execute(insert, 2, None, None)
        rows = await db.fetch_all("SELECT id, doc, flag FROM thing ORDER BY id", into=Box)
        assert rows == [Box(1, LINE, True), Box(2)]

    @pytest.mark.parametrize(
        "value",
        [
            2**63,
            -(2**63) - 1,
            float("nan"),
            Decimal("NaN"),
            Decimal("Infinity"),
            "a\0b",
            {"a": "b\0"},
            "\ud800",
            {"a": "\ud800"},
            {"a": object()},
            (1, 2),
            {1, 2},
            timedelta(1),
            time(1, tzinfo=UTC),
            datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
            1j,
            object(),
            Colour,
        ],
    )
    async def test_what_is_no_value_is_refused(self, db: Database, value: object) -> None:
        """Nothing is stored in its place."""
        with pytest.raises(InvalidParameter, match=r"\$2"):
            await db.execute("INSERT INTO thing (id, words) VALUES ($1, $2)", 1, value)
        assert await db.fetch_value("SELECT count(*) FROM thing", into=int) == 0

    async def test_a_backslash_is_no_nul(self, db: Database) -> None:
        """Text that looks like an escaped NUL in JSON, and is none, is data."""
        await db.execute("INSERT INTO thing (id, doc) VALUES (1, $1)", {"a": "\\u0000"})
        assert await db.fetch_value("SELECT doc FROM thing", into=dict) == {"a": "\\u0000"}

    @pytest.mark.parametrize(
        "column,value,kind",
        [
            ("words", "secret", int),
            ("words", "secret", bytes),
            ("words", "secret", Decimal),
            ("words", "secret", datetime),
            ("words", "secret", Colour),
            ("words", "secret", dict),
            ("words", "5", int),
            ("ratio", 0.5, Decimal),
            ("ratio", 0.5, int),
            ("whole", 2, bool),
            ("whole", 7, str),
            ("doc", {"width": "secret"}, Size),
            ("doc", ["secret"], Size),
        ],
    )
    async def test_nothing_is_bent_into_another_type(
        self, db: Database, column: str, value: object, kind: type
    ) -> None:
        """The error says what was expected and where, never what was there."""
        await db.execute(f"INSERT INTO thing (id, {column}) VALUES (1, $1)", value)
        row = defstruct("row", [("value", kind)])
        select = f"SELECT {column} AS value FROM thing"
        with pytest.raises(RowMismatch) as by_itself:
            await db.fetch_value(select, into=kind)
        with pytest.raises(RowMismatch, match="value") as in_a_row:
            await db.fetch_all(select, into=row)
        assert "secret" not in f"{by_itself.value}{in_a_row.value}"

    @pytest.mark.parametrize("into", [object(), defstruct("odd", [("id", "Nowhere")])])
    async def test_what_rows_cannot_be_read_as_is_an_error(self, db: Database, into: type) -> None:
        """Of the contract, like all others."""
        await db.execute("INSERT INTO thing (id) VALUES (1)")
        with pytest.raises(RowMismatch):
            await db.fetch_all("SELECT id FROM thing", into=into)

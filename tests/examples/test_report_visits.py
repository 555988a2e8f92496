"""A report as a CSV stream."""

import csv

import pytest

from ringfence.testing import TestApplication

pytestmark = pytest.mark.anyio


async def _rows(app: TestApplication, query: str = "") -> list[list[str]]:
    answer = await app.http.get(f"/visits.csv{query}")
    assert answer.status == 200
    return list(csv.reader(answer.text.splitlines()))


async def test_the_report_has_every_row_once(app: TestApplication) -> None:
    """Whatever the size of a piece, with the names of the columns first."""
    header, *rows = await _rows(app)
    assert header == ["id", "at", "page", "referrer", "duration_ms"]
    assert [int(row[0]) for row in rows] == list(range(1, 5001))


async def test_it_is_saved_as_a_file(app: TestApplication) -> None:
    """Its type says that it is UTF-8."""
    answer = await app.http.head("/visits.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="visits.csv"'


async def test_only_what_is_sent_is_read(app: TestApplication) -> None:
    """A client that leaves after two pieces costs no more than a few queries."""
    async with app.http.stream("GET", "/visits.csv") as answer:
        pieces = answer.chunks()
        assert (await anext(pieces)).startswith(b"id,")
        first = await anext(pieces)
        assert first.count(b"\r\n") == 500
    assert sum(span.queries for span in app.spans) <= 4


async def test_no_piece_is_long(app: TestApplication) -> None:
    """What is in memory does not grow with the report."""
    async with app.http.stream("GET", "/visits.csv") as answer:
        sizes = [len(piece) async for piece in answer.chunks()]
    assert len(sizes) == 11
    assert max(sizes) < 64 << 10


async def test_days_bound_it(app: TestApplication) -> None:
    """The first day is in, the last one is not."""
    _, *rows = await _rows(app, "?since=2026-01-02&until=2026-01-03")
    assert len(rows) == 24 * 60
    assert {row[1][:10] for row in rows} == {"2026-01-02"}


async def test_text_of_strangers_is_no_formula(app: TestApplication) -> None:
    """What a spreadsheet would run is text to it, and still readable."""
    rows = await _rows(app)
    assert rows[7][3] == '\'=HYPERLINK("https://evil.example","click")'
    assert not [cell for row in rows for cell in row if cell[:1] in ("=", "+", "@", "\t")]


async def test_commas_and_quotes_stay_in_their_cell(app: TestApplication) -> None:
    """What was stored is what is read."""
    rows = await _rows(app)
    assert {row[3] for row in rows[1:7]} == {"https://search.example/?q=a,b", 'a "friend"', ""}


@pytest.mark.parametrize("query", ["?since=x", "?until=2026-02-30", "?since=2026-01-01T00:00"])
async def test_a_day_that_is_none_is_refused(app: TestApplication, query: str) -> None:
    """Before the answer has begun."""
    assert (await app.http.get(f"/visits.csv{query}")).status == 422

"""Report all visits as CSV, however many there are, for a spreadsheet to open.

Rows are read by key, a piece at a time, between which nothing is held: no cursor, no transaction.
"""

import csv
from collections.abc import AsyncIterator
from datetime import date, datetime
from io import StringIO

from msgspec import Struct, structs

from ringfence import Plugin
from ringfence.tools.db import Database
from ringfence.tools.http import Stream, get

ROWS_A_PIECE = 500
# What a spreadsheet would take for the start of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class Visit(Struct):
    id: int
    at: datetime
    page: str
    referrer: str
    duration_ms: int


class ReportVisits(Plugin):
    db: Database

    @get("/visits.csv")
    async def report(self, since: date = date.min, until: date = date.max) -> Stream:
        """Report the visits from the day `since` to the day before `until`."""
        return Stream(self._pieces(since, until), "text/csv", filename="visits.csv")

    async def _pieces(self, since: date, until: date) -> AsyncIterator[str]:
        yield _lines([Visit.__struct_fields__])
        last_id = 0
        while True:
            visits = await self.db.fetch_all(
                "SELECT * FROM visits WHERE id > $1 AND at >= $2 AND at < $3 ORDER BY id LIMIT $4",
                last_id,
                since,
                until,
                ROWS_A_PIECE,
                into=Visit,
            )
            if not visits:
                return
            yield _lines([_cells(visit) for visit in visits])
            last_id = visits[-1].id


def _lines(rows: list[tuple[str, ...]]) -> str:
    text = StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cells(visit: Visit) -> tuple[str, ...]:
    return tuple(map(_cell, structs.astuple(visit)))


def _cell(value: object) -> str:
    """Write a value so that no text is a formula; a number may start with a minus."""
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text

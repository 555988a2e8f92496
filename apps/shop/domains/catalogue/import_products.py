"""Import products from a spreadsheet: each row that is sound is kept, the others are told.

One transaction for all, and a savepoint for each row: a row that the database refuses undoes
itself alone.
"""

import csv
from io import StringIO

import msgspec
from msgspec import Struct

from domains.catalogue._products import Category, Description, Name, PriceCents, Sku
from ringfence import Invalid, Plugin
from ringfence.errors import Fault
from ringfence.tools.db import Database, UniqueViolation
from ringfence.tools.http import UploadFile, post

MAX_ROWS = 500
# Each row is a statement and a savepoint; nobody else writes meanwhile.
HOLD_S = 2


class Row(Struct, forbid_unknown_fields=True):
    sku: Sku
    name: Name
    category: Category
    price_cents: PriceCents
    description: Description = ""


class Refused(Struct):
    line: int
    why: str


class Imported(Struct):
    added: int
    refused: list[Refused]


class ImportProducts(Plugin):
    db: Database

    @post("/imports/products")
    async def take(self, sheet: UploadFile) -> Imported:
        """Import a CSV file with the columns sku, name, category, price_cents, description."""
        rows, refused = _read(await sheet.read())
        added = 0
        async with self.db.transaction(hold_s=HOLD_S):
            for line, row in rows:
                try:
                    await self._add(row)
                    added += 1
                except UniqueViolation:
                    refused.append(Refused(line, f"{row.sku}: the catalogue has it already."))
        return Imported(added, sorted(refused, key=lambda each: each.line))

    async def _add(self, row: Row) -> None:
        async with self.db.transaction() as savepoint:
            await savepoint.execute(
                "INSERT INTO products (sku, name, category, description, price_cents)"
                " VALUES ($1, $2, $3, $4, $5)",
                row.sku,
                row.name,
                row.category,
                row.description,
                row.price_cents,
            )


def _read(sheet: bytes) -> tuple[list[tuple[int, Row]], list[Refused]]:
    try:
        text = StringIO(sheet.decode("utf-8-sig"), newline="")
        lines = list(csv.DictReader(text, restkey="(one cell too many)", strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        fault = Fault("form.sheet", "expected CSV in UTF-8")
        raise Invalid("the file is no spreadsheet.", faults=[fault]) from error
    if len(lines) > MAX_ROWS:
        fault = Fault("form.sheet", f"expected at most {MAX_ROWS} rows, got {len(lines)}")
        raise Invalid("the file is too long.", faults=[fault])
    rows: list[tuple[int, Row]] = []
    refused: list[Refused] = []
    for number, cells in enumerate(lines, start=2):  # the first line names the columns
        try:
            rows.append((number, msgspec.convert(cells, Row, strict=False)))
        except msgspec.ValidationError as error:
            refused.append(Refused(number, str(error)))
    return rows, refused

"""What comes from outside is data to the database, and no error gives it away."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import Struct

from ringfence.testing import TestApplication
from ringfence.tools.log.drivers.memory import Driver as MemoryLog
from tests.kernel.apps import feature, running

from .bystander import BYSTANDER, asked_throughout, failed, logged

pytestmark = pytest.mark.anyio

CANARY = "canary-3d41"
FILES = {
    **BYSTANDER,
    "domains/notes/migrations/20260101000000_note.sql": """
        CREATE TABLE note (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE CHECK (name <> ''));
        INSERT INTO note (name) VALUES ('kept');
    """,
    "domains/notes/keep.py": feature("""
        from ringfence.tools.http import get, post


        class Note(Struct):
            id: int
            name: str


        class NewNote(Struct):
            name: str


        class Keep(Plugin):
            db: Database

            @get("/notes")
            async def find(self, name: str) -> list[Note]:
                return await self.db.fetch_all(
                    "SELECT id, name FROM note WHERE name = $1", name, into=Note
                )

            @post("/notes", status=201)
            async def add(self, note: NewNote) -> None:
                await self.db.execute("INSERT INTO note (name) VALUES ($1)", note.name)

            @post("/notes/number", status=201)
            async def number(self, note: NewNote) -> int:
                sql = "SELECT name FROM note WHERE name = $1"
                return await self.db.fetch_value(sql, note.name, into=int)

            @post("/notes/wrong", status=201)
            async def wrong(self, note: NewNote) -> None:
                await self.db.execute("UPDATE note SET nmae = $1", note.name)

            @get("/notes/all")
            async def all(self) -> list[Note]:
                return [note async for note in self.db.stream("SELECT * FROM note", into=Note)]
    """),
}
HOSTILE = [
    "'; DROP TABLE note; --",
    "kept' OR '1'='1",
    "x' UNION SELECT id, name FROM note --",
    "kept'; UPDATE note SET name = 'x",
    "$1",
    "?1",
    "\\'; DELETE FROM note",
    "/*",
    "%",
]


class Note(Struct):
    name: str


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[TestApplication]:
    async with running(tmp_path, FILES) as booted:
        yield booted


async def names(app: TestApplication) -> list[str]:
    return [note.name for note in (await app.http.get("/notes/all")).json(list[Note])]


async def test_hostile_text_is_data(app: TestApplication) -> None:
    """Whatever a stranger sends as a value finds itself and nothing else, and changes nothing."""
    async with asked_throughout(app):
        for text in HOSTILE:
            found = await app.http.get("/notes", params={"name": text})
            assert (found.status, found.json()) == (200, [])
            assert (await app.http.post("/notes", json={"name": text})).status == 201
            found = await app.http.get("/notes", params={"name": text})
            assert [note.name for note in found.json(list[Note])] == [text]
        assert await names(app) == ["kept", *HOSTILE]
    assert not logged(app, "error")
    assert not failed(app, "notes.keep", "QueryError")


@pytest.mark.parametrize(
    "path,name,status,kind",
    [
        ("/notes", CANARY, 409, "UniqueViolation"),
        ("/notes", f"{CANARY}\0", 422, "InvalidParameter"),
        ("/notes/number", CANARY, 500, "RowMismatch"),
        ("/notes/wrong", CANARY, 500, "QueryError"),
    ],
)
async def test_an_error_does_not_give_a_value_away(
    app: TestApplication, path: str, name: str, status: int, kind: str
) -> None:
    """Neither in the answer nor in the log nor in the trace; all of them name the feature."""
    assert (await app.http.post("/notes", json={"name": CANARY})).status == 201
    async with asked_throughout(app):
        answer = await app.http.post(path, json={"name": name})
        assert (answer.status, await names(app)) == (status, ["kept", CANARY])
    [span] = failed(app, "notes.keep", kind)
    assert span.failure is not None
    log = app.driver("log")
    assert isinstance(log, MemoryLog)
    said = [answer.body.decode(), str(answer.headers), repr(span), *map(repr, log.records)]
    assert not [text for text in said if CANARY in text]

"""A feature that keeps notes in a database, for whatever befalls its file."""

from collections.abc import Mapping
from pathlib import Path

from tests.kernel.apps import feature

NOTES: Mapping[str, str] = {
    "ringfence.toml": """
    [app]
    name = "app"

    [tools.db]
    busy_timeout_s = 0.3
    """,
    "domains/notes/migrations/20260101000000_note.sql": """
    CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
    CREATE TABLE archive (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
    """,
    "domains/notes/keep.py": feature(
        """
        from ringfence.tools.http import Stream, get, post


        class Note(Struct):
            body: str


        class Keep(Plugin):
            db: Database

            @post("/notes")
            @service("notes.add")
            async def add(self, note: Note) -> int:
                return await self.db.execute("INSERT INTO note (body) VALUES ($1)", note.body)

            @get("/notes")
            @service("notes.count")
            async def count(self) -> int:
                return await self.db.fetch_value("SELECT count(*) FROM note", into=int)

            @get("/archive")
            @service("notes.archive")
            async def archive(self) -> list[str]:
                rows = await self.db.fetch_all("SELECT body FROM archive ORDER BY id")
                return [str(row["body"]) for row in rows]

            @get("/archive.txt")
            async def archive_text(self) -> Stream:
                rows = self.db.stream("SELECT body FROM archive ORDER BY id")
                return Stream((str(row["body"]) async for row in rows), "text/plain")
        """
    ),
}
FILE = Path("data/app.db")
# A test's application has its database elsewhere, unless it says where.
BESIDE = {"tools": {"db": {"path": str(FILE)}}}

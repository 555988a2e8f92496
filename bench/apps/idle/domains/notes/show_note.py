"""Show one note."""

from msgspec import Struct

from ringfence import NotFound, Plugin
from ringfence.tools.db import Database
from ringfence.tools.http import get


class Note(Struct):
    id: int
    text: str


class NoSuchNote(NotFound, code="notes.no_such_note"):
    """There is no note with that id."""


class ShowNote(Plugin):
    db: Database

    @get("/notes/{id}")
    async def show(self, id: int) -> Note:
        note = await self.db.fetch_one("SELECT id, text FROM notes WHERE id = $1", id, into=Note)
        if note is None:
            raise NoSuchNote(f"{id}: there is no such note")
        return note

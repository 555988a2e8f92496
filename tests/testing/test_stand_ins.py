"""What `ringfence.testing` puts in the place of what a test cannot have."""

from pathlib import Path

import pytest

from ringfence import Principal, RingfenceError
from ringfence.errors import StartRefused
from ringfence.testing import boot, context

pytestmark = pytest.mark.anyio

NOTES = '''
"""Keep a note."""

from ringfence import Plugin, service
from ringfence.tools.db import Database


class KeepNote(Plugin):
    db: Database
    archive: Database

    @service("notes.count")
    async def count(self) -> int:
        await self.archive.fetch_value("SELECT 1", into=int)
        return await self.db.fetch_value("SELECT count(*) FROM notes", into=int)
'''
ADD = '''
"""Add a note."""

from msgspec import Struct

from ringfence import Plugin
from ringfence.tools.http import post


class Note(Struct):
    text: str


class AddNote(Plugin):
    @post("/notes")
    async def add(self, note: Note) -> str:
        return note.text
'''
CONFIGURED = """
[tools.db]
path = "data/notes.db"

[tools.archive]
tool = "db"
path = "data/archive.db"

[tools.http]
host = "127.0.0.1"
port = 8000
max_body_bytes = 10

[tools.log]
format = "json"
"""


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """An application with everything configured that a test replaces."""
    domain = tmp_path / "notes" / "domains" / "notes"
    (domain / "migrations").mkdir(parents=True)
    (domain / "keep_note.py").write_text(NOTES)
    (domain / "migrations/20260101000000_notes.sql").write_text("CREATE TABLE notes (text TEXT);")
    (tmp_path / "notes" / "ringfence.toml").write_text(CONFIGURED)
    return tmp_path / "notes"


async def test_an_application_boots_with_the_configuration_that_it_runs_with(notes: Path) -> None:
    """A port and a format of lines mean nothing to the stand-ins, and stop nobody."""
    async with boot(notes) as app:
        assert await app.call("notes.count") == 0


async def test_what_a_stand_in_knows_is_kept(notes: Path) -> None:
    """A limit of HTTP holds in a test as it does behind a port."""
    (notes / "domains/notes/add.py").write_text(ADD)
    async with boot(notes) as app:
        answer = await app.http.post("/notes", json={"text": "more than ten bytes"})
        assert answer.status == 413


async def test_every_database_of_a_test_is_in_a_folder_of_its_own(notes: Path) -> None:
    """A test leaves nothing behind beside the application, whatever its databases are called."""
    async with boot(notes) as app:
        await app.call("notes.count")
    assert not (notes / "data").exists()


async def test_an_option_of_the_test_itself_must_be_one(notes: Path) -> None:
    """Only what the file says of another driver is left out."""
    with pytest.raises(StartRefused, match="porf"):
        async with boot(notes, overrides={"tools": {"http": {"porf": 1}}}):
            pass


async def test_a_context_for_a_unit_test_has_ids_and_reaches_no_service() -> None:
    """It carries who asks; a call through it says what to use instead."""
    ctx = context(principal=Principal("ada", tenant="lovelace"))
    assert len(ctx.trace_id) == 32
    assert ctx.trace_id != context().trace_id
    assert (ctx.tenant, ctx.principal and ctx.principal.id) == ("lovelace", "ada")
    with pytest.raises(RingfenceError, match="booted"):
        await ctx.call("notes.count", {})

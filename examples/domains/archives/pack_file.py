"""Take a file in, pack it in the background, and hand it out again.

The upload is gone with its request, so it is copied before the answer. Background work is lost in
a crash: a packing that is past its time has failed, whatever has happened to it.
"""

import asyncio
import gzip
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID, uuid4

from msgspec import Meta, Struct

from ringfence import Conflict, Context, Invalid, NotFound, Plugin, Settings
from ringfence.errors import Fault
from ringfence.tools.clock import Clock
from ringfence.tools.db import Database
from ringfence.tools.http import File, Form, Reply, UploadFile, get, post

MAX_UPLOAD_BYTES = 20 << 20
PATIENCE_S = 60

Note = Annotated[str, Meta(max_length=200)]


class Archives(Settings, section="archives"):
    folder: str


class Archive(Struct):
    id: UUID
    name: str
    note: str
    size_bytes: int
    packed_bytes: int | None
    state: Literal["packing", "done", "failed"]


class _Row(Archive):
    give_up_at: datetime


class NoSuchArchive(NotFound, code="archives.no_such_archive"):
    """No archive has that id."""


class NotPacked(Conflict, code="archives.not_packed"):
    """The archive is still being packed, or could not be."""


class PackFile(Plugin):
    db: Database
    clock: Clock
    archives: Archives

    def start(self) -> None:
        Path(self.archives.folder).mkdir(parents=True, exist_ok=True)

    @post("/archives", status=202, max_body_bytes=MAX_UPLOAD_BYTES)
    async def take(self, file: UploadFile, ctx: Context, note: Form[Note] = "") -> Reply[Archive]:
        """Take a file; what becomes of it is at `location`."""
        if not file.filename:
            raise Invalid("the file has no name.", faults=[Fault("form.file", "no filename")])
        archive = Archive(uuid4(), file.filename, note, file.size_bytes, None, "packing")
        # The client's name is shown and never opened: on disk a file has the name that we give.
        target = self._packed(archive.id)
        source = target.with_suffix(".upload")
        await file.save_to(source)
        await self.db.execute(
            "INSERT INTO archives (id, name, note, size_bytes, state, give_up_at)"
            " VALUES ($1, $2, $3, $4, 'packing', $5)",
            archive.id,
            archive.name,
            archive.note,
            archive.size_bytes,
            self.clock.now() + timedelta(seconds=PATIENCE_S),
        )
        ctx.spawn(self._pack(archive.id, source, target), wall_s=PATIENCE_S)
        return Reply(archive, headers={"location": f"/archives/{archive.id}"})

    @get("/archives/{archive_id}")
    async def show(self, archive_id: UUID) -> Archive:
        """Say how far an archive is."""
        row = await self.db.fetch_one("SELECT * FROM archives WHERE id = $1", archive_id, into=_Row)
        if row is None:
            raise NoSuchArchive(f"{archive_id}: no such archive.")
        lost = row.state == "packing" and self.clock.now() > row.give_up_at
        state = "failed" if lost else row.state
        return Archive(row.id, row.name, row.note, row.size_bytes, row.packed_bytes, state)

    @get("/archives/{archive_id}/file")
    async def download(self, archive_id: UUID) -> File:
        """Hand the packed file out, whole or in ranges."""
        archive = await self.show(archive_id)
        if archive.state != "done":
            raise NotPacked(f"{archive_id}: {archive.state}.", hint="Ask GET /archives/{id} again.")
        return File(self._packed(archive_id), "application/gzip", filename=f"{archive.name}.gz")

    async def _pack(self, archive_id: UUID, source: Path, target: Path) -> None:
        try:
            packed_bytes = await asyncio.to_thread(_compress, source, target)
        except OSError:
            await self.db.execute("UPDATE archives SET state = 'failed' WHERE id = $1", archive_id)
            raise
        await self.db.execute(
            "UPDATE archives SET state = 'done', packed_bytes = $2 WHERE id = $1",
            archive_id,
            packed_bytes,
        )

    def _packed(self, archive_id: UUID) -> Path:
        return Path(self.archives.folder) / f"{archive_id}.gz"


def _compress(source: Path, target: Path) -> int:
    try:
        with source.open("rb") as content, gzip.open(target, "wb") as packed:
            shutil.copyfileobj(content, packed)
    finally:
        source.unlink()
    return target.stat().st_size

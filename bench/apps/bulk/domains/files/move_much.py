"""Take much in and hand much out, in each of the ways there are."""

from collections.abc import AsyncIterator
from pathlib import Path

from ringfence import Plugin, Settings
from ringfence.tools.http import BodyStream, File, Stream, UploadFile, get, post

MOST_BYTES = 2 << 30
PIECE = bytes(64 << 10)


class Bulk(Settings, section="bulk"):
    file: str


class MoveMuch(Plugin):
    bulk: Bulk

    @post("/files", max_body_bytes=MOST_BYTES)
    async def take_file(self, file: UploadFile) -> int:
        size_bytes = 0
        async for piece in file.chunks():
            size_bytes += len(piece)
        return size_bytes

    @post("/bodies", max_body_bytes=MOST_BYTES)
    async def take_body(self, body: BodyStream) -> int:
        size_bytes = 0
        async for piece in body:
            size_bytes += len(piece)
        return size_bytes

    @post("/refused", max_body_bytes=1 << 20)
    async def refuse(self, body: bytes) -> int:
        return len(body)

    @get("/files/one")
    async def hand_out(self) -> File:
        return File(Path(self.bulk.file))

    @get("/streams/{pieces}")
    async def stream(self, pieces: int) -> Stream:
        return Stream(self._pieces(pieces))

    async def _pieces(self, count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield PIECE

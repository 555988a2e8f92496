"""Keep documents: take them in by form or as a body, hand them out in parts, replace and remove.

A name that means anything to a file system, or a second file of that name, is refused by the tool.
"""

from urllib.parse import quote

from msgspec import Struct

from ringfence import Plugin
from ringfence.tools.files import FileMissing, Files, Stored
from ringfence.tools.http import (
    BodyStream,
    File,
    Header,
    IfMatch,
    Reply,
    UploadFile,
    delete,
    get,
    post,
    put,
)

FOLDER = "documents/"
MAX_UPLOAD_BYTES = 20 << 20


class Document(Struct):
    name: str
    size_bytes: int
    content_type: str


class Documents(Struct):
    items: list[Document]
    next: str | None


class KeepDocuments(Plugin):
    files: Files

    @get("/documents")
    async def page(self, after: str = "") -> Documents:
        """List documents by name, a page at a time."""
        page = await self.files.list(FOLDER, after=FOLDER + after if after else "")
        following = None if page.next is None else page.next.removeprefix(FOLDER)
        return Documents([_document(stored) for stored in page.items], following)

    @post("/documents", status=201, max_body_bytes=MAX_UPLOAD_BYTES)
    async def add(self, file: UploadFile) -> Reply[Document]:
        """Take in a file of a form, under the name that it has there."""
        stored = await self.files.write(
            FOLDER + file.filename,
            file.chunks(),
            content_type=file.content_type,
            overwrite=False,
        )
        place = f"/{quote(stored.name)}"
        return Reply(_document(stored), headers={"location": place}, etag=stored.etag)

    @put("/documents/{name}", max_body_bytes=MAX_UPLOAD_BYTES)
    async def replace(
        self, name: str, body: BodyStream, match: IfMatch, content_type: Header[str] = ""
    ) -> Reply[Document]:
        """Put a document in the place of another, provided that it is as the client has read it."""
        etag = await self._etag(name)
        if etag is not None:
            match.require(etag, required=True)
        stored = await self.files.write(
            FOLDER + name,
            body,
            content_type=content_type,
            overwrite=etag is not None,
            if_match=etag,
        )
        return Reply(_document(stored), status=200 if etag else 201, etag=stored.etag)

    @get("/documents/{name}")
    async def show(self, name: str) -> File:
        """Hand a document out, whole or in ranges; 304 for whoever has this version already."""
        return File(await self.files.get(FOLDER + name))

    @delete("/documents/{name}", status=204)
    async def remove(self, name: str, match: IfMatch) -> None:
        """Remove a document; with If-Match, only as the client has read it."""
        etag = (await self.files.stat(FOLDER + name)).etag
        match.require(etag)
        await self.files.delete(FOLDER + name, if_match=etag)

    async def _etag(self, name: str) -> str | None:
        try:
            return (await self.files.stat(FOLDER + name)).etag
        except FileMissing:
            return None


def _document(stored: Stored) -> Document:
    name = stored.name.removeprefix(FOLDER)
    return Document(name, stored.size_bytes, stored.content_type)

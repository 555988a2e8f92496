"""The contract of the `files` tool: bytes under a name, below one folder or one bucket.

Owns `Files`, its values and the closed list of errors that it raises; no driver raises another.
Every driver keeps every guarantee written here, and `conformance.py` proves it.

    ToolError
    ├ FileMissing           404   ├ FileExists      409   ├ FileChanged          412
    ├ FileTooLarge          413   ├ BadName         422   ├ BadContentType       422
    ├ TooLargeToRead        500   a mistake in a feature: it reads whole what it should stream
    └ ToolUnavailable       503   StorageFull · StorageFailure: try again
"""

from collections.abc import AsyncIterable, AsyncIterator
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from ringfence.errors import ToolError, ToolUnavailable
from ringfence.kernel.ports import contract, operation


class FileMissing(ToolError, code="files.missing"):
    """There is no file of that name."""

    status = 404


class FileExists(ToolError, code="files.exists"):
    """There is a file of that name and it was not to be overwritten; or the name is taken by
    something else: by the folder of other files, or by what is no file."""

    status = 409


class FileChanged(ToolError, code="files.changed"):
    """It is not the version that was asked for; read it again, and decide anew."""

    status = 412


class FileTooLarge(ToolError, code="files.too_large"):
    """There are more bytes than a file may have; nothing was stored."""

    status = 413


class BadName(ToolError, code="files.bad_name"):
    """The name is none that a file may have. The message says why, and what one looks like."""

    status = 422


class BadContentType(ToolError, code="files.bad_content_type"):
    """The content type is none: expected `type/subtype`, with parameters or without."""

    status = 422


class TooLargeToRead(ToolError, code="files.too_large_to_read"):
    """The file is longer than `read` returns; `get` it and stream it."""


class StorageFull(ToolUnavailable, code="files.storage_full"):
    """There is no room: the disk or a quota is full. Nothing was stored, nothing overwritten."""


class StorageFailure(ToolUnavailable, code="files.storage_failure"):
    """The storage does not do as it should: no right, a failing disk, a folder that is gone."""


class Stored(Struct, frozen=True):
    """What is known of a file.

    Args:
        name: Its segments with slashes between them: `invoices/2026/7.pdf`.
        size_bytes: Of its content.
        content_type: What its writer said, or what the end of its name says.
        etag: Changes with each write; of visible ASCII without quotes, so that it can be an ETag.
        modified_at: When it was written; in UTC.
    """

    name: str
    size_bytes: int
    content_type: str
    etag: str
    modified_at: datetime


class Listing(Struct, frozen=True):
    """A page of files, sorted by name.

    Args:
        items: The files.
        next: What to give as `after` for the page that follows; None after the last one.
    """

    items: tuple[Stored, ...]
    next: str | None


class Content(Protocol):
    """One version of a file, to be read piece by piece. Nothing is open until it is streamed, so
    one that is not streamed needs no closing. A `File` of HTTP takes it as it is."""

    @property
    def name(self) -> str:
        """The name that it is kept under."""
        ...

    @property
    def size_bytes(self) -> int:
        """Its length in bytes."""
        ...

    @property
    def content_type(self) -> str:
        """The media type that it was written with, or that its name tells."""
        ...

    @property
    def etag(self) -> str:
        """The mark of this version, as HTTP has it."""
        ...

    @property
    def modified_at(self) -> datetime:
        """When this version was written, in UTC."""
        ...

    def stream(self, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Iterate over the bytes from `start` on, `length` of them or all.

        Raises:
            FileChanged: Before the first piece: it was overwritten since it was got.
            FileMissing: Before the first piece: it was deleted since.
            StorageFailure: It cannot be read, or has become shorter.
            TransactionHeld: This context holds a transaction.

        Guarantees:
            All pieces are of one version: what is written or deleted after the first of them does
            not show. At most some hundred kilobytes are in memory. What is open is closed with the
            iterator, at its end, by `aclose`, or when it is let go.
        """
        ...


@contract("files")
class Files(Protocol):
    """Files by name: written whole, read whole or in pieces.

    A plugin asks for it by a field `files: Files`; of several instances the field's name picks.

    Names are relative, with forward slashes: `invoices/2026/7.pdf`. A segment is text that can be
    seen, without `\\ : * ? " < > |`; it neither starts nor ends with a dot or a space, and is no
    device of Windows (`con`, `nul.txt`). A name has at most 32 segments of 255 bytes each, and
    1,024 bytes in all. Names are normalised (NFC), so that one way of writing `é` finds what
    another has stored. Any other name is a BadName, in every operation. Folders come with their
    first file and go with their last; a name is never both.

    Every operation raises TransactionHeld while its context holds a transaction of a database.
    """

    @operation()
    async def write(
        self,
        name: str,
        content: bytes | AsyncIterable[bytes],
        *,
        content_type: str | None = None,
        overwrite: bool = True,
        if_match: str | None = None,
    ) -> Stored:
        """Store a file under a name, in the place of the one that is there.

        Args:
            name: Where; see above.
            content: Its bytes, or what yields them: `photo.chunks()` of an upload, a body as it
                comes in.
            content_type: `image/webp`; without it, or empty, what the end of the name says, and
                `application/octet-stream` where it says nothing. It is never guessed from content.
            overwrite: Whether a file of that name may be there.
            if_match: The etag of the file that must be there.

        Raises:
            BadName: The name is none.
            BadContentType: The content type is none.
            FileExists: The name is taken, and `overwrite` is not set; or by a folder.
            FileChanged: What is there is not `if_match`, or nothing is.
            FileTooLarge: The content is longer than a file may be.
            StorageFull: There is no room.
            StorageFailure: The storage cannot be written to.
            Exception: Whatever `content` raises, unchanged.

        Guarantees:
            It happens wholly or not at all, also in a crash: under the name is the old content or
            the new one, and whoever reads meanwhile goes on reading the old one. It is durable when
            this returns. Of several writers the last one to end wins, unless `if_match` or
            `overwrite` decide: they are checked before the content is taken, and again as one step
            with its coming into place. Cancelled or failing before that step, nothing of it stays;
            cancelled during it, its outcome is awaited, and the cancellation carries the note
            `committed`.
        """
        ...

    @operation(idempotent=True)
    async def read(self, name: str) -> bytes:
        """Return the whole content of a file.

        Raises:
            BadName: The name is none.
            FileMissing: There is no such file.
            TooLargeToRead: It is longer than `max_read_bytes`.
            StorageFailure: It cannot be read.

        Guarantees: It is the content of one version.
        """
        ...

    @operation(idempotent=True)
    async def get(self, name: str) -> Content:
        """Return the version of a file that is there now, to be streamed.

        Raises:
            BadName: The name is none.
            FileMissing: There is no such file.
            StorageFailure: The storage cannot be read.
        """
        ...

    @operation(idempotent=True)
    async def stat(self, name: str) -> Stored:
        """Return what is known of a file. Errors are those of `get`."""
        ...

    @operation()
    async def delete(self, name: str, *, if_match: str | None = None) -> None:
        """Remove a file.

        Args:
            name: Which.
            if_match: Its etag; without it, whatever version is there.

        Raises:
            BadName: The name is none.
            FileMissing: There is no such file.
            FileChanged: What is there is another version.
            StorageFailure: It cannot be removed.

        Guarantees:
            It is durable when this returns. Who streams it goes on reading. Cancelled, it has no
            effect, or its outcome is awaited and the cancellation carries the note `committed`.
        """
        ...

    @operation(idempotent=True)
    async def list(self, prefix: str = "", *, after: str = "", limit: int = 100) -> Listing:
        """Return the files whose names begin with `prefix`, a page at a time.

        Args:
            prefix: The beginning of names: `invoices/2026/`, `invoices/2026/7`; empty: all files.
            after: The name after which to begin: `next` of the page before.
            limit: How many at most; 1 to 1,000.

        Raises:
            BadName: No name can begin with `prefix`.
            ValueError: `limit` is out of its range.
            StorageFailure: The storage cannot be read.

        Guarantees:
            Sorted by name, character by character. A file that is there from the first page to the
            last is on exactly one; one that comes or goes meanwhile may be missed.
        """
        ...

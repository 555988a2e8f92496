"""An uploaded file, as a feature gets it: `photo: UploadFile`.

It is read from the form that a request carries, small ones in memory, large ones in a temporary
file. It lives as long as its request: what is to stay is copied by `save_to`, or stored.
"""

import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import BinaryIO, ClassVar, TypeVar

R = TypeVar("R")
CHUNK_BYTES = 1 << 16  # of `chunks`: what a disk and a socket move in one go


class UploadFile:
    """A file that came in a multipart form. In a `def` handler: `wait(photo.read())`.

    Args:
        file: Its content, at the beginning.
        filename: As the client sent it. Never trust it: only its path and what cannot be printed
            are taken off.
        content_type: As the client sent it; empty when it did not.
        size_bytes: Of the content.
    """

    __ringfence_http__: ClassVar[str] = "upload"

    def __init__(
        self, file: BinaryIO, *, filename: str = "", content_type: str = "", size_bytes: int = 0
    ) -> None:
        self._file = file
        self._filename = _last_part(filename)
        self._content_type = content_type
        self._size_bytes = size_bytes

    @property
    def filename(self) -> str:
        """The last part of the name that the client gave. Untrusted."""
        return self._filename

    @property
    def content_type(self) -> str:
        """The type that the client gave. Untrusted."""
        return self._content_type

    @property
    def size_bytes(self) -> int:
        """How long the content is."""
        return self._size_bytes

    async def read(self, size_bytes: int = -1) -> bytes:
        """Return the next bytes, at most `size_bytes`; all that are left by default."""
        return await _on_thread(self._file.read, size_bytes)

    async def seek(self, offset: int) -> None:
        """Go on reading `offset` bytes after the beginning."""
        await _on_thread(self._file.seek, offset)

    async def chunks(self, size_bytes: int = CHUNK_BYTES) -> AsyncIterator[bytes]:
        """Iterate over what is left, in pieces of `size_bytes`; the last one may be shorter."""
        while piece := await self.read(size_bytes):
            yield piece

    async def save_to(self, path: Path) -> None:
        """Write the whole content to a file, which must not exist yet.

        Raises:
            FileExistsError: There is a file of that name.
        """
        await _on_thread(self._copy_to, path)

    def _copy_to(self, path: Path) -> None:
        self._file.seek(0)
        with path.open("xb") as copy:
            shutil.copyfileobj(self._file, copy)

    def close(self) -> None:
        """Remove the content; the end of the request does it."""
        self._file.close()

    def __repr__(self) -> str:
        return f"<UploadFile {self._filename!r}, {self._size_bytes} bytes>"


async def close_all(files: Sequence[UploadFile]) -> None:
    """Remove the content of files, also when cancelled meanwhile."""

    def close() -> None:
        for file in files:
            file.close()

    try:
        if sum(file.size_bytes for file in files) > CHUNK_BYTES:
            await _on_thread(close)
    finally:
        close()


def _last_part(name: str) -> str:
    name = name.replace("\\", "/").rpartition("/")[2]
    name = "".join(character for character in name if character.isprintable())
    return "" if name in (".", "..") else name


async def _on_thread(function: Callable[..., R], *args: object) -> R:
    # A content of some size is on disk, and a disk may be slow.
    from starlette.concurrency import run_in_threadpool

    return await run_in_threadpool(function, *args)

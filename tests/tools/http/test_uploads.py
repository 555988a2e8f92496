"""Uploaded files, as a feature gets them."""

import io
import os
import tracemalloc
from pathlib import Path

import pytest

from ringfence.tools.http import UploadFile
from ringfence.tools.http.binding.forms import SPOOL_BYTES
from ringfence.tools.http.problem import Refused
from tests.tools.http.arriving import END, MULTIPART, Sent, arrived, faults_of, part

pytestmark = pytest.mark.anyio


def one(photo: UploadFile) -> None:
    """A file."""


def optional(photo: UploadFile | None = None) -> None:
    """Maybe a file."""


def several(photos: list[UploadFile]) -> None:
    """Files."""


def multipart(*parts: bytes) -> Sent:
    return Sent(headers=MULTIPART, pieces=[*parts, END])


def file_of(argument: object) -> UploadFile:
    assert isinstance(argument, UploadFile)
    return argument


async def test_a_file_is_read_from_its_part() -> None:
    """Whole, in pieces, and again."""
    content = os.urandom(SPOOL_BYTES * 3)
    sent = multipart(part("photo", content, "cat.png", "image/png"))
    async with arrived(one, sent) as args:
        photo = file_of(args[0])
        assert (photo.filename, photo.content_type) == ("cat.png", "image/png")
        assert photo.size_bytes == len(content)
        assert await photo.read() == content
        assert await photo.read() == b""
        await photo.seek(5)
        assert await photo.read(3) == content[5:8]
        pieces = [piece async for piece in photo.chunks(SPOOL_BYTES)]
        assert b"".join(pieces) == content[8:]
        assert max(map(len, pieces)) == SPOOL_BYTES


async def test_a_file_is_saved_whole_and_over_nothing(tmp_path: Path) -> None:
    """Wherever it has been read to; a file that is there stays as it is."""
    async with arrived(one, multipart(part("photo", b"content", "a"))) as args:
        photo = file_of(args[0])
        await photo.read(3)
        await photo.save_to(tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == b"content"
        with pytest.raises(FileExistsError):
            await photo.save_to(tmp_path / "a")


async def test_what_a_request_left_is_gone_after_it() -> None:
    """In memory as well as on disk."""
    for size in (1, SPOOL_BYTES * 3):
        async with arrived(one, multipart(part("photo", b"x" * size, "a"))) as args:
            photo = file_of(args[0])
        with pytest.raises(ValueError, match="closed"):
            await photo.read()


async def test_files_under_one_name_are_a_list() -> None:
    """In order; where one was asked for, several are a fault."""
    sent = multipart(part("photos", b"1", "a"), part("photos", b"2", "b"))
    async with arrived(several, sent) as args:
        (photos,) = args
        assert isinstance(photos, list)
        assert [(file.filename, await file.read()) for file in photos] == [("a", b"1"), ("b", b"2")]
    twice = multipart(part("photo", b"1", "a"), part("photo", b"2", "b"))
    with pytest.raises(Refused) as caught:
        async with arrived(one, twice):
            pass
    assert faults_of(caught.value) == {"form.photo": "is given 2 times; expected once"}


async def test_an_input_that_was_left_empty_is_no_file() -> None:
    """Browsers send a part without name and content for it; an empty file has a name."""
    async with arrived(optional, multipart(part("photo", b"", ""))) as args:
        assert args == (None,)
    async with arrived(optional, multipart(part("photo", b"", "empty.txt"))) as args:
        assert file_of(args[0]).size_bytes == 0
    with pytest.raises(Refused) as caught:
        async with arrived(one, multipart(part("photo", b"", ""))):
            pass
    assert faults_of(caught.value) == {"form.photo": "is missing"}


async def test_text_is_no_file() -> None:
    """A field of the file's name without a file name."""
    with pytest.raises(Refused) as caught:
        async with arrived(optional, multipart(part("photo", b"text"))):
            pass
    assert faults_of(caught.value) == {"form.photo": "expected a file, got text"}


@pytest.mark.parametrize(
    "sent, kept",
    [
        ("cat.png", "cat.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\cat.png", "cat.png"),
        ("..", ""),
        ("a/.", ""),
        ("/", ""),
        ("cat\0\r\n\x1b[2J.png", "cat[2J.png"),
        ("\u202egnp.exe", "gnp.exe"),
        ("é.png", "é.png"),
    ],
)
def test_a_file_name_has_no_path_and_nothing_that_cannot_be_seen(sent: str, kept: str) -> None:
    """What is left is still the client's word."""
    photo = UploadFile(io.BytesIO(b"x"), filename=sent, size_bytes=1)
    assert photo.filename == kept
    assert repr(photo) == f"<UploadFile {kept!r}, 1 bytes>"


async def test_a_long_upload_is_not_held_in_memory() -> None:
    """Beyond a small part of it, it is on disk."""
    size_bytes = 32 << 20
    piece = b"x" * (64 << 10)
    head = part("photo", b"", "a")[:-2]

    pieces = [head, *[piece] * (size_bytes // len(piece)), b"\r\n", END]
    async with arrived(one, multipart(part("photo", b"x", "a"))):
        pass  # what is loaded once is no part of the request
    tracemalloc.start()
    try:
        async with arrived(
            one, Sent(headers=MULTIPART, pieces=pieces), max_body_bytes=1 << 30
        ) as args:
            assert file_of(args[0]).size_bytes == size_bytes
            _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < size_bytes / 16

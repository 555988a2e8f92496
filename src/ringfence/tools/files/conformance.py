"""The executable contract of files: what every driver does, run against each of them.

    @pytest.mark.anyio
    class TestMyDriver(FilesConformance):
        @pytest.fixture
        async def subject(self) -> AsyncIterator[Subject]: ...

The fixture gives an empty place whose files may have FILE_BYTES, and of which `read` returns at
most READ_BYTES.
"""

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from msgspec import Struct

from ringfence.tools.files.contract import (
    BadContentType,
    BadName,
    FileChanged,
    FileExists,
    FileMissing,
    Files,
    FileTooLarge,
    Listing,
    Stored,
    TooLargeToRead,
)
from ringfence.tools.files.corpus import BAD_NAMES, GOOD_NAMES

FILE_BYTES = 1 << 20
READ_BYTES = 1 << 19

CONTENT = bytes(range(256)) * 2000  # some pieces, and no whole number of them


class Subject(Struct, frozen=True):
    """The files under test: `files(plugin)` is the handle of one plugin."""

    files: Callable[[str], Files]


class Deliberate(Exception):
    """What a test raises while its content is taken."""


async def pieces(content: bytes, size_bytes: int = 1000) -> AsyncIterator[bytes]:
    """Yield content piece by piece, as it would come over a network."""
    for start in range(0, len(content), size_bytes):
        await asyncio.sleep(0)
        yield content[start : start + size_bytes]


async def streamed(files: Files, name: str, start: int = 0, length: int | None = None) -> bytes:
    """Return what a stream gives."""
    content = await files.get(name)
    return b"".join([piece async for piece in content.stream(start=start, length=length)])


async def names(files: Files, prefix: str = "", limit: int = 1000) -> list[str]:
    """Return the names of all pages."""
    found: list[str] = []
    page = Listing((), "")
    while page.next is not None:
        page = await files.list(prefix, after=page.next, limit=limit)
        assert len(page.items) <= limit
        found += [stored.name for stored in page.items]
    return found


class _OneHandle:
    @pytest.fixture
    def files(self, subject: Subject) -> Files:
        """The handle of one plugin."""
        return subject.files("documents.keep_documents")


class WritingConformance(_OneHandle):
    """Writing: wholly or not at all, and under which conditions."""

    @pytest.mark.parametrize("size_bytes", [0, 1, 1 << 18, len(CONTENT)])
    async def test_what_is_written_is_read(self, files: Files, size_bytes: int) -> None:
        """From bytes or in pieces, whole or in pieces; and it is known how long it is."""
        content = CONTENT[:size_bytes]
        for given in (content, bytearray(content), pieces(content)):
            stored = await files.write("reports/all.bin", given)  # type: ignore[arg-type]
            assert (stored.name, stored.size_bytes) == ("reports/all.bin", size_bytes)
            assert await files.stat("reports/all.bin") == stored
            assert await streamed(files, "reports/all.bin") == content
            if size_bytes <= READ_BYTES:
                assert await files.read("reports/all.bin") == content

    async def test_each_version_has_its_etag(self, files: Files) -> None:
        """Also one with the content of another, also where one was deleted before."""
        seen = set()
        for content in (b"a", b"b", b"a", b"a", b""):
            stored = await files.write("a", content)
            assert stored.etag.isascii()
            assert stored.etag.isprintable()
            assert '"' not in stored.etag
            seen.add(stored.etag)
        await files.delete("a")
        seen.add((await files.write("a", b"a")).etag)
        assert len(seen) == 6

    async def test_the_time_of_a_version_is_in_utc_and_goes_on(self, files: Files) -> None:
        """A later version is not an earlier one."""
        first, second = await files.write("a", b"a"), await files.write("a", b"b")
        assert first.modified_at.utcoffset() == timedelta(0)
        assert first.modified_at <= second.modified_at

    async def test_a_file_is_not_overwritten_where_it_must_not_be(self, files: Files) -> None:
        """Nothing of the content is taken then; a new name is free."""
        await files.write("a", b"old", overwrite=False)
        taken: list[bytes] = []

        async def content() -> AsyncIterator[bytes]:
            taken.append(b"new")
            yield b"new"

        with pytest.raises(FileExists):
            await files.write("a", content(), overwrite=False)
        with pytest.raises(FileExists):
            await files.write("a", b"new", overwrite=False)
        assert (await files.read("a"), taken) == (b"old", [])

    async def test_a_version_may_be_asked_for(self, files: Files) -> None:
        """Another one, or none, is refused before anything of the content is taken."""
        first = await files.write("a", b"1")
        second = await files.write("a", b"2", if_match=first.etag)
        for given in (b"3", pieces(b"3")):
            with pytest.raises(FileChanged):
                await files.write("a", given, if_match=first.etag)
        with pytest.raises(FileChanged):
            await files.write("b", b"3", if_match=second.etag)
        assert await files.read("a") == b"2"
        assert await names(files) == ["a"]

    async def test_what_comes_meanwhile_is_not_overwritten(self, files: Files) -> None:
        """Conditions hold when the file comes into its place, not only when it was begun."""
        old = await files.write("a", b"old")

        async def slow(name: str, other: bytes) -> AsyncIterator[bytes]:
            yield b"new"
            await files.write(name, other)

        with pytest.raises(FileChanged):
            await files.write("a", slow("a", b"other"), if_match=old.etag)
        with pytest.raises(FileExists):
            await files.write("b", slow("b", b"other"), overwrite=False)
        assert (await files.read("a"), await files.read("b")) == (b"other", b"other")

    async def test_of_writers_with_one_version_one_wins(self, files: Files) -> None:
        """The others are told, and what the winner wrote is there."""
        old = await files.write("a", b"old")
        given = [bytes([number]) * 1000 for number in range(8)]
        ended = await asyncio.gather(
            *(files.write("a", pieces(content, 300), if_match=old.etag) for content in given),
            return_exceptions=True,
        )
        won = [content for content, end in zip(given, ended, strict=True) if type(end) is Stored]
        assert [await files.read("a")] == won
        assert sum(isinstance(end, FileChanged) for end in ended) == 7

    async def test_of_writers_without_one_the_last_wins(self, files: Files) -> None:
        """There is always one of them as a whole."""
        given = [bytes([number]) * (5000 + number) for number in range(8)]
        writes = [asyncio.create_task(files.write("a/b", pieces(each))) for each in given]
        while not all(write.done() for write in writes):
            await asyncio.sleep(0.001)
            if await names(files):
                assert await files.read("a/b") in given
        versions = {stored.etag: given[at] for at, stored in enumerate([await w for w in writes])}
        assert len(versions) == 8
        assert await files.read("a/b") == versions[(await files.stat("a/b")).etag]

    async def test_a_content_that_fails_leaves_nothing(self, files: Files) -> None:
        """Its error comes through as it is, and the old version stays."""

        async def failing() -> AsyncIterator[bytes]:
            yield CONTENT
            raise Deliberate

        await files.write("a", b"old")
        for name in ("a", "b/c"):
            with pytest.raises(Deliberate):
                await files.write(name, failing())
        assert await files.read("a") == b"old"
        assert await names(files) == ["a"]
        await files.write("b", b"no folder was left")

    async def test_a_cancelled_write_leaves_nothing(self, files: Files) -> None:
        """Whoever waits for a content that does not come can stop waiting."""
        begun = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield CONTENT
            begun.set()
            await asyncio.Event().wait()

        await files.write("a", b"old")
        for name in ("a", "b/c"):
            begun.clear()
            writing = asyncio.create_task(files.write(name, endless()))
            await begun.wait()
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
        assert await files.read("a") == b"old"
        assert await names(files) == ["a"]

    @pytest.mark.parametrize("turns", range(12))
    async def test_a_cancelled_write_is_there_or_not(self, files: Files, turns: int) -> None:
        """Whenever it is cancelled: what is there is whole, and `committed` tells."""
        await files.write("a", b"old")
        writing = asyncio.create_task(files.write("a", pieces(b"new", 1)))
        for _ in range(turns):
            await asyncio.sleep(0)
        writing.cancel()
        try:
            await writing
            expected = b"new"
        except asyncio.CancelledError as cancelled:
            notes = getattr(cancelled, "__notes__", [])
            expected = b"new" if any("committed" in note for note in notes) else b"old"
        assert await files.read("a") == expected

    async def test_what_is_too_long_is_refused(self, files: Files) -> None:
        """To the byte, and nothing of it stays."""
        for given in (bytes(FILE_BYTES), pieces(bytes(FILE_BYTES), 100_000)):
            assert (await files.write("a", given)).size_bytes == FILE_BYTES
        for more in (bytes(FILE_BYTES + 1), pieces(bytes(FILE_BYTES + 1), 100_000)):
            with pytest.raises(FileTooLarge, match=str(FILE_BYTES)):
                await files.write("b", more)
        assert await names(files) == ["a"]

    @pytest.mark.parametrize("content", ["text", None, 7, ["a"]])
    async def test_what_is_no_bytes_is_a_mistake(self, files: Files, content: object) -> None:
        """It is said, also of a piece."""

        async def of_these() -> AsyncIterator[bytes]:
            yield content  # type: ignore[misc]

        for given in (content, of_these()):
            with pytest.raises(TypeError, match="expected bytes"):
                await files.write("a", given)  # type: ignore[arg-type]
        assert await names(files) == []


class NamingConformance(_OneHandle):
    """Names and types."""

    @pytest.mark.parametrize("name", GOOD_NAMES, ids=lambda name: ascii(name)[:40])
    async def test_names_are_kept(self, files: Files, name: str) -> None:
        """As they are."""
        assert (await files.write(name, b"x")).name == name
        assert await names(files) == [name]
        assert await files.read(name) == b"x"
        await files.delete(name)
        assert await names(files) == []

    @pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: ascii(name)[:40])
    async def test_what_is_no_name_is_refused_everywhere(self, files: Files, name: str) -> None:
        """Whatever is asked for; nothing is stored, and the message is of one line."""
        with pytest.raises(BadName) as refused:
            await files.write(name, b"x")
        with pytest.raises(BadName):
            await files.write(name, pieces(b"x"))
        for use in (files.read, files.get, files.stat, files.delete):
            with pytest.raises(BadName):
                await use(name)
        said = str(refused.value)
        assert said.isascii()
        assert said.isprintable()
        assert len(said) < 500
        assert await names(files) == []

    async def test_one_way_of_writing_finds_another(self, files: Files) -> None:
        """A letter with its accent is one name, composed or not."""
        composed = "caf\u00e9/\u00c5.txt"
        apart = unicodedata.normalize("NFD", composed)
        assert (await files.write(apart, b"x")).name == composed
        assert await files.read(composed) == b"x"
        assert await names(files, unicodedata.normalize("NFD", "caf\u00e9/")) == [composed]
        await files.delete(apart)
        assert await names(files) == []

    async def test_a_name_is_a_file_or_a_folder(self, files: Files) -> None:
        """Never both; and it is free again when the last file below it is gone."""
        await files.write("a/b/c", b"x")
        for name in ("a", "a/b"):
            with pytest.raises(FileExists):
                await files.write(name, b"y")
            for use in (files.read, files.stat, files.delete):
                with pytest.raises(FileMissing):
                    await use(name)
        with pytest.raises(FileExists):
            await files.write("a/b/c/d/e", b"y")
        with pytest.raises(FileMissing):
            await files.read("a/b/c/d")
        await files.delete("a/b/c")
        await files.write("a", b"y")
        assert await names(files) == ["a"]

    @pytest.mark.parametrize(
        "name, content_type",
        [
            ("a.PNG", "image/png"),
            ("a.tar.gz", "application/gzip"),
            ("a/b.txt", "text/plain"),
            ("png", "application/octet-stream"),
            ("a.png/b", "application/octet-stream"),
            ("a.unknown", "application/octet-stream"),
        ],
    )
    async def test_the_name_says_the_type(self, files: Files, name: str, content_type: str) -> None:
        """Never the content."""
        for said in (None, ""):
            stored = await files.write(name, b"<html>", content_type=said)
            assert stored.content_type == content_type

    async def test_a_type_that_is_given_is_kept(self, files: Files) -> None:
        """With its version: the next one has its own."""
        given = ["image/webp", "text/plain; charset=latin-1", "image/png", "application/x-a+b"]
        for content_type in given:
            stored = await files.write("a.png", b"x", content_type=content_type)
            assert stored.content_type == content_type
            assert await files.stat("a.png") == stored
            assert (await files.get("a.png")).content_type == content_type
            assert (await files.list()).items == (stored,)
        assert (await files.write("a.png", b"x")).content_type == "image/png"
        assert (await files.stat("a.png")).content_type == "image/png"
        await files.write("a.png", b"x", content_type="image/webp")
        await files.delete("a.png")
        await files.write("a.png", b"x")
        assert (await files.stat("a.png")).content_type == "image/png"

    @pytest.mark.parametrize(
        "given",
        [
            "png",
            "image/",
            "/png",
            "a b/c",
            "a/b\r\nx: y",
            "a/b;\n",
            "é/b",
            "a/" + "b" * 300,
            "a/b/c",
        ],
    )
    async def test_what_is_no_type_is_refused(self, files: Files, given: str) -> None:
        """It would end up in a header."""
        with pytest.raises(BadContentType):
            await files.write("a", b"x", content_type=given)
        assert await names(files) == []


class ReadingConformance(_OneHandle):
    """Reading, deleting and listing."""

    async def test_what_is_not_there_is_missing(self, files: Files) -> None:
        """To whoever reads, and to whoever deletes."""
        for use in (files.read, files.get, files.stat, files.delete):
            with pytest.raises(FileMissing, match="nowhere"):
                await use("nowhere")
            with pytest.raises(FileMissing):
                await use("no/where")

    async def test_what_is_too_long_is_not_read_whole(self, files: Files) -> None:
        """It can be streamed."""
        await files.write("a", bytes(READ_BYTES))
        assert len(await files.read("a")) == READ_BYTES
        await files.write("a", bytes(READ_BYTES + 1))
        with pytest.raises(TooLargeToRead, match="stream"):
            await files.read("a")
        assert len(await streamed(files, "a")) == READ_BYTES + 1

    @pytest.mark.parametrize(
        "start, length",
        [(0, None), (0, 0), (0, 1), (5, None), (5, 300_000), (511_999, None), (512_000, None),
         (600_000, 5), (511_990, 600_000), (0, 2**63)],
    )  # fmt: skip
    async def test_a_part_is_streamed(self, files: Files, start: int, length: int | None) -> None:
        """As a slice of it would be."""
        await files.write("a", CONTENT)
        end = None if length is None else start + length
        assert await streamed(files, "a", start, length) == CONTENT[start:end]

    @pytest.mark.parametrize("start, length", [(-1, None), (0, -1)])
    async def test_no_part_is_negative(self, files: Files, start: int, length: int) -> None:
        """That is a mistake of whoever asks."""
        await files.write("a", CONTENT)
        with pytest.raises(ValueError, match="0 or more"):
            await streamed(files, "a", start, length)

    async def test_pieces_are_small(self, files: Files) -> None:
        """However long the file is."""
        await files.write("a", bytes(FILE_BYTES))
        content = await files.get("a")
        assert max([len(piece) async for piece in content.stream()]) <= 1 << 18

    async def test_a_reader_sees_one_version(self, files: Files) -> None:
        """Overwritten or deleted meanwhile, it goes on as it began."""
        for change in (lambda: files.write("a", b"new"), lambda: files.delete("a")):
            await files.write("a", CONTENT)
            reading = (await files.get("a")).stream()
            first = await anext(reading)
            await change()
            assert first + b"".join([piece async for piece in reading]) == CONTENT

    async def test_a_version_that_is_gone_is_not_read(self, files: Files) -> None:
        """What was got is what is streamed, or nothing is."""
        await files.write("a", b"one")
        content = await files.get("a")
        assert (content.name, content.size_bytes) == ("a", 3)
        assert content.etag == (await files.stat("a")).etag
        await files.write("a", b"two")
        with pytest.raises(FileChanged):
            await anext(content.stream())
        await files.delete("a")
        with pytest.raises(FileMissing):
            await anext(content.stream())

    async def test_a_version_may_be_deleted(self, files: Files) -> None:
        """Not another one."""
        old = await files.write("a", b"1")
        new = await files.write("a", b"2")
        with pytest.raises(FileChanged):
            await files.delete("a", if_match=old.etag)
        assert await files.read("a") == b"2"
        await files.delete("a", if_match=new.etag)
        assert await names(files) == []

    @pytest.mark.parametrize("limit", [1, 2, 3, 1000])
    async def test_files_are_listed_by_name(self, files: Files, limit: int) -> None:
        """In pages, in one order, across folders."""
        given = [
            "a",
            "a b",
            "a!/x",
            "a-b/c",
            "a.txt",
            "a0",
            "b/a/c",
            "b/a/d",
            "b/a.x",
            "b/b",
            "é",
            "🦊",
        ]
        for name in reversed(given):
            await files.write(name, name.encode())
        assert await names(files, limit=limit) == sorted(given)
        for prefix in ("a", "a-", "a-b/", "b/", "b/a", "b/a/", "b/a/c", "c", "b/a/c/", "nowhere/x"):
            expected = sorted(name for name in given if name.startswith(prefix))
            assert await names(files, prefix, limit) == expected, prefix

    async def test_a_page_says_what_is_known(self, files: Files) -> None:
        """Of each file, as `stat` does."""
        stored = [await files.write(name, name.encode()) for name in ("a.png", "b/c.txt")]
        page = await files.list(limit=2)
        assert page == Listing(tuple(stored), None)
        assert await files.list(limit=1) == Listing((stored[0],), "a.png")
        assert await files.list(after="a.png") == Listing((stored[1],), None)
        assert await files.list(after="z") == Listing((), None)

    @pytest.mark.parametrize(
        "prefix", ["..", "../", "/", "a/../b", ".ring", "a/.", "\0", "a\\", "a//b"]
    )
    async def test_no_page_is_elsewhere(self, files: Files, prefix: str) -> None:
        """A prefix is the beginning of a name."""
        with pytest.raises(BadName):
            await files.list(prefix)

    @pytest.mark.parametrize("limit", [0, -1, 1001])
    async def test_a_page_has_its_limit(self, files: Files, limit: int) -> None:
        """It is a mistake of whoever asks."""
        with pytest.raises(ValueError, match="1 to 1000"):
            await files.list(limit=limit)

    async def test_what_is_being_written_is_not_listed(self, files: Files) -> None:
        """Before it is whole, there is nothing of it."""

        async def content() -> AsyncIterator[bytes]:
            yield CONTENT
            assert await names(files) == []

        await files.write("a", content())
        assert await names(files) == ["a"]


class FilesConformance(WritingConformance, NamingConformance, ReadingConformance):
    """Everything: derive it with a `subject` fixture."""

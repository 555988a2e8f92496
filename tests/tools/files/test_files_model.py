"""Any sequence of operations: a folder and a memory do the same, and that is what a dict does."""

import asyncio
import tempfile
import unicodedata
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec import Struct

from ringfence.errors import ToolError
from ringfence.tools.files import FileChanged, FileExists, FileMissing, Files, Stored
from ringfence.tools.files.drivers import local, memory

from .support import env, handle, left

R = TypeVar("R")
# Few, so that they meet; each can be a file or a folder.
NAMES = st.sampled_from(
    ["a", "b", "a/a", "a/b", "a/a/a", "b/é", "b/e\u0301", "a.txt", "a-b", "a/b.txt", "A.TXT"]
)
CONTENTS = st.binary(max_size=5)
TYPES = st.sampled_from([None, "", "text/plain", "image/png"])


class Known(Struct):
    """What the model knows of a file: its content, its type, and its etag in each driver."""

    content: bytes
    content_type: str
    etags: tuple[str, ...]


async def _in_pieces(content: bytes) -> AsyncIterator[bytes]:
    for byte in content:
        yield bytes([byte])


def _type_of(name: str, given: str | None) -> str:
    return given or ("text/plain" if name.lower().endswith(".txt") else "application/octet-stream")


class Model(RuleBasedStateMachine):
    """Runs each step on both drivers."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory(prefix="ringfence-")
        self.root = Path(self.folder.name)
        self.drivers: list[local.Driver | memory.Driver] = []
        self.run(self._start())
        self.files = [handle(driver) for driver in self.drivers]
        self.known: dict[str, Known] = {}
        self.etags: set[tuple[int, str]] = set()

    async def _start(self) -> None:
        self.drivers = [
            local.Driver(local.Config(), env(self.root)),
            memory.Driver(memory.Config(), env(self.root)),
        ]
        for driver in self.drivers:
            await driver.start()

    def run(self, work: Coroutine[object, None, R]) -> R:
        return self.runner.run(work)

    def each(self, *works: Coroutine[object, None, object]) -> list[object]:
        """Run the works, one for each driver; errors of the contract are their results."""
        ended: list[object] = []
        for work in works:
            try:
                ended.append(self.run(work))
            except ToolError as error:
                ended.append(type(error))
        return ended

    def stands_in_the_way(self, name: str) -> bool:
        below = any(known.startswith(f"{name}/") for known in self.known)
        parts = name.split("/")
        return below or any("/".join(parts[:n]) in self.known for n in range(1, len(parts)))

    @rule(
        name=NAMES,
        content=CONTENTS,
        content_type=TYPES,
        overwrite=st.booleans(),
        match=st.sampled_from(["no", "right", "wrong"]),
        in_pieces=st.booleans(),
    )
    def write(
        self,
        name: str,
        content: bytes,
        content_type: str | None,
        overwrite: bool,
        match: str,
        in_pieces: bool,
    ) -> None:
        normal = unicodedata.normalize("NFC", name)
        known = self.known.get(normal)
        etags: tuple[str | None, ...] = (None, None)
        if match != "no":
            etags = known.etags if known and match == "right" else ("wrong", "wrong")
        ended = self.each(
            *(
                files.write(
                    name,
                    _in_pieces(content) if in_pieces else content,
                    content_type=content_type,
                    overwrite=overwrite,
                    if_match=etag,
                )
                for files, etag in zip(self.files, etags, strict=True)
            )
        )
        if known and not overwrite:
            assert ended == [FileExists] * 2
        elif match == "wrong" or (match == "right" and not known):
            assert set(ended) <= {FileChanged, FileExists}
        elif self.stands_in_the_way(normal):
            assert ended == [FileExists] * 2
        else:
            self._written(normal, content, content_type, ended)

    def _written(
        self, name: str, content: bytes, content_type: str | None, ended: list[object]
    ) -> None:
        for number, stored in enumerate(ended):
            assert isinstance(stored, Stored), stored
            assert (number, stored.etag) not in self.etags, "an etag is never used again"
            self.etags.add((number, stored.etag))
        etags = tuple(stored.etag for stored in ended if isinstance(stored, Stored))
        self.known[name] = Known(content, _type_of(name, content_type), etags)

    @rule(name=NAMES, match=st.booleans())
    def delete(self, name: str, match: bool) -> None:
        normal = unicodedata.normalize("NFC", name)
        known = self.known.pop(normal, None)
        etags = [*known.etags] if known and match else [None, None]
        ended = self.each(
            *(files.delete(name, if_match=e) for files, e in zip(self.files, etags, strict=True))
        )
        assert ended == ([None] * 2 if known else [FileMissing] * 2)

    @rule(name=NAMES, start=st.integers(0, 6), length=st.none() | st.integers(0, 6))
    def read(self, name: str, start: int, length: int | None) -> None:
        known = self.known.get(unicodedata.normalize("NFC", name))
        whole = self.each(*(files.read(name) for files in self.files))
        part = self.each(*(_part(files, name, start, length) for files in self.files))
        if known is None:
            assert whole == part == [FileMissing] * 2
        else:
            end = None if length is None else start + length
            assert whole == [known.content] * 2
            assert part == [known.content[start:end]] * 2

    @rule(
        prefix=st.sampled_from(["", "a", "a/", "a/a", "a-", "b/", "b/e", "a.", "z", "z/"]),
        after=NAMES | st.just(""),
        limit=st.integers(1, 4),
    )
    def list(self, prefix: str, after: str, limit: int) -> None:
        expected = [n for n in sorted(self.known) if n.startswith(prefix) and n > after]
        for files in self.files:
            page = self.run(files.list(prefix, after=after, limit=limit))
            assert [stored.name for stored in page.items] == expected[:limit]
            assert page.next == (expected[limit - 1] if len(expected) > limit else None)

    @invariant()
    def all_is_known(self) -> None:
        for number, files in enumerate(self.files):
            items = self.run(files.list()).items
            seen = {s.name: (s.etag, s.size_bytes, s.content_type) for s in items}
            assert seen == {
                name: (known.etags[number], len(known.content), known.content_type)
                for name, known in self.known.items()
            }
        root = self.root / "data/files"
        folders = {path for path in root.rglob("*") if path.is_dir() and path.name[0] != "."}
        wanted = {root / parent for name in self.known for parent in Path(name).parents}
        assert {f for f in folders if ".ringfence-files" not in f.parts} == wanted - {root}
        types = [k for n, k in self.known.items() if k.content_type != _type_of(n, None)]
        assert len(left(root)) == len(types)

    def teardown(self) -> None:
        for driver in self.drivers:
            self.run(driver.stop())
        self.runner.close()
        self.folder.cleanup()


async def _part(files: Files, name: str, start: int, length: int | None) -> bytes:
    content = await files.get(name)
    return b"".join([piece async for piece in content.stream(start=start, length=length)])


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)

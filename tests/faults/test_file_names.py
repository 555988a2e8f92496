"""Names of files that lead elsewhere, and folders that are swapped for links, lead nowhere."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.errors import ToolError
from ringfence.testing import TestApplication
from ringfence.tools.files import BadName, FileExists, FileMissing, Files
from ringfence.tools.files.conformance import names
from ringfence.tools.files.corpus import BAD_NAMES
from ringfence.tools.files.names import fault, parse
from tests.kernel.apps import feature, running

from .bystander import BYSTANDER, asked_throughout, failed

pytestmark = pytest.mark.anyio

SECRET = b"canary-5d20"
KEEPING = {
    "domains/documents/keep.py": feature(
        """
        from ringfence.tools.files import Files


        class Keep(Plugin):
            files: Files

            @service("documents.put")
            async def put(self, name: str, content: bytes) -> int:
                return (await self.files.write(name, content)).size_bytes

            @service("documents.read")
            async def read(self, name: str) -> bytes:
                return await self.files.read(name)

            @service("documents.remove")
            async def remove(self, name: str) -> None:
                await self.files.delete(name)
        """
    )
}
# What stands in the root where a folder, or a file, would be expected.
LINKS = [
    "out",
    "out-file",
    "up",
    "absolute",
    "dangling",
    "round",
    "to-folder",
    "to-file",
    "deep/out",
]
ODD = ["pipe", "socket", *LINKS]


def tricky(folder: Path) -> Path:
    """Make a root with links and oddities beside good files, and a secret outside of it."""
    root = folder / "root"
    (root / "deep").mkdir(parents=True)
    (root / "folder").mkdir()
    (folder / "outside").mkdir()
    for path in (folder / "secret.txt", folder / "outside/secret.txt"):
        path.write_bytes(SECRET)
    (root / "folder/good.txt").write_bytes(b"good")
    (root / "out").symlink_to(folder / "outside")
    (root / "deep/out").symlink_to(folder / "outside")
    (root / "out-file").symlink_to(folder / "secret.txt")
    (root / "up").symlink_to("..")
    (root / "absolute").symlink_to("/")
    (root / "dangling").symlink_to(folder / "made-by-a-write")
    (root / "round").symlink_to("round")
    (root / "to-folder").symlink_to("folder")
    (root / "to-file").symlink_to("folder/good.txt")
    os.mkfifo(root / "pipe")
    before = Path.cwd()
    os.chdir(root)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    os.chdir(before)
    return root


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """Return all that is in a folder but in the root: names, contents and targets."""
    found: dict[str, bytes | str] = {}
    for path in folder.rglob("*"):
        if not path.is_relative_to(folder / "root") and not path.is_dir():
            found[str(path)] = str(path.readlink()) if path.is_symlink() else path.read_bytes()
    return found


async def kept(app: TestApplication, work: str, **payload: object) -> object:
    """Call the service; its refusal is its answer."""
    try:
        return await app.call(f"documents.{work}", **payload)
    except ToolError as refused:
        return type(refused)


async def test_no_name_leads_out_of_the_root(tmp_path: Path) -> None:
    """Each of a corpus is refused to whoever writes, reads and removes, and harms nobody."""
    root = tricky(tmp_path / "files")
    before = snapshot(tmp_path / "files")
    overrides = {"tools": {"files": {"root": str(root)}}}
    files = {**KEEPING, **BYSTANDER}
    async with running(tmp_path / "app", files, overrides=overrides) as app:
        assert await kept(app, "read", name="folder/good.txt") == b"good"
        async with asked_throughout(app):
            for name in BAD_NAMES:
                assert await kept(app, "put", name=name, content=b"x") is BadName, name
                assert await kept(app, "read", name=name) is BadName, name
                assert await kept(app, "remove", name=name) is BadName, name
        assert await kept(app, "read", name="folder/good.txt") == b"good"
        refusals = failed(app, "documents.keep", "BadName")
        assert refusals
        assert all(span.failure and "files: '" in span.failure.message for span in refusals)
    assert snapshot(tmp_path / "files") == before


async def test_no_link_is_followed(tmp_path: Path) -> None:
    """Neither at the end of a name nor on the way; it is not there, and cannot be overwritten."""
    root = tricky(tmp_path / "files")
    before = snapshot(tmp_path / "files")
    overrides = {"tools": {"files": {"root": str(root)}}}
    files = {**KEEPING, **BYSTANDER}
    below = [f"{name}/{inner}" for name in ODD for inner in ("secret.txt", "a", "a/b")]
    async with running(tmp_path / "app", files, overrides=overrides) as app:
        async with asked_throughout(app):
            for name in ODD + below:
                assert await kept(app, "read", name=name) is FileMissing, name
                assert await kept(app, "remove", name=name) is FileMissing, name
                assert await kept(app, "put", name=name, content=b"x") is FileExists, name
        assert await names(cast(Files, app.tool("files"))) == ["folder/good.txt"]
        refusals = failed(app, "documents.keep", "FileExists")
        assert len(refusals) >= len(ODD + below)
    assert snapshot(tmp_path / "files") == before
    assert not (tmp_path / "files/made-by-a-write").exists()
    assert {name for name in LINKS if (root / name).is_symlink()} == set(LINKS)


async def test_a_link_to_the_root_is_the_operators(tmp_path: Path) -> None:
    """The way to the root is configuration, which is trusted; what is in it is not."""
    root = tricky(tmp_path / "files")
    (tmp_path / "current").symlink_to(root)
    overrides = {"tools": {"files": {"root": str(tmp_path / "current")}}}
    async with running(tmp_path / "app", KEEPING, overrides=overrides) as app:
        assert await kept(app, "put", name="folder/new", content=b"x") == 1
        (tmp_path / "current").unlink()
        (tmp_path / "current").symlink_to(tmp_path / "files/outside")
        assert await kept(app, "put", name="folder/newer", content=b"x") == 1
        assert await kept(app, "read", name="secret.txt") is FileMissing
    assert sorted(path.name for path in (root / "folder").iterdir()) == [
        "good.txt",
        "new",
        "newer",
    ]


@contextmanager
def swapped_before(event: str, name: str, swap: Callable[[], None]) -> Iterator[list[str]]:
    """Call `swap` in the moment before a system call with that name; give what has been called."""
    seen: list[str] = []
    watching = True

    def notice(called: str, args: tuple[object, ...]) -> None:
        if watching and called == event and not seen:
            paths = [Path(os.fsdecode(arg)).name for arg in args if isinstance(arg, str | bytes)]
            if name in paths:
                seen.append(called)
                swap()

    sys.addaudithook(notice)  # which stays until the process ends
    try:
        yield seen
    finally:
        watching = False


@pytest.mark.parametrize(
    "work, event, at",
    [
        ("read", "open", "secret.txt"),
        ("put", "os.rename", "secret.txt"),
        ("put", "os.mkdir", "inner"),
        ("put", "open", "inner"),
        ("remove", "os.remove", "secret.txt"),
    ],
)
async def test_no_swap_leads_out_of_the_root(
    tmp_path: Path, work: str, event: str, at: str
) -> None:
    """A folder becomes a link after it was looked at and before it is used: the use is in what was
    looked at, or there is none."""
    root = tricky(tmp_path / "files")
    outside = tmp_path / "files/outside"
    (outside / "inner").mkdir()
    before = snapshot(tmp_path / "files")
    folder, name = root / "folder", "folder/secret.txt"
    if at == "inner":
        folder, name = root / "folder", "folder/inner/secret.txt"
    else:
        (folder / "secret.txt").write_bytes(b"good")
    payload: dict[str, object] = {"content": b"x"} if work == "put" else {}

    def swap() -> None:
        folder.rename(root / "aside")
        folder.symlink_to(outside)

    overrides = {"tools": {"files": {"root": str(root)}}}
    async with running(tmp_path / "app", {**KEEPING, **BYSTANDER}, overrides=overrides) as app:
        with swapped_before(event, at, swap) as seen:
            async with asked_throughout(app):
                answer = await kept(app, work, name=name, **payload)
    assert seen == [event]
    assert answer != SECRET
    assert snapshot(tmp_path / "files") == before
    assert [path.name for path in (outside / "inner").iterdir()] == []


@given(
    st.lists(
        st.sampled_from(
            ["..", ".", "", "a", "out", "up", "folder", "good.txt", "secret.txt", "\0", "\\", "~",
             "C:", "con", " ", "…", "..\\..", "\u2024\u2024", "\uff0e\uff0e", "\u2215", "%2e%2e"]
        ),
        max_size=6,
    ),
    st.sampled_from(["/", "//", "\\", "\u2044", "\u29f8"]),
)  # fmt: skip
def test_no_combination_of_segments_is_more_than_it_says(parts: list[str], separator: str) -> None:
    """What is a name has as many segments as slashes and one, each of which is only a name."""
    name = separator.join(parts)
    try:
        place = parse(name)
    except BadName:
        return
    assert len(place) == name.count("/") + 1
    assert not {"", ".", ".."} & set(place)
    assert os.path.normpath("/".join(place)) == "/".join(place)
    assert not Path(*place).is_absolute()
    assert parse("/".join(place)) == place


@given(st.text(max_size=30))
def test_any_text_is_a_name_for_good_or_is_none(text: str) -> None:
    """Once normalised it stays as it is, and nothing in it steers a terminal or a file system."""
    try:
        place = parse(text)
    except BadName as refused:
        said = str(refused)
    else:
        said = "refused: nothing"
        assert parse("/".join(place)) == place
        assert not any(map(fault, place))
        assert "/".join(place).isprintable()
    assert said.isascii()
    assert said.isprintable()

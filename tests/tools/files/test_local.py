"""What is the local driver's own: its folder, threads, other processes, and what it survives."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Generator
from contextlib import suppress
from pathlib import Path
from types import coroutine

import pytest

from ringfence.errors import StartRefused, ToolUnavailable
from ringfence.tools.files import (
    FileExists,
    FileMissing,
    Files,
    StorageFailure,
    StorageFull,
)
from ringfence.tools.files.conformance import names, pieces, streamed
from ringfence.tools.files.drivers.local import Config, Driver

from .support import env, handle, left, open_files, running

pytestmark = pytest.mark.anyio
CONTENT = bytes(range(256)) * 4096  # four pieces


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[Driver]:
    async with running(Driver(Config(), env(tmp_path))) as started:
        yield started


@pytest.fixture
def files(driver: Driver) -> Files:
    return handle(driver)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "files"


# ---- the folder


async def test_files_lie_in_the_applications_data_folder(files: Files, root: Path) -> None:
    """As they are, under their own names, so that any program can read and back them up."""
    await files.write("invoices/2026/7.pdf", CONTENT)
    assert (root / "invoices/2026/7.pdf").read_bytes() == CONTENT
    assert left(root) == []


async def test_what_others_put_there_is_found(files: Files, root: Path) -> None:
    """Under a name that the tool has; anything else in the folder is not there."""
    (root / "given").mkdir()
    (root / "given/a.txt").write_bytes(b"x")
    for name in (".hidden", "cafe\u0301", "a:b", "a\\b", "con", "a."):
        (root / name).write_bytes(b"x")
    os.mkfifo(root / "pipe")
    with suppress(OSError):  # some file systems have no such name
        (root / os.fsdecode(b"\xff")).write_bytes(b"x")
    assert await names(files) == ["given/a.txt"]
    assert await files.read("given/a.txt") == b"x"
    changed = await files.stat("given/a.txt")
    (root / "given/a.txt").write_bytes(b"longer")
    assert (await files.stat("given/a.txt")).etag != changed.etag
    for moment_s in (-1, 10**10):
        os.utime(root / "given/a.txt", (moment_s, moment_s))
        assert [stored.name for stored in (await files.list()).items] == ["given/a.txt"]
    with pytest.raises(FileMissing):
        await asyncio.wait_for(files.read("pipe"), 5)
    with pytest.raises(FileExists):
        await files.write("pipe", b"x")


@pytest.mark.parametrize("instance, folder", [("files", "data/files"), ("uploads", "data/uploads")])
async def test_the_folder_is_that_of_its_instance(
    tmp_path: Path, instance: str, folder: str
) -> None:
    """It is made with the first start; two instances do not see each other's files."""
    async with running(Driver(Config(), env(tmp_path, instance))):
        assert (tmp_path / folder).is_dir()


async def test_a_folder_elsewhere_must_be_there(tmp_path: Path) -> None:
    """A disk that is not mounted must not be written beside."""
    app = tmp_path / "app"
    app.mkdir()
    elsewhere = tmp_path / "mounted"
    for given in (str(elsewhere), "../mounted"):
        with pytest.raises(StartRefused, match=r"there is no folder .*mounted.* Make it"):
            async with running(Driver(Config(root=given), env(app))):
                pass
    elsewhere.mkdir()
    async with running(Driver(Config(root=str(elsewhere)), env(app))) as driver:
        await handle(driver).write("a", b"x")
    assert (elsewhere / "a").read_bytes() == b"x"


@pytest.mark.parametrize("given", ["file", "a\0b", "link"])
async def test_what_is_no_folder_is_refused(tmp_path: Path, given: str) -> None:
    """With what was expected."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(StartRefused, match="folder"):
        async with running(Driver(Config(root=given), env(tmp_path))):
            pass


@pytest.mark.parametrize(
    "given", [".", "..", "domains", "domains/orders", "data/../domains", "link"]
)
async def test_no_file_becomes_code(tmp_path: Path, given: str) -> None:
    """What a client may write is not what the application runs."""
    (tmp_path / "app/domains/orders").mkdir(parents=True)
    (tmp_path / "app/link").symlink_to("domains")
    with pytest.raises(StartRefused, match="code"):
        async with running(Driver(Config(root=given), env(tmp_path / "app"))):
            pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_for_reading_alone_is_read(tmp_path: Path) -> None:
    """Who writes is told why not, and types that were given are known."""
    config = Config(root="kept")
    async with running(Driver(config, env(tmp_path))) as driver:
        await handle(driver).write("a.txt", b"x", content_type="text/html")
    kept = tmp_path / "kept"
    folders = [kept, *(p for p in kept.rglob("*") if p.is_dir())]
    for path in [*kept.rglob("*"), kept]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        async with running(Driver(config, env(tmp_path))) as driver:
            files = handle(driver)
            assert await files.read("a.txt") == b"x"
            assert (await files.stat("a.txt")).content_type == "text/html"
            for work in (files.write("b", b"x"), files.delete("a.txt")):
                with pytest.raises(StorageFailure, match=r"denied.*owner"):
                    await work
    finally:
        for path in folders:
            path.chmod(0o755)


async def test_a_folder_that_is_gone_is_said_to_be(
    driver: Driver, files: Files, root: Path
) -> None:
    """It is no missing file, and nothing is written elsewhere."""
    await files.write("a", b"x")
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    root.rmdir()
    for work in (
        files.read("a"),
        files.stat("a"),
        files.list("a/"),
        files.delete("a"),
        files.write("a", b"x"),
        files.write("a/b", pieces(b"x")),
    ):
        with pytest.raises(ToolUnavailable):
            await work
    assert not root.exists()


async def test_its_own_folder_is_nobody_elses(tmp_path: Path) -> None:
    """A link in its place would lead its drafts out."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in (".ringfence-files", "types"):
        root = tmp_path / f"with-{name}"
        (root / ".ringfence-files").mkdir(parents=True)
        place = root / name if name[0] == "." else root / ".ringfence-files" / name
        if place.exists():
            place.rmdir()
        place.symlink_to(outside)
        with pytest.raises(StartRefused, match="Remove it"):
            async with running(Driver(Config(root=str(root)), env(tmp_path))):
                pass
    assert list(outside.iterdir()) == []


# ---- room


async def test_all_files_have_a_quota(tmp_path: Path) -> None:
    """What is overwritten, deleted or given up is room again; what was there counts."""
    config = Config(max_total_bytes=1000)
    async with running(Driver(config, env(tmp_path))) as driver:
        files = handle(driver)
        await files.write("a/a", bytes(600))
        with pytest.raises(StorageFull, match="1000 bytes"):
            await files.write("b", bytes(401))
        with pytest.raises(StorageFull):
            await files.write("b", pieces(bytes(401)))
        await files.write("b", bytes(400))
        await files.delete("a/a")
        await files.write("b", pieces(bytes(600)))
        with pytest.raises(StorageFull):
            await files.write("c", bytes(401))
    async with running(Driver(config, env(tmp_path))) as driver:
        files = handle(driver)
        with pytest.raises(StorageFull):
            await files.write("c", bytes(401))
        await files.write("c", bytes(400))
        assert await names(files) == ["b", "c"]


IN_A_CHILD = """
import asyncio, os, resource, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from tests.tools.files.support import env, handle, running
from ringfence.tools.files import StorageFull
from ringfence.tools.files.drivers.local import Config, Driver

ROOT = Path({root!r})

async def main():
    async with running(Driver(Config(), env(ROOT))) as driver:
        files = handle(driver)
        {body}

asyncio.run(main())
"""


def child(root: Path, body: str) -> subprocess.Popen[str]:
    """Run a body in a process of its own, on the files of the application in `root`."""
    text = IN_A_CHILD.format(tests=str(Path(__file__).parents[3]), root=str(root), body=body)
    return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)


def test_a_full_disk_is_said_to_be(tmp_path: Path) -> None:
    """Nothing of what did not fit stays, what was there does, and what fits is stored."""
    body = """
        await files.write("a", b"old")
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        async def much():
            for _ in range(10):
                yield bytes(100_000)
        for content in (bytes(400_000), much()):
            for name in ("a", "b/c"):
                try:
                    await files.write(name, content)
                except StorageFull as error:
                    print(error.code, error.status, str(error))
        print(await files.read("a"), (await files.write("d", bytes(300_000))).size_bytes)
    """
    with child(tmp_path, body) as process:
        said = process.communicate(timeout=20)[0].splitlines()
    assert process.returncode == 0
    assert all(line.startswith("files.storage_full 503 files: 'a'") for line in said[:3:2])
    assert said[4:] == ["b'old' 300000"]
    root = tmp_path / "data/files"
    assert sorted(path.name for path in root.iterdir()) == [".ringfence-files", "a", "d"]
    assert left(root) == []


# ---- crashes and other processes


async def test_a_killed_write_is_never_seen(tmp_path: Path) -> None:
    """The old version is there, and the next start removes what the crash has left."""
    body = """
        await files.write("a", b"old")
        async def content():
            yield bytes(1 << 20)
            print("writing", flush=True)
            await asyncio.Event().wait()
        await files.write("a", content())
    """
    root = tmp_path / "data/files"
    with child(tmp_path, body) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert len(left(root)) == 1
    assert (root / "a").read_bytes() == b"old"
    async with running(Driver(Config(), env(tmp_path))) as driver:
        assert left(root) == []
        assert await names(handle(driver)) == ["a"]


def test_no_kill_leaves_half_a_file(tmp_path: Path) -> None:
    """Whenever it comes: each name has one whole version."""
    body = """
        print("writing", flush=True)
        for number in range(10**6):
            async def content():
                for _ in range(4):
                    yield bytes([number % 256]) * 100_000
            await asyncio.gather(*(files.write(f"{name}/x", content()) for name in "abc"))
    """
    root = tmp_path / "data/files"
    for round_number in range(6):
        with child(tmp_path, body) as process:
            assert process.stdout is not None
            process.stdout.readline()
            threading.Event().wait(0.02 * round_number)  # a moment that is not chosen
            process.kill()
        for path in root.glob("?/x"):
            content = path.read_bytes()
            assert len(content) == 400_000
            assert len(set(content)) == 1


async def test_a_start_leaves_the_drafts_of_other_processes(
    tmp_path: Path, root: Path, files: Files
) -> None:
    """Two that share a folder do not disturb each other's writes."""

    async def content() -> AsyncIterator[bytes]:
        yield CONTENT
        async with running(Driver(Config(), env(tmp_path))) as other:
            assert len(left(root)) == 1
            await handle(other).write("b", b"other")
        yield CONTENT

    await files.write("a", content())
    assert await streamed(files, "a") == CONTENT * 2
    assert await names(files) == ["a", "b"]


async def test_versions_hold_across_processes(tmp_path: Path, files: Files) -> None:
    """Of writers in two processes that have read one version, one wins, each time."""
    await files.write("a", b"0")
    body = """
        from ringfence.tools.files import FileChanged
        won = 0
        while won < 50:
            etag = (await files.stat("a")).etag
            number = int(await files.read("a"))
            try:
                if (await files.stat("a")).etag == etag:
                    await files.write("a", str(number + 1).encode(), if_match=etag)
                    won += 1
            except FileChanged:
                pass
    """
    processes = [child(tmp_path, body) for _ in range(2)]
    for process in processes:
        with process:
            assert await asyncio.to_thread(process.wait, 25) == 0
    assert await files.read("a") == b"100"


async def test_what_another_process_holds_is_not_waited_for_without_end(
    files: Files, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is stopped while it has the lock; the message says where to look."""
    from ringfence.tools.files.drivers import _reserved

    monkeypatch.setattr(_reserved, "LOCK_S", 0.1)
    body = f"import fcntl; f = open({str(root / '.ringfence-files/lock')!r}); fcntl.flock(f, 2); "
    hold = [sys.executable, "-c", body + "print('held', flush=True); input()"]
    with subprocess.Popen(
        hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StorageFailure, match="another process has held the lock"):
            await files.write("a/b", b"x")
        process.communicate("\n", timeout=10)
    assert left(root) == []
    await files.write("a", b"x")


# ---- threads and descriptors


async def test_nothing_stays_open(files: Files, root: Path) -> None:
    """However an operation ends."""
    await files.write("a/b/c", CONTENT)
    await asyncio.gather(*(files.read("a/b/c") for _ in range(8)))  # each thread is started
    before = open_files()

    async def failing() -> AsyncIterator[bytes]:
        yield CONTENT
        raise ZeroDivisionError

    for _ in range(20):
        with pytest.raises(ZeroDivisionError):
            await files.write("a/d", failing())
        with pytest.raises(FileExists):
            await files.write("a/b/c/d/e", b"x")
        with pytest.raises(FileMissing):
            await files.read("a/b/nothing")
        reading = (await files.get("a/b/c")).stream()
        await anext(reading)
        await reading.aclose()  # type: ignore[attr-defined]
        await files.list("a/", limit=1)
    assert open_files() == before


async def test_a_cancelled_reader_lets_go(files: Files) -> None:
    """At whatever moment; the file is closed when nobody reads in it any more."""
    await files.write("a", CONTENT)
    await asyncio.gather(*(files.read("a") for _ in range(8)))
    before = open_files()
    for turns in range(30):
        reading = asyncio.create_task(streamed(files, "a"))
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
    assert open_files() == before
    assert await streamed(files, "a") == CONTENT


async def test_a_draft_that_nobody_waits_for_is_removed(files: Files, root: Path) -> None:
    """Its coroutine was thrown away while a thread was making it."""
    writing = files.write("a", pieces(CONTENT))
    writing.send(None)
    while not left(root):
        threading.Event().wait(0.001)  # the loop stands still: it cannot hear of the draft
    writing.close()
    await files.write("b", b"x")
    for _ in range(1000):
        if not left(root):
            break
        await asyncio.sleep(0.001)
    assert (left(root), await names(files)) == ([], ["b"])


async def test_a_coroutine_that_is_thrown_away_leaves_no_draft(files: Files, root: Path) -> None:
    """As the kernel does with work that swallows its cancellation."""
    written = asyncio.Event()

    class Content:  # no generator, which complains of such an end by itself
        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            if not left(root):
                return CONTENT
            written.set()
            await asyncio.Event().wait()
            raise StopAsyncIteration

    writing = files.write("a", Content())
    await _driven(writing, written)
    writing.close()
    for _ in range(1000):
        if not left(root):
            break
        await asyncio.sleep(0.001)
    assert left(root) == []


@coroutine
def _driven(
    work: Coroutine[object, None, object], until: asyncio.Event
) -> Generator[object, None, None]:
    """Step a coroutine until something has happened in it, and leave it there."""
    waiting = work.send(None)
    while not until.is_set():
        yield waiting
        waiting = work.send(None)


async def test_the_event_loop_is_never_blocked(files: Files, root: Path) -> None:
    """All that a disk may keep waiting runs on few threads, which end with the driver."""
    on_the_loop: list[str] = []
    watching = True

    def notice(event: str, args: tuple[object, ...]) -> None:
        is_disk = event == "open" or event.startswith("os.")
        if watching and is_disk and threading.current_thread() is threading.main_thread():
            on_the_loop.append(f"{event} {args}")

    sys.addaudithook(notice)  # which stays until the process ends
    try:
        for number in range(20):
            await files.write(f"a/{number}", pieces(CONTENT))
        await asyncio.gather(*(streamed(files, f"a/{number}") for number in range(20)))
    finally:
        watching = False
    threads = {t.name for t in threading.enumerate() if t.name.startswith("ringfence-files")}
    assert 1 <= len(threads) <= 4
    assert on_the_loop == []


async def test_threads_end_with_the_driver(tmp_path: Path) -> None:
    """And what comes later is refused."""
    async with running(Driver(Config(), env(tmp_path, "uploads"))) as driver:
        files = handle(driver)
        await files.write("a", b"x")
    assert not [t for t in threading.enumerate() if t.name.startswith("ringfence-uploads")]
    with pytest.raises(StorageFailure, match="stopped"):
        await files.read("a")


async def test_before_its_start_it_says_so(tmp_path: Path) -> None:
    """A tool whose start was given up is asked all the same."""
    with pytest.raises(StorageFailure, match="not started"):
        await handle(Driver(Config(), env(tmp_path))).read("a")


async def test_files_have_the_modes_of_the_process(files: Files, root: Path) -> None:
    """Who else may read them is decided by its umask."""
    await files.write("a/b", b"x")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((root / "a/b").stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o777 & ~mask

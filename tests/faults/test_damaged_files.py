"""A database file that is damaged is refused by name, with the way back, and is never touched."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ringfence.cli import invoke
from ringfence.tools.db import StorageFailure
from tests.kernel.apps import running, write

from .bystander import BYSTANDER, asked_throughout, failed, logged
from .notes import BESIDE, FILE, NOTES

ROWS = 50


def flip(file: Path, begin: int, end: int) -> None:
    """Turn over every bit between two bytes."""
    with file.open("r+b") as opened:
        opened.seek(begin)
        data = opened.read(end - begin)
        opened.seek(begin)
        opened.write(bytes(byte ^ 0xFF for byte in data))


def log_of(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


def empty(file: Path) -> None:
    """Leave an empty file beside its log."""
    file.write_bytes(b"")


def exchange(file: Path) -> None:
    """Put a folder in its place."""
    for each in (file, log_of(file)):
        each.unlink()
    file.mkdir()


FAULTS: dict[str, Callable[[Path], object]] = {
    "the header": lambda file: flip(file, 0, 16),
    "a page": lambda file: flip(file, 4096, 8192),
    "no database": lambda file: file.write_bytes(b"Dear diary,\n" * 500),
    "its end is missing": lambda file: file.write_bytes(file.read_bytes()[:5000]),
    "empty beside its log": empty,
    "gone beside its log": lambda file: file.unlink(),
    "the header of its log": lambda file: flip(log_of(file), 8, 12),
    "a frame of its log": lambda file: flip(log_of(file), 32 + 24 + 100, 32 + 24 + 200),
    "the head of a frame": lambda file: flip(log_of(file), 32 + 8, 32 + 16),
    "a folder": exchange,
}
LOGGED = [fault for fault in FAULTS if "log" in fault or "frame" in fault]


def prepared(root: Path, logged: bool) -> Path:
    """Return an application's database with rows, and with a log as a crash leaves one."""
    write(root, {**BYSTANDER, **NOTES})
    assert invoke(["migrate", str(root)]) == 0
    file = root / FILE
    crash = (
        "import os, sqlite3\n"
        f"line = sqlite3.connect({str(file)!r}, isolation_level=None)\n"
        "line.execute('PRAGMA synchronous = FULL')\n"
        f"for _ in range({ROWS}):\n"
        '    line.execute("INSERT INTO note (body) VALUES (hex(zeroblob(1000)))")\n'
        f"{'os._exit(0)' if logged else 'line.close()'}\n"
    )
    subprocess.run([sys.executable, "-c", crash], check=True)
    assert log_of(file).exists() == logged
    return file


def content(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, but for those that SQLite makes anew for each look."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.is_file() and not path.name.endswith("-shm") and path.stat().st_size
    }


def run(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ringfence", "run", str(root), "--port", "0"],
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_file_refuses_the_start_and_stays_as_it_is(
    tmp_path: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, the file's name, and what to do; `migrate` and a backup refuse it too."""
    file = prepared(tmp_path, logged=fault in LOGGED or fault == "a folder")
    FAULTS[fault](file)
    before = content(file.parent)
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert str(file) in done.stderr
    assert (
        "Set another `path`" in done.stderr
        if fault == "a folder"
        else ("ringfence db restore" in done.stderr)
    )
    assert invoke(["migrate", str(tmp_path), "--plan"]) == 2
    assert invoke(["migrate", str(tmp_path)]) == 2
    assert invoke(["db", "backup", str(tmp_path)]) in (1, 2)
    assert content(file.parent) == before


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "a folder"])
def test_the_way_back_that_is_named_leads_back(tmp_path: Path, fault: str) -> None:
    """The newest backup is named, restoring it works, and what was damaged is kept."""
    file = prepared(tmp_path, logged=fault in LOGGED)
    assert invoke(["db", "backup", str(tmp_path)]) == 0
    (backup,) = (file.parent / "backups").iterdir()
    if fault in LOGGED and not log_of(file).exists():
        pytest.fail("the backup has touched the log")
    FAULTS[fault](file)
    before = content(file.parent)
    told = run(tmp_path).stderr
    assert f"ringfence db restore {backup}" in told
    assert invoke(["db", "restore", str(backup), "--app", str(tmp_path), "--yes"]) == 0
    with closing(sqlite3.connect(file)) as line:
        assert line.execute("SELECT count(*) FROM note").fetchone() == (ROWS,)
        assert line.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    kept = content(file.parent / "backups")
    for name, data in before.items():
        assert any(data == each for other, each in kept.items() if other != backup.name), name


def test_a_log_that_a_crash_has_cut_off_is_no_damage(tmp_path: Path) -> None:
    """What was committed before is there; the unfinished end is dropped, as it should be."""
    file = prepared(tmp_path, logged=True)
    with log_of(file).open("r+b") as log:
        log.truncate(log_of(file).stat().st_size - 1000)
    assert invoke(["migrate", str(tmp_path)]) == 0
    with closing(sqlite3.connect(file)) as line:
        assert line.execute("SELECT count(*) FROM note").fetchone() == (ROWS - 1,)


@pytest.mark.anyio
async def test_damage_while_it_runs_names_the_file_and_harms_nobody_else(tmp_path: Path) -> None:
    """A page is lost under a running application: who reads it is told, the others go on."""
    file = await asyncio.to_thread(prepared, tmp_path, logged=False)
    with closing(sqlite3.connect(file)) as line:
        root_page = line.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'archive'")
        page = root_page.fetchone()[0]
    async with running(tmp_path, {}, overrides=BESIDE) as app:
        flip(file, (page - 1) * 4096, page * 4096)
        async with asked_throughout(app):
            with pytest.raises(StorageFailure) as caught:
                await app.call("notes.archive")
            await app.call("notes.add", body="after")
            assert await app.call("notes.count") == ROWS + 1
        assert f"{file} is damaged" in str(caught.value)
        assert "ringfence db restore" in str(caught.value)
        assert len(failed(app, "notes.keep", "StorageFailure")) == 1
        assert len(logged(app, "error", "storage_failed", f"{file} is damaged")) == 1


@pytest.mark.anyio
async def test_damage_that_a_stream_meets_is_told_to_the_log_as_well(tmp_path: Path) -> None:
    """The client learns nothing of the file, so the operator must: file and backup, once."""
    file = await asyncio.to_thread(prepared, tmp_path, logged=False)
    with closing(sqlite3.connect(file)) as line:
        root_page = line.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'archive'")
        page = root_page.fetchone()[0]
    async with running(tmp_path, {}, overrides=BESIDE) as app:
        flip(file, (page - 1) * 4096, page * 4096)
        async with asked_throughout(app):
            for _ in range(2):
                answer = await app.http.get("/archive.txt")
                assert (answer.status, str(file) in answer.text) == (503, False)
        (told,) = logged(app, "error", "storage_failed", f"{file} is damaged")
        assert "ringfence db restore" in told

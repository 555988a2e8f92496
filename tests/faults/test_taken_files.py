"""A database file that is deleted or replaced under a running application is missed."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ringfence.cli import invoke
from ringfence.tools.db import StorageFailure
from tests.kernel.apps import running, write

from .bystander import BYSTANDER, asked_throughout, failed, logged
from .notes import BESIDE, FILE, NOTES
from .process import process


@pytest.mark.anyio
@pytest.mark.parametrize("which", ["", "-wal"])
@pytest.mark.parametrize("how", ["deleted", "replaced"])
async def test_nothing_is_written_where_nobody_finds_it(
    tmp_path: Path, which: str, how: str
) -> None:
    """Within a second of its going each write is refused and says so; put back, it goes on."""
    async with running(tmp_path, {**BYSTANDER, **NOTES}, overrides=BESIDE) as app:
        await app.call("notes.add", body="before")
        file = tmp_path / f"{FILE}{which}"
        aside = file.rename(tmp_path / "aside")
        if how == "replaced":
            file.write_bytes(aside.read_bytes())
        await app.clock.elapse(1.0)
        async with asked_throughout(app):
            for _ in range(3):
                with pytest.raises(StorageFailure) as caught:
                    await app.call("notes.add", body="lost")
        assert f"{file} was {how}" in str(caught.value)
        assert ("Move it back" in str(caught.value)) == (how == "deleted")
        assert ("SIGTERM" if which else "Restart" if how == "replaced" else "restore") in str(
            caught.value
        )
        assert len(failed(app, "notes.keep", "StorageFailure")) == 3
        assert len(logged(app, "error", "storage_failed", f"{file} was {how}")) == 1
        aside.rename(file)
        await app.call("notes.add", body="after")
        assert await app.call("notes.count") == 2
    with closing(sqlite3.connect(tmp_path / FILE)) as line:
        assert line.execute("SELECT body FROM note").fetchall() == [("before",), ("after",)]


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_file_that_is_gone_at_the_start_is_made_anew_and_the_backup_named(
    tmp_path: Path, how: str
) -> None:
    """It cannot be told from a first start but by the backups, so these are told of."""
    root = write(tmp_path, NOTES)
    with process(root) as app:
        app.serving()
        app.signal()
        app.end()
    folder = root / "data" / "backups"
    folder.mkdir()
    kept = (root / FILE).rename(folder / "app-20260101T000000Z.db")
    if how == "empty":
        (root / FILE).touch()
    with process(root) as app:
        assert str(kept) in app.says("made anew")


@pytest.mark.parametrize("name", [FILE.name, ""])
def test_what_cannot_be_written_refuses_the_start(tmp_path: Path, name: str) -> None:
    """A file or a folder that is read-only is named before anybody writes into it."""
    root = write(tmp_path, NOTES)
    assert invoke(["migrate", str(root)]) == 0
    protected = root / "data" / name
    mode = protected.stat().st_mode
    protected.chmod(mode & ~0o222)
    mount = os.geteuid() == 0  # who may write whatever its mode
    if mount and not _mounted_read_only(protected):
        pytest.skip("root writes in spite of a mode, and no disk can be mounted")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ringfence", "run", str(root), "--port", "0"],
            capture_output=True,
            text=True,
            timeout=25,
            check=False,
        )
    finally:
        if mount:
            subprocess.run(["umount", str(protected)], check=True)
        protected.chmod(mode)
    assert done.returncode == 2
    assert f"{protected}" in done.stderr
    assert "cannot be written" in done.stderr


def _mounted_read_only(path: Path) -> bool:
    commands = (["--bind", str(path), str(path)], ["-o", "remount,ro,bind", str(path)])
    done = [subprocess.run(["mount", *each], capture_output=True) for each in commands]
    return not any(each.returncode for each in done)

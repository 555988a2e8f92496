"""No space is left: writes are refused and say so, reads go on, and so do writes, later."""

import os
import resource
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ringfence.cli import invoke
from ringfence.tools.db import StorageFailure
from tests.kernel.apps import running, write

from .bystander import BYSTANDER, asked_throughout, failed, logged
from .notes import BESIDE, FILE, NOTES
from .process import DEADLINE_S, process

BODY = "x" * 40_000


@contextmanager
def no_larger(size_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.anyio
async def test_a_write_without_space_is_refused_and_the_next_with_space_is_kept(
    tmp_path: Path,
) -> None:
    """Nothing is acknowledged that is not there; the error names the file and what is free."""
    async with running(tmp_path, {**BYSTANDER, **NOTES}, overrides=BESIDE) as app:
        await app.call("notes.add", body="before")
        async with asked_throughout(app):
            with no_larger((tmp_path / "data" / "app.db-wal").stat().st_size):
                for _ in range(3):
                    with pytest.raises(StorageFailure) as caught:
                        await app.call("notes.add", body=BODY)
                assert await app.call("notes.count") == 1
        told = str(caught.value)
        assert str(tmp_path / FILE) in told
        assert f"free in {tmp_path / 'data'}" in told
        assert "Nothing of it was kept" in told
        await app.call("notes.add", body=BODY)
        assert await app.call("notes.count") == 2
        assert len(failed(app, "notes.keep", "StorageFailure")) == 3
        assert len(logged(app, "error", "storage_failed", str(tmp_path / FILE))) == 1


def test_a_migration_a_backup_and_a_restore_without_space_change_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each fails by its exit code, leaves nothing behind, and succeeds with space."""
    large = "CREATE TABLE {0} (x);\nINSERT INTO {0} VALUES (zeroblob(200000));"
    first = "domains/notes/migrations/20260102000000_large.sql"
    root = write(tmp_path, {**NOTES, first: large.format("large")})
    file = root / FILE
    assert invoke(["migrate", str(root)]) == 0
    assert invoke(["db", "backup", str(root), "--to", str(root / "kept.db")]) == 0
    write(root, {first.replace("02", "03"): large.format("larger")})
    before = file.read_bytes()
    commands = {
        "migrate": ["migrate", str(root)],
        "backup": ["db", "backup", str(root), "--to", str(root / "other.db")],
        "restore": ["db", "restore", str(root / "kept.db"), "--app", str(root), "--yes"],
    }
    capsys.readouterr()
    for name, command in commands.items():
        with no_larger(100_000):
            assert invoke(command) == (2 if name == "migrate" else 1)
        assert "the disk is full, or the file may not grow" in capsys.readouterr().err
        assert file.read_bytes() == before
        left = {each.name for each in root.iterdir() if each.name.startswith((".", "other"))}
        assert left == {".ringfence"}  # where it is on record
    for command in commands.values():
        assert invoke(command) == 0


def test_a_disk_that_is_really_full_is_told_and_survived(tmp_path: Path) -> None:
    """A file system of two megabytes, filled up by somebody else, and emptied again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mounted, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a disk")
    try:
        _fill_and_empty(disk)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _fill_and_empty(disk: Path) -> None:
    with process(write(disk, {**BYSTANDER, **NOTES})) as app:
        app.serving()
        assert _post(app.address, BODY) == 200
        filler = disk / "filler"
        free = os.statvfs(disk)
        filler.write_bytes(b"\0" * (free.f_bavail * free.f_frsize))
        kept = 1
        while _post(app.address, BODY) == 200:  # SQLite's log has some room left
            kept += 1
        assert _post(app.address, BODY) == 503
        assert app.get("notes") == kept
        assert app.get("weather/Ulm") == "sunny in Ulm"
        filler.unlink()
        assert _post(app.address, BODY) == 200
        assert app.get("notes") == kept + 1
        app.signal()
        assert app.end() == 0


def _post(address: str, body: str) -> int:
    request = urllib.request.Request(
        f"{address}notes",
        data=f'{{"body": "{body}"}}'.encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code

"""Another process has the database: a bounded wait, its number, and on as soon as it lets go."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ringfence.cli import invoke
from ringfence.tools.db import Busy
from tests.kernel.apps import running, write

from .bystander import BYSTANDER, asked_throughout, failed
from .notes import BESIDE, FILE, NOTES
from .process import process


@contextmanager
def held(file: Path, how: str = "BEGIN IMMEDIATE") -> Iterator[int]:
    """Have another process hold the lock; give its number."""
    hold = (
        "import sqlite3, sys\n"
        f"line = sqlite3.connect({str(file)!r}, isolation_level=None)\n"
        f"for each in {how.split('; ')!r}:\n"
        "    line.execute(each)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        try:
            yield other.pid
        finally:
            other.kill()


def who(pid: int) -> str:
    """Return how an error calls it: only Linux says who holds a lock."""
    return f"process {pid} (python" if sys.platform == "linux" else "another process"


@pytest.mark.anyio
async def test_a_lock_held_while_it_runs_is_named_and_waited_out(tmp_path: Path) -> None:
    """Reads go on, a write fails within its time and names the process, and later succeeds."""
    options = {"tools": {"db": {"busy_timeout_s": 0.2, **BESIDE["tools"]["db"]}}}
    async with running(tmp_path, {**BYSTANDER, **NOTES}, overrides=options) as app:
        await app.call("notes.add", body="before")
        with held(tmp_path / FILE) as pid:
            async with asked_throughout(app):
                with pytest.raises(Busy) as caught:
                    await app.call("notes.add", body="during")
                assert await app.call("notes.count") == 1
        assert who(pid) in str(caught.value)
        assert "within 0.2 s" in str(caught.value)
        assert len(failed(app, "notes.keep", "Busy")) == 1
        await app.call("notes.add", body="after")
        assert await app.call("notes.count") == 2


def test_a_lock_held_at_the_start_keeps_nobody_from_serving(tmp_path: Path) -> None:
    """Where nothing is pending, the application starts, reads, and writes once it may."""
    root = write(tmp_path, {**BYSTANDER, **NOTES})
    assert invoke(["migrate", str(root)]) == 0
    with held(root / FILE), process(root) as app:
        app.serving()
        assert app.get("notes") == 0
        assert app.get("weather/Ulm") == "sunny in Ulm"


@pytest.mark.parametrize(
    "how", ["BEGIN IMMEDIATE", "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE"]
)
def test_every_command_names_who_holds_the_lock_and_changes_nothing(
    tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`migrate` and a restore wait and give up with 1; a backup needs no lock, unless the other
    wants the file for itself."""
    root = write(tmp_path, NOTES)
    assert invoke(["migrate", str(root)]) == 0
    kept = root / "kept.db"
    assert invoke(["db", "backup", str(root), "--to", str(kept)]) == 0
    write(root, {"domains/notes/migrations/20260102000000_more.sql": "CREATE TABLE more (x);"})
    before = (root / FILE).read_bytes()
    capsys.readouterr()
    with held(root / FILE, how) as pid:
        for command in (
            ["migrate", str(root)],
            ["db", "restore", str(kept), "--app", str(root), "--yes"],
        ):
            assert invoke(command) == 1
            assert who(pid) in capsys.readouterr().err
        alone = "EXCLUSIVE" in how
        assert invoke(["db", "backup", str(root), "--to", str(root / "x.db")]) == int(alone)
        assert (root / FILE).read_bytes() == before
    assert invoke(["migrate", str(root)]) == 0

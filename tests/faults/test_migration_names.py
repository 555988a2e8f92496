"""No name in an application leads a migration, or what is read as one, out of its folder."""

import os
from pathlib import Path

import pytest

from ringfence.app import check
from ringfence.cli import invoke
from tests.kernel.apps import write

from .notes import FILE, NOTES

OUTSIDE = "CREATE TABLE outside (x);"
STAMP = "20260102000000"


@pytest.mark.parametrize(
    "name",
    [
        f"{STAMP}_..sql",
        f"{STAMP}_..\\x.sql",
        f"{STAMP}_%2e%2e%2fx.sql",
        f"{STAMP}_x\n.sql",
        f"{STAMP}_x\x1b[2J.sql",
        f"{STAMP}_\udcff.sql",
        f"{STAMP}_ｘ.sql",
        f"{STAMP}_x.sqlite.sqlite.sql",
        f"{STAMP}_x.SQLITE.sql",
        f"{STAMP}_x..sql",
        f"..{STAMP}_x.sql",
    ],
)
def test_a_name_that_is_none_is_refused_and_shown_without_harm(tmp_path: Path, name: str) -> None:
    """Whatever a file system takes for a name: a finding, or a hidden file that is left alone."""
    root = write(tmp_path, NOTES)
    (root / "domains/notes/migrations" / name).write_text(OUTSIDE)
    found = [finding for finding in check(root) if finding.rule == "RF201"]
    assert bool(found) != name.startswith(".")
    assert all(str(finding).isprintable() for line in found for finding in str(line).split("\n"))
    if found:
        assert invoke(["migrate", str(root)]) == 2
        assert not (root / FILE).exists()


@pytest.mark.parametrize(
    "what", ["a file", "a loop", "a device", "the folder", "an instance", "a domain"]
)
def test_nothing_is_read_through_a_link(tmp_path: Path, what: str) -> None:
    """Neither a file nor a folder that lies elsewhere, nor what is no file at all."""
    root = write(tmp_path / "app", {**NOTES, "../outside/20260102000000_x.sql": OUTSIDE})
    folder = root / "domains/notes/migrations"
    outside = tmp_path / "outside"
    if what == "a file":
        (folder / f"{STAMP}_x.sql").symlink_to(outside / f"{STAMP}_x.sql")
    elif what == "a loop":
        (folder / f"{STAMP}_x.sql").symlink_to(folder / f"{STAMP}_x.sql")
    elif what == "a device":
        os.mkfifo(folder / f"{STAMP}_x.sql")
    elif what == "a domain":
        write(tmp_path, {"domain/migrations/20260102000000_x.sql": OUTSIDE})
        (root / "domains/other").symlink_to(tmp_path / "domain")
    elif what == "the folder":
        (folder / "20260101000000_note.sql").unlink()
        folder.rmdir()
        folder.symlink_to(outside)
    else:
        (folder / "archive").symlink_to(outside)
        with (root / "ringfence.toml").open("a") as toml:
            toml.write('\n[tools.archive]\ntool = "db"\npath = "data/archive.db"\n')
    assert {finding.rule for finding in check(root)} - {"RF101"} == {"RF201"}
    assert invoke(["migrate", str(root)]) == 2


@pytest.mark.parametrize(
    "target",
    ["../../outside/20260102000000_x", "/etc/passwd", "notes/../20260101000000_note", "\\x"],
)
def test_an_after_leads_nowhere(tmp_path: Path, target: str) -> None:
    """It names a migration, never a file."""
    root = write(tmp_path, NOTES)
    text = f"-- after: {target}\nCREATE TABLE x (x);"
    (root / f"domains/notes/migrations/{STAMP}_x.sql").write_text(text)
    (finding,) = [finding for finding in check(root) if finding.rule == "RF206"]
    assert "<stamp>_<name>" in finding.fix


@pytest.mark.parametrize("name", ["../db", "a\0b", "a/b", "A", ""])
def test_a_database_cannot_be_named_so(tmp_path: Path, name: str) -> None:
    """Its name becomes a folder's; the configuration refuses it, and so does the command line."""
    root = write(tmp_path, NOTES)
    assert invoke(["db", "backup", str(root), "--tool", name]) == 2
    shown = name.replace("\0", "\\u0000")
    with (root / "ringfence.toml").open("a") as toml:
        toml.write(f'\n[tools."{shown}"]\ntool = "db"\n')
    assert invoke(["migrate", str(root)]) == 2
    assert not (root / "data").exists()

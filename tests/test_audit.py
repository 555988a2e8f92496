"""Who changed what: what is written down, where, for whom, and what happens where it cannot be."""

import os
import stat
import threading
from pathlib import Path

import pytest

from ringfence.audit import KEPT, AuditLog, NotRecorded
from ringfence.errors import Conflict

NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An application's folder; what would go to /tmp goes beside it."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr("ringfence.control_socket._ELSEWHERE", tmp_path / "elsewhere")
    (tmp_path / "shop").mkdir()
    return tmp_path / "shop"


def kept(root: Path) -> Path:
    return root / ".ringfence" / "audit.jsonl"


def test_a_command_is_on_record_with_its_outcome(root: Path) -> None:
    """When, who, what, with what, how it ended, and which trace it left."""
    log = AuditLog(root)
    with log.record("call orders.place", ("sku", "quantity"), uid=0, trace_id="ab" * 16):
        pass
    with pytest.raises(Conflict), log.record("call orders.cancel"):
        raise Conflict("it has left.")
    with pytest.raises(ZeroDivisionError), log.record("call orders.sum"):
        raise ZeroDivisionError
    with pytest.raises(KeyboardInterrupt), log.record("db backup"):
        raise KeyboardInterrupt
    first, *others = log.read()
    assert (first.uid, first.what, first.arguments) == (0, "call orders.place", ("sku", "quantity"))
    assert (first.outcome, first.trace_id) == ("done", "ab" * 16)
    assert first.who == "root"
    assert [one.outcome for one in others] == ["conflict", "internal", "interrupted"]
    assert {one.uid for one in others} == {os.geteuid()}


def test_a_command_that_ended_the_process_is_on_record_as_well(root: Path) -> None:
    """It was written down before it began."""
    log = AuditLog(root)
    never = log.record("call orders.crash")
    never.__enter__()
    assert [one.outcome for one in log.read()] == ["unfinished"]
    never.__exit__(None, None, None)
    assert [one.outcome for one in log.read()] == ["done"]


def test_nobody_else_may_read_it(root: Path) -> None:
    """Mode 0600, in a folder of mode 0700."""
    with AuditLog(root).record("migrate"):
        pass
    assert stat.S_IMODE(kept(root).stat().st_mode) == 0o600
    assert stat.S_IMODE(kept(root).parent.stat().st_mode) == 0o700


def test_secrets_and_endless_texts_stay_out(root: Path) -> None:
    """What is kept is masked, and bounded."""
    log = AuditLog(root, lambda text: text.replace("canary", "***"))
    with log.record("db backup", ("to=/canary/x", "y" * 5000, *map(str, range(500)))):
        pass
    (record,) = log.read()
    assert record.arguments[0] == "to=/***/x"
    assert len(kept(root).read_bytes()) < 2000
    assert b"canary" not in kept(root).read_bytes()


def test_it_is_bounded_and_the_newest_are_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full files make room, the oldest first; none is lost in between."""
    monkeypatch.setattr("ringfence.audit.FILE_BYTES", 1000)
    log = AuditLog(root)
    for number in range(60):
        with log.record(f"call orders.place_{number}"):
            pass
    files = list((root / ".ringfence").glob("audit*.jsonl"))
    assert len(files) == KEPT + 1
    assert sum(file.stat().st_size for file in files) < (KEPT + 1) * 1500
    numbers = [int(one.what.rpartition("_")[2]) for one in log.read()]
    assert 10 < len(numbers) < 60
    assert numbers == list(range(60 - len(numbers), 60))


def test_commands_side_by_side_are_all_on_record(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while files make room: no line gets into another."""
    monkeypatch.setattr("ringfence.audit.FILE_BYTES", 20_000)

    def work(name: str) -> None:
        for number in range(40):
            with AuditLog(root).record(f"{name} {number}"):
                pass

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = AuditLog(root).read()
    assert len(records) == 120
    assert {one.outcome for one in records} == {"done"}


def test_a_line_that_a_full_disk_has_cut_spoils_no_other(root: Path) -> None:
    """The next one begins on a line of its own."""
    log = AuditLog(root)
    with log.record("one"):
        pass
    with kept(root).open("ab") as file:
        file.write(b'{"line":"begun","id":"')
    with log.record("two"):
        pass
    assert [one.what for one in log.read()] == ["one", "two"]


@pytest.mark.parametrize("planted", ["folder", "symlink", "hard link", "pipe", "file above"])
def test_a_place_that_is_not_its_own_is_not_used(root: Path, tmp_path: Path, planted: str) -> None:
    """It goes elsewhere, and what somebody has put there is not written to."""
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    if planted == "file above":
        kept(root).parent.write_text("no folder")
    else:
        kept(root).parent.mkdir(mode=0o700)
    match planted:
        case "folder":
            kept(root).mkdir()
        case "symlink":
            kept(root).symlink_to(victim)
        case "hard link":
            kept(root).hardlink_to(victim)
        case "pipe":
            os.mkfifo(kept(root))
    log = AuditLog(root)
    with log.record("migrate"):
        pass
    assert victim.read_text() == "theirs"
    assert [one.what for one in log.read()] == ["migrate"]
    (elsewhere,) = (tmp_path / "elsewhere").glob("*/*.audit.jsonl")
    assert b"migrate" in elsewhere.read_bytes()
    assert stat.S_IMODE(elsewhere.parent.stat().st_mode) == 0o700


def test_what_cannot_be_written_down_is_not_done(root: Path, tmp_path: Path) -> None:
    """The refusal names both places, and what is in the way."""
    kept(root).parent.write_text("no folder")
    (tmp_path / "elsewhere").rmdir()
    begun = False
    with pytest.raises(NotRecorded) as caught, AuditLog(root).record("db restore"):
        begun = True
    assert not begun
    assert "audit.jsonl: it is no folder" in str(caught.value)
    assert "No such file or directory" in str(caught.value)


def test_what_is_done_is_not_undone_by_a_record_that_cannot_be_ended(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says how it ended instead."""
    log = AuditLog(root)
    with log.record("db restore"):
        kept(root).unlink()
        kept(root).mkdir()
        (tmp_path / "elsewhere").rmdir()
    assert "done, of db restore" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root maintains what belongs to another user")
def test_what_root_writes_down_belongs_to_the_applications_user(root: Path) -> None:
    """Who is to write there later."""
    os.chown(root, NOBODY, NOBODY)
    with AuditLog(root).record("migrate"):
        pass
    assert kept(root).stat().st_uid == NOBODY
    assert kept(root).parent.stat().st_uid == NOBODY
    assert [one.who for one in AuditLog(root).read()] == ["root"]


def test_nothing_on_record_is_nothing(root: Path) -> None:
    """Also where no folder is there yet."""
    assert AuditLog(root).read() == []

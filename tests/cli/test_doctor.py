"""`ringfence doctor`: what it finds out about a machine, an installation and an application."""

import hashlib
import json
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ringfence.cli import invoke
from ringfence.cli.doctor import installation, machine
from ringfence.cli.doctor.examination import Check, Line, examine, ok
from tests.kernel.apps import feature, write

MIGRATION = "domains/till/migrations/20260101000000_rows.sql"
FILES = {
    "ringfence.toml": '[app]\nname = "till"\n[tools.http]\nport = 0\n',
    "domains/till/till.py": feature(
        """
        class Till(Plugin):
            db: Database

            @service("till.count")
            async def count(self) -> int:
                return await self.db.fetch_value("SELECT count(*) FROM rows", into=int)
        """
    ),
    MIGRATION: "CREATE TABLE rows (id INTEGER PRIMARY KEY) STRICT;\n",
}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return write(tmp_path / "till", FILES)


@pytest.fixture
def migrated(app: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert invoke(["migrate", str(app)]) == 0
    capsys.readouterr()
    return app


def said(
    capsys: pytest.CaptureFixture[str], app: Path, code: int = 0
) -> dict[str, list[dict[str, str]]]:
    """Return the lines of each area, as `--json` has them."""
    assert invoke(["doctor", str(app), "--json"]) == code
    areas = json.loads(capsys.readouterr().out)["areas"]
    return {area["name"]: area["lines"] for area in areas}


def bad(areas: dict[str, list[dict[str, str]]]) -> list[dict[str, str]]:
    return [line for lines in areas.values() for line in lines if line["state"] == "bad"]


def snapshot(root: Path) -> dict[str, tuple[str, int, int]]:
    """Return what there is in a folder, with what it holds, its mode, and when it changed."""
    return {
        str(path): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
        )
        for path in [root, *root.rglob("*")]
    }


def test_what_is_sound_is_ok_and_nothing_is_changed(
    migrated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not a file is made: no cache, no log of a database, no bytecode."""
    before = snapshot(migrated)
    areas = said(capsys, migrated)
    assert snapshot(migrated) == before
    assert list(areas) == ["machine", "installation", "application", "database", "network"]
    database = [line["told"] for line in areas["database"]]
    assert database[0].startswith(f"{migrated}/data/till.db: ")
    assert database[0].endswith(" kB, sound")
    assert database[1] == "migrations: 1 applied, none pending"
    assert invoke(["doctor", str(migrated)]) == 0
    out = capsys.readouterr().out
    assert "  ok    configuration   till, of ringfence.toml" in out


def test_an_application_that_never_ran_is_ok(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no database yet, and none is made."""
    before = snapshot(app)
    areas = said(capsys, app)
    assert snapshot(app) == before
    assert "not made yet" in areas["database"][0]["told"]


def test_every_fault_is_told_at_once(migrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the configuration, of the features; each with what to do."""
    write(
        migrated,
        {
            "ringfence.toml": '[app]\nnmae = "till"\n[kernel]\nspans = "many"\n',
            "domains/till/broken.py": "def\n",
        },
    )
    found = [line["told"] for line in bad(said(capsys, migrated, 1))]
    assert any("ringfence.toml:2" in told for told in found)
    assert any("kernel.spans" in told for told in found)
    (migrated / "ringfence.toml").unlink()
    (line,) = bad(said(capsys, migrated, 1))
    assert line["name"] == "features"
    assert "domains/till/broken.py:1" in line["told"]


def test_a_damaged_database_is_bad(migrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And what is there to do is said."""
    file = migrated / "data" / "till.db"
    content = bytearray(file.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    file.write_bytes(content)
    before = snapshot(migrated)
    (line,) = bad(said(capsys, migrated, 1))
    assert snapshot(migrated) == before
    assert "till.db" in line["told"]
    assert "damaged" in line["told"] or "malformed" in line["told"]


def test_pending_migrations_are_to_be_looked_at(
    migrated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By name; the next start applies them."""
    write(migrated, {MIGRATION.replace("01000000", "02000000"): "CREATE TABLE b (c INT);\n"})
    lines = said(capsys, migrated)["database"]
    (pending,) = [line for line in lines if line["state"] == "warn"]
    assert "1 migration is pending: till/20260102000000_rows" in pending["told"]
    assert "ringfence migrate" in pending["fix"]


def test_a_database_that_is_in_use_is_looked_at_as_well(
    migrated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what its log holds, and without waiting for whoever writes."""
    line = sqlite3.connect(migrated / "data" / "till.db", isolation_level=None)
    line.execute("BEGIN IMMEDIATE")
    line.execute("INSERT INTO rows VALUES (1)")
    try:
        assert bad(said(capsys, migrated)) == []
    finally:
        line.close()


def test_a_log_that_a_crash_has_left_is_left_to_the_next_start(
    migrated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To look into it would change it."""
    file = migrated / "data" / "till.db"
    line = sqlite3.connect(file, isolation_level=None)
    line.execute("INSERT INTO rows VALUES (1)")
    log = file.with_name("till.db-wal").read_bytes()
    line.close()
    file.with_name("till.db-wal").write_bytes(log)
    before = snapshot(migrated)
    told = said(capsys, migrated)["database"][0]["told"]
    assert "taken in by the next start" in told
    assert snapshot(migrated) == before


def test_a_port_in_use_names_its_holder(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the system tells."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        write(app, {"ringfence.toml": f"[tools.http]\nport = {port}\n"})
        (line,) = bad(said(capsys, app, 1))
    assert f"127.0.0.1:{port} is in use by" in line["told"]
    if Path("/proc/net/tcp").exists():
        assert f"process {os.getpid()}" in line["told"]
    assert "--port" in line["fix"]


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7"])
def test_an_address_that_is_not_this_machines_is_bad(
    app: Path, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    """Found before the start finds it."""
    write(app, {"ringfence.toml": f'[tools.http]\nhost = "{host}"\n'})
    (line,) = bad(said(capsys, app, 1))
    assert host in line["told"]


def test_a_socket_that_was_left_behind_is_no_fault(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next start replaces it; it is not touched."""
    path = app / ".ringfence" / "control.sock"
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    lines = said(capsys, app)["application"]
    assert any("left behind" in line["told"] for line in lines)
    assert path.exists()


def test_an_application_that_does_not_answer_is_bad(
    app: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not waited for."""
    monkeypatch.setattr("ringfence.cli.doctor.application._ANSWER_S", 0.05)
    monkeypatch.setattr("ringfence.cli.doctor.network._ANSWER_S", 0.05)
    path = app / ".ringfence" / "control.sock"
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        (line,) = bad(said(capsys, app, 1))
    assert (line["name"], "no answer" in line["told"]) == ("control socket", True)


def test_folders_that_cannot_be_used_are_bad(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file in the place of one, and one that everybody may write to."""
    (app / "data").write_text("no folder")
    (app / ".ringfence").mkdir()
    (app / ".ringfence").chmod(0o777)
    found = [line["told"] for line in bad(said(capsys, app, 1)) if line["name"] == "folders"]
    assert any("is no folder" in told for told in found)
    assert any("every user may write there" in told for told in found)


def test_files_of_the_future_are_to_be_looked_at(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Times tell whether a file has changed."""
    os.utime(app / "domains" / "till" / "till.py", (4e9, 4e9))
    lines = [line for line in said(capsys, app)["application"] if line["name"] == "clock"]
    assert [line["state"] for line in lines] == ["warn"]


# ---- machine and installation


def test_a_full_disk_is_bad(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And one that soon will be is to be looked at."""
    states = []
    for free in (10**7, 10**8 * 5, 10**12):
        usage = SimpleNamespace(total=10**13, used=10**13 - free, free=free)
        monkeypatch.setattr("shutil.disk_usage", lambda path, usage=usage: usage)
        checks = [c for c in machine.checks(lambda: [tmp_path / "a"]) if c.name == "disk"]
        states += [line.state for area in examine(checks) for line in area.lines]
    assert states == ["bad", "warn", "ok"]


@pytest.mark.parametrize(
    "requires, told",
    [
        ("click>=99", "click: 8"),
        ("click<8", "click: 8"),
        ("no-such-thing>=1", "not installed"),
    ],
)
def test_dependencies_that_do_not_fit_are_bad(
    monkeypatch: pytest.MonkeyPatch, requires: str, told: str
) -> None:
    """Too old, too new, or not there; each with the command that mends it."""
    monkeypatch.setattr(installation, "requires", lambda name: [requires])
    lines = [line for area in examine(installation.checks()) for line in area.lines]
    (line,) = [line for line in lines if line.state == "bad"]
    assert told in line.told
    assert line.fix == f"pip install '{requires}'"


@pytest.mark.parametrize(
    "requires",
    ["click>=8,<99", "click!=7", "click~=8.0", "click==8.*", "no-such>=1; extra == 'dev'",
     "no-such>=1; platform_system == 'Plan9'", "pydantic>=0; extra == 'pydantic'"],
)  # fmt: skip
def test_dependencies_that_fit_are_ok(monkeypatch: pytest.MonkeyPatch, requires: str) -> None:
    """What is for other systems, or for those who work on Ringfence, is not asked for."""
    monkeypatch.setattr(installation, "requires", lambda name: [requires])
    lines = [line for area in examine(installation.checks()) for line in area.lines]
    assert {line.state for line in lines if line.name == "dependencies"} == {"ok"}


# ---- examinations


def test_a_check_that_hangs_is_left_behind() -> None:
    """What it said before is kept, and the next one is carried out."""
    never = threading.Event()

    def hang() -> Iterator[Line]:
        yield ok("disk", "one")
        never.wait()
        yield ok("disk", "two")

    checks = [Check("machine", "disk", hang, 0.05), Check("machine", "b", lambda: [ok("b", "c")])]
    (area,) = examine(checks)
    never.set()
    assert [line.state for line in area.lines] == ["ok", "bad", "ok"]
    assert "no answer within 0.05 s" in area.lines[1].told


def test_a_check_that_fails_is_a_line() -> None:
    """It hides none of the others."""

    def crash() -> Iterator[Line]:
        yield ok("a", "b")
        raise ZeroDivisionError("canary")

    (area,) = examine([Check("machine", "disk", crash)])
    assert [line.told for line in area.lines] == ["b", "ZeroDivisionError: canary"]

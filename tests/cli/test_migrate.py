"""`ringfence migrate` and `ringfence db`: what they print, and the exit codes."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ringfence.audit import AuditLog
from ringfence.cli import invoke
from ringfence.config import load
from ringfence.errors import StartRefused
from tests.faults.notes import FILE, NOTES
from tests.kernel.apps import write

TWO = {
    **NOTES,
    "ringfence.toml": """
    [app]
    name = "app"

    [tools.archive]
    tool = "db"
    path = "data/archive.db"
    """,
    "domains/notes/migrations/archive/20260101000000_old.sql": "CREATE TABLE old (x);",
}
NOTE = "notes/20260101000000_note"


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run a command; return what it prints on standard output."""
    capsys.readouterr()
    assert invoke(arguments) == code
    return capsys.readouterr().out


def test_a_plan_lists_and_migrating_applies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each migration, of every configured database; then nothing is left to do."""
    root = str(write(tmp_path, TWO))
    plan = shown(capsys, "migrate", root, "--plan")
    assert plan.count("1 migration pending") == 2
    assert f"  {NOTE}  domains/notes/migrations/20260101000000_note.sql" in plan
    assert not (tmp_path / "data").exists()
    done = shown(capsys, "migrate", "--app", root)
    assert f"  applied {NOTE} in 0." in done
    assert "  applied notes/20260101000000_old in 0." in done
    assert shown(capsys, "migrate", root).count("nothing is pending, 1 applied before") == 2


def test_what_is_late_or_gone_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither stops it."""
    root = write(tmp_path, NOTES)
    shown(capsys, "migrate", str(root))
    folder = root / "domains/notes/migrations"
    (folder / "20260101000000_note.sql").unlink()
    (folder / "20250101000000_early.sql").write_text("CREATE TABLE early (x);")
    said = shown(capsys, "migrate", str(root))
    assert f"gone {NOTE} was applied, and has no file here" in said
    assert "late notes/20250101000000_early is older than what was applied" in said
    assert "applied notes/20250101000000_early" in said


def test_programs_read_what_was_applied_and_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One document, also where a migration fails: those before it are in it."""
    bad = {"domains/notes/migrations/20260109000000_bad.sql": "\nINSERT INTO nowhere VALUES (1);"}
    root = write(tmp_path, {**NOTES, **bad})
    found = json.loads(shown(capsys, "migrate", str(root), "--json", code=2))
    (database,) = found["databases"]
    assert [step["id"] for step in database["applied"]] == [NOTE]
    assert [step["id"] for step in database["pending"]] == ["notes/20260109000000_bad"]
    (finding,) = found["findings"]
    assert finding["file"] == "domains/notes/migrations/20260109000000_bad.sql"
    assert finding["rule"] == "RF204"


def test_check_and_a_start_know_of_a_missing_variant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the configured driver lacks is found before anything starts."""
    name = "domains/notes/migrations/20260109000000_other.postgres.sql"
    root = str(write(tmp_path, {**NOTES, name: "SELECT 1"}))
    assert "RF207" in shown(capsys, "check", root, code=1)
    assert invoke(["run", root, "--port", "0"]) == 2
    assert "20260109000000_other.sqlite.sql" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["20260109000000_Bad.sql", "20260109000000_x.sql"])
def test_a_migration_that_is_refused_is_exit_code_2(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As for a configuration that prevents the start: of `run` and of `migrate`."""
    root = str(write(tmp_path, {**NOTES, f"domains/notes/migrations/{name}": "VACUUM;"}))
    for command in (["run", root, "--port", "0"], ["migrate", root], ["migrate", root, "--plan"]):
        assert invoke(command) == 2
        assert name in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_migrations_of_no_database_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is named for none would never be looked into."""
    root = str(write(tmp_path, {**TWO, "ringfence.toml": '[tools.archives]\ntool = "db"\n'}))
    assert invoke(["run", root, "--port", "0"]) == 2
    assert "RF209 no database is called archive" in capsys.readouterr().err
    assert "did you mean 'archives'" in shown(capsys, "check", root, code=1)


def test_where_the_command_migrates_run_refuses_and_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 as long as one is pending."""
    toml = '[tools.db]\nmigrate = "command"\n'
    root = str(write(tmp_path, {**NOTES, "ringfence.toml": toml}))
    assert load(tmp_path).tool("db").options == {"migrate": "command"}
    assert invoke(["run", root, "--port", "0"]) == 2
    assert "Run `ringfence migrate /" in capsys.readouterr().err


def test_a_driver_of_the_application_is_maintained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that lies in its `tools/` is found as for a start; no feature is imported for it."""
    driver = "from ringfence.tools.db.drivers.sqlite import Config as Config, Driver as Driver\n"
    own = {
        **NOTES,
        "ringfence.toml": '[tools.db]\ndriver = "mine"\n',
        "tools/db/drivers/mine.py": driver,
        "domains/notes/broken.py": "raise SystemExit\n",
    }
    root = str(write(tmp_path, own))
    assert f"applied {NOTE}" in shown(capsys, "migrate", root)
    (backup,) = json.loads(shown(capsys, "db", "backup", root, "--json"))["backups"]
    shown(capsys, "db", "restore", backup["file"], "--app", root, "--yes")


def test_each_database_is_backed_up_and_one_is_restored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of several, one has to be named where only one can be meant."""
    root = str(write(tmp_path, TWO))
    shown(capsys, "migrate", root)
    backups = json.loads(shown(capsys, "db", "backup", root, "--json"))["backups"]
    assert [Path(each["of"]).name for each in backups] == ["archive.db", "app.db"]
    file = backups[1]["file"]
    for refused in (
        ["db", "backup", root, "--to", f"{root}/x.db"],
        ["db", "restore", file, "--app", root, "--yes"],
        ["db", "restore", file, "--app", root, "--yes", "--tool", "archiv"],
    ):
        assert invoke(refused) == 2
        assert "archive" in capsys.readouterr().err
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as line:
        line.execute("INSERT INTO note (body) VALUES ('new')")
    said = shown(capsys, "db", "restore", file, "--app", root, "--yes", "--tool", "db")
    assert f"{tmp_path / FILE} holds what {file} held" in said
    with closing(sqlite3.connect(tmp_path / FILE)) as line:
        assert line.execute("SELECT count(*) FROM note").fetchone() == (0,)
    assert invoke(["db", "restore", file, "--app", root, "--yes", "--tool", "archive"]) == 1
    assert "not known here: notes/20260101000000_note" in capsys.readouterr().err


def test_a_restore_wants_a_yes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody can be asked, only the option is one."""
    root = str(write(tmp_path, NOTES))
    shown(capsys, "migrate", root)
    shown(capsys, "db", "backup", root, "--to", f"{root}/b.db")
    assert invoke(["db", "restore", f"{root}/b.db", "--app", root]) == 2
    assert "--yes" in capsys.readouterr().err


def test_a_refused_backup_is_a_failed_operation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, and one paragraph."""
    root = str(write(tmp_path, NOTES))
    assert invoke(["db", "backup", root]) == 1
    assert "nothing to back up" in capsys.readouterr().err
    assert invoke(["db", "bakup", root]) == 2


def test_a_database_that_nobody_can_maintain_is_no_silent_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever believes that a backup was made must have one."""
    monkeypatch.setattr("ringfence.wires.Maintained", type("Nothing", (), {}))
    root = str(write(tmp_path, NOTES))
    for command in (["migrate", root], ["db", "backup", root]):
        capsys.readouterr()
        assert invoke(command) == 2
        assert "offers no maintenance" in capsys.readouterr().err


def test_what_changes_data_is_on_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who did what to which database, with which file; what only looks is not."""
    root = write(tmp_path / "app", NOTES)
    shown(capsys, "migrate", str(root), "--plan")
    assert AuditLog(root).read() == []
    shown(capsys, "migrate", str(root))
    shown(capsys, "migrate", str(root))
    copy = tmp_path / "copy.db"
    shown(capsys, "db", "backup", str(root), "--to", str(copy))
    shown(capsys, "db", "backup", str(root), "--to", str(copy), code=1)
    shown(capsys, "db", "restore", str(copy), "--app", str(root), "--yes")
    told = [(one.what, one.arguments, one.outcome) for one in AuditLog(root).read()]
    assert told == [
        ("migrate", ("db", NOTE), "done"),
        ("db backup", ("db", f"to={copy}"), "done"),
        ("db backup", ("db", f"to={copy}"), StartRefused.code),
        ("db restore", ("db", f"from={copy}"), "done"),
    ]


def test_what_cannot_be_put_on_record_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a failed operation that names what is in the way."""
    monkeypatch.setattr("ringfence.control_socket._ELSEWHERE", tmp_path / "missing")
    root = write(tmp_path / "app", NOTES)
    (root / ".ringfence").write_text("no folder")
    for arguments in (["migrate"], ["db", "backup", "--to", str(tmp_path / "copy.db")]):
        assert invoke([*arguments, "--app", str(root)]) == 1
        assert "what may change something is written down first" in capsys.readouterr().err
    assert not (tmp_path / "copy.db").exists()
    assert "1 migration pending" in shown(capsys, "migrate", str(root), "--plan")

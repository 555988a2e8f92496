"""The command line as a whole: help, usage, exit codes, and errors without tracebacks."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from ringfence.cli import COMMANDS, GROUPS, check, invoke, ringfence
from ringfence.errors import BootError, Finding, KernelBug, NotFound, StartRefused


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "shop" / "domains").mkdir(parents=True)
    return tmp_path / "shop"


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with one line of what it does."""
    assert invoke(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name}" in shown and text in shown for name, text in COMMANDS.items())
    assert all(f"{title}:\n" in shown for title in GROUPS)


def test_help_imports_no_command() -> None:
    """Looking up how something is called costs no start of a server's libraries."""
    code = (
        "import sys; from ringfence.cli import invoke; invoke(['--help'])\n"
        "heavy = {'ringfence.app', 'uvicorn', 'ringfence.cli.run'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_module_runs_like_the_command() -> None:
    """`python -m ringfence` is the same program."""
    done = subprocess.run(
        [sys.executable, "-m", "ringfence", "--version"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout[:9]) == (0, "ringfence")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its help says more than the line in the list, and is under its own name."""
    command = ringfence.get_command(click.Context(ringfence), name)
    assert command is not None
    assert command.name == name
    assert invoke([name, "--help"]) == 0
    assert f"ringfence {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "Usage: ringfence"),
        (["chek"], "no such command: chek. Did you mean `check`?"),
        (["runserver"], "no such command: runserver. `ringfence run` serves an application."),
        (["makemigrations"], "A migration is an SQL file in `migrations/` of its domain"),
        (["test"], "no such command: test. `make test` checks an application"),
        (["dumpdata"], "no such command: dumpdata. `ringfence --help` lists them."),
        (["help"], "no such command: help. `ringfence --help` lists them."),
        (["new", "featur", "a/b"], "Did you mean `ringfence new feature`?"),
        (["check", "domains"], "It is a part of"),
        (["--nope"], "No such option"),
        (["check", "--nope"], "No such option"),
        (["check", "nowhere"], "nowhere: no such folder"),
        (["check", ".", "b"], "unexpected extra argument"),
        (["run", "--port", "x"], "'x' is not a valid integer"),
        (["run", "--port", "65536"], "not in the range"),
        (["call"], "Missing argument 'SERVICE'"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    arguments: list[str],
    said: str,
    app: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is told on standard error, in a paragraph, and nothing is on standard output."""
    monkeypatch.chdir(app)
    assert invoke(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["run", "check", "status"])
def test_a_folder_that_is_no_application_is_told_with_the_next_step(
    command: str, tmp_path: Path, app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without `domains/`, or with a typo in its name, nothing is started."""
    assert invoke([command, str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "no application here" in err
    assert f"In it there is: {app}." in err
    assert "--app" not in err
    assert invoke(["trace", "abc", "--app", str(tmp_path)]) == 2
    assert "Name the application's folder with --app" in capsys.readouterr().err
    assert invoke([command, str(tmp_path / "shpo")]) == 2
    assert f"Did you mean {app}?" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert invoke([command, str(tmp_path / "file")]) == 2
    assert "is a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["status"], ["call", "orders.place"], ["trace", "abc"], ["call", "a", "--json"]]
)
def test_an_application_that_does_not_run_is_told_with_the_next_step(
    arguments: list[str],
    app: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is a failed operation: exit code 1, and how to start it."""
    monkeypatch.chdir(app)
    assert invoke(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "not running" in err
    assert "ringfence run" in err


@pytest.mark.parametrize(
    "error, code",
    [
        (StartRefused("no"), 2),
        (BootError("no", findings=[Finding("a.py", 3, "rule", "what")]), 1),
        (NotFound("no", subject="orders"), 1),
        (KernelBug("no"), 1),
        (ZeroDivisionError("no"), 1),
        (RecursionError("no"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_error_has_its_exit_code_and_no_traceback(
    error: BaseException,
    code: int,
    app: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Unless `--debug` is given, anywhere on the line."""

    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(check.verb, "callback", fail)
    assert invoke(["check", str(app)]) == code
    plain = capsys.readouterr().err
    assert "Traceback" not in plain
    assert plain.startswith("error: ") or code == 130
    for arguments in (["--debug", "check", str(app)], ["check", str(app), "--debug"]):
        assert invoke(arguments) == code
        assert ("Traceback" in capsys.readouterr().err) == (code != 130)


def test_an_errors_text_cannot_command_the_terminal(
    app: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an exception quotes from outside is shown, not obeyed."""

    def fail(**_: object) -> None:
        raise NotFound("no \x1b]0;owned\x07\rsuch \x9b31mthing")

    monkeypatch.setattr(check.verb, "callback", fail)
    assert invoke(["check", str(app)]) == 1
    assert "no \\x1b]0;owned\\x07\\rsuch \\x9b31mthing" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_failure(app: Path) -> None:
    """`ringfence … | head -1` ends without a word on standard error."""
    code = (
        "import os, sys; from ringfence.cli import terminal, invoke, check\n"
        "def flood(**_):\n"
        "    for _ in range(100_000): terminal.say('line')\n"
        "check.verb.callback = flood\n"
        f"sys.exit(invoke(['check', {str(app)!r}]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 1

"""`ringfence new` and `ringfence completion`, as they are typed."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from ringfence import testing
from ringfence.app import check
from ringfence.cli import COMMANDS, invoke, ringfence
from ringfence.scaffold import plan_application
from ringfence.scaffold.origin import Origin


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An application that was written just now, and stood in."""
    monkeypatch.chdir(tmp_path)
    assert invoke(["new", "shop"]) == 0
    monkeypatch.chdir(tmp_path / "shop")
    return tmp_path / "shop"


@pytest.mark.anyio
async def test_a_new_application_runs_and_its_own_test_passes(app: Path) -> None:
    """It starts without a finding, answers, and what it was written with is green."""
    assert check(app) == []
    async with testing.boot(app, strict=True) as running:
        assert (await running.http.get("/greetings/Ada")).body == b'{"text":"Hello, Ada!"}'
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-pno:schemathesis"],
        cwd=app,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_a_new_application_has_what_it_takes_to_ship_it(app: Path) -> None:
    """And nothing in what is committed knows this machine."""
    files = {p.relative_to(app).as_posix() for p in app.rglob("*") if p.is_file()}
    assert {"Makefile", "Dockerfile", ".github/workflows/ci.yml", ".gitignore"} <= files
    assert {"AGENTS.md", "ringfence.toml", "requirements.txt", "local.mk"} <= files
    committed = "".join((app / f).read_text("utf-8") for f in files - {"local.mk"})
    assert str(app.parent) not in committed
    assert sys.prefix not in committed
    assert "/local.mk" in (app / ".gitignore").read_text().splitlines()
    assert "@" not in (app / "Makefile").read_text().replace("\t@", "").replace("$@", "")


@pytest.mark.skipif(os.name == "nt", reason="no make there")
@pytest.mark.parametrize("target", ["run", "test", "check", "fix", "clean", "help"])
def test_its_makefile_has_its_targets(target: str, tmp_path: Path) -> None:
    """With a checkout whose path needs quotes, too."""
    path = "'/a b/$$x \\#1'"
    source = Origin("ringfence>=1", f"--editable {path}", ("/a b/$x #1",), sys.executable)
    plan_application(tmp_path / "shop", source).write()
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=tmp_path / "shop", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    if target == "run":
        assert "--editable '/a b/$x #1'" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="no make there")
def test_where_pip_is_of_no_use_what_is_beside_ringfence_is_used(app: Path) -> None:
    """With the command, too; what is not there is listed, all of it."""

    def make(target: str, **words: str) -> subprocess.CompletedProcess[str]:
        given = [f"{name}={word}" for name, word in words.items()]
        return subprocess.run(["make", *given, target], cwd=app, capture_output=True, text=True)

    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=app, check=True)
    done = make(".venv/.ready-dev", BESIDE="")
    assert "No module named pip" in done.stderr  # what pip says is shown where it is the end
    assert "mend that and type the same again" in done.stderr
    done = make(".venv/.ready-dev", BESIDE="nowhere")
    lost = "ringfence, anyio, mypy, pytest, ruff"
    assert f".venv: not installed on this machine: {lost}. Type the same again" in done.stderr
    done = make(".venv/.ready")
    assert (done.returncode, done.stderr) == (0, "")
    assert "pip could not install it (.venv/pip.log says why); using what is" in done.stdout
    asked = [str(app / ".venv/bin/ringfence"), "new", "--help"]
    assert subprocess.run(asked, cwd=app, capture_output=True).returncode == 0


def test_what_was_written_and_what_comes_next_is_said(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """File by file; or as JSON."""
    capsys.readouterr()
    assert invoke(["new", "domain", "orders"]) == 0
    shown = capsys.readouterr().out
    assert "wrote domains/orders/README.md" in shown
    assert "ringfence new feature orders/NAME" in shown
    assert invoke(["new", "feature", "orders/place", "--route", "POST /orders", "--json"]) == 0
    told = msgspec.json.decode(capsys.readouterr().out)
    assert told["written"] == ["domains/orders/place.py", "tests/orders/test_place.py"]
    assert told["next"] == ["ringfence check", "python -m pytest tests/orders/test_place.py"]
    assert invoke(["new", "tool", "mail"]) == 0
    assert "wrote tools/mail/contract.py" in capsys.readouterr().out
    assert check(app) == []


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["new", "Shop!"], 2, "'Shop!': it cannot be an application's name"),
        (["new", "../shop"], 1, "an application is there already"),
        (["new", "domains"], 1, "the folder is not empty"),
        (["new", "ringfence"], 2, "got a reserved one"),
        (["new", "My App"], 2, "Try my-app."),
        (["new", "Makefile"], 2, "it cannot be an application's name"),
        (["new", "local.mk/x"], 1, "Not a directory"),
        (["new", "domain"], 2, "Missing argument 'NAME'"),
        (["new", "domain", "greetings"], 2, "there is such a domain already"),
        (["new", "domain", "import"], 2, "got a keyword of Python"),
        (["new", "tool", "http"], 2, "that of one that comes with Ringfence"),
        (["new", "feature", "greetings"], 2, "expected DOMAIN/NAME"),
        (["new", "feature", "greetings/greet"], 1, "it is there already"),
        (["new", "feature", "a/b", "--on", "x"], 2, "No such option"),
        (["new", "feature", "a/b", "--app", "nowhere"], 2, "nowhere: no such folder"),
        (["completion", "tcsh"], 2, "'tcsh' is not one of"),
    ],
)
def test_what_cannot_be_is_a_paragraph_on_standard_error(
    arguments: list[str], code: int, said: str, app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong usage is 2, something in the way is 1; nothing is on standard output."""
    capsys.readouterr()
    before = {p for p in app.parent.rglob("*") if ".ringfence" not in p.parts}
    assert invoke(arguments) == code
    out, err = capsys.readouterr()
    assert (out, said in err) == ("", True), err
    assert {p for p in app.parent.rglob("*") if ".ringfence" not in p.parts} == before


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It asks through the variable that the command answers to."""
    assert invoke(["completion", shell]) == 0
    assert f"_RINGFENCE_COMPLETE={shell}_complete" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line, expected",
    [
        ("ringfence ", [*COMMANDS]),
        ("ringfence co", [name for name in COMMANDS if name.startswith("co")]),
        ("ringfence new ", ["domain", "feature", "tool"]),
        ("ringfence new feature g", ["greetings/"]),
        ("ringfence new feature a/b --calls g", ["greetings.greet"]),
        ("ringfence call ", ["greetings.greet"]),
        ("ringfence call --app nowhere g", []),
    ],
)
def test_commands_domains_and_services_are_completed(
    line: str, expected: list[str], app: Path
) -> None:
    """From the text of the application's files; nothing is imported."""
    from click.shell_completion import ShellComplete

    *words, incomplete = line.split(" ")
    found = ShellComplete(ringfence, {}, "ringfence", "X").get_completions(words[1:], incomplete)
    assert {item.value for item in found} == {*expected}
    assert {item.type for item in found} <= {"plain"}  # of another, click's script knows nothing


def test_completing_imports_no_server() -> None:
    """A press of the key is answered before one notices."""
    code = (
        "import sys; from click.shell_completion import ShellComplete\n"
        "from ringfence.cli import ringfence\n"
        "ask = ShellComplete(ringfence, {}, 'ringfence', 'X').get_completions\n"
        "ask([], ''); ask(['new', 'feature'], 'a'); ask(['call'], 'a')\n"
        "heavy = {'ringfence.app', 'ringfence.scaffold', 'uvicorn'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
